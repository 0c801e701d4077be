"""Progress on stderr: on a terminal a bar with the time left, after a second of work; elsewhere lines, every ten."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from wavecore.cli.messages import say

PATIENCE_SECONDS = 1.0
LINE_SECONDS = 10.0


class ProgressDisplay:
    """A progress bar over ``steps`` parts of equal length: `step` begins the next part, `share` says how far it is."""

    def __init__(self, steps: int) -> None:
        """Begin without a bar; it is shown when `PATIENCE_SECONDS` have passed."""
        self._steps = steps
        self._step = -1
        self._text = ""
        self._started = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def step(self, text: str) -> Callable[[float], None]:
        """Begin the next part, described by ``text``; return the function to call with its finished share, 0 to 1."""
        self._step += 1
        self._text = text
        self.share(0.0)
        return self.share

    def rename(self, text: str) -> None:
        """Replace the description of the current part."""
        self._text = text
        self.share(0.0)

    def share(self, done: float) -> None:
        """Show that the share ``done``, 0 to 1, of the current part is finished."""
        if self._bar is None:
            if time.monotonic() - self._started < PATIENCE_SECONDS:
                return
            self._start()
        self._bar.update(self._task, completed=(self._step + done) / self._steps, description=self._text)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._text, total=1.0)
        self._bar.start()


class Lines:
    """Lines on stderr for output that is no terminal: none in the first `LINE_SECONDS`, then one in so many seconds."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line if the last one is long enough ago."""
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            say(text)


class _LinesOfProgress(ProgressDisplay):
    """A progress display that prints a line now and then."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self._lines = Lines()

    def share(self, done: float) -> None:
        """Say how far the whole is, if it is time."""
        self._lines.say(f"{self._text}: {100 * (self._step + done) / self._steps:.0f} % of the work is done")


@contextmanager
def progress(steps: int = 1) -> Iterator[ProgressDisplay]:
    """Show progress while the block runs: a bar if stderr is a terminal, else a line now and then."""
    shown = ProgressDisplay(steps) if sys.stderr.isatty() else _LinesOfProgress(steps)
    try:
        yield shown
    finally:
        shown.close()
