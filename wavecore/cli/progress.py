"""Progress on stderr: a bar with the time left, shown on a terminal for work that takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_SECONDS = 1.0


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


class _Silent(ProgressDisplay):
    """A progress display that shows nothing, for output that is no terminal."""

    def share(self, done: float) -> None:
        """Show nothing."""


@contextmanager
def progress(steps: int = 1) -> Iterator[ProgressDisplay]:
    """Show progress while the block runs, if stderr is a terminal."""
    shown = ProgressDisplay(steps) if sys.stderr.isatty() else _Silent(steps)
    try:
        yield shown
    finally:
        shown.close()
