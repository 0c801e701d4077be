"""Tables and lines for the terminal.  Column titles are those of `results.metrics.METRICS`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wavecore.common import units
from wavecore.common.text import printable
from wavecore.results.metrics import METRICS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDTH_OF_FILES = 100  # characters per line when stdout is no terminal


def console() -> Console:
    """Return the console on stdout, as wide as the terminal, or `WIDTH_OF_FILES` if there is none."""
    from rich.console import Console

    class Ours(Console):
        """A console that raises BrokenPipeError, which `wavecore.cli.main` handles; rich would end the process."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    width = None if sys.stdout.isatty() else WIDTH_OF_FILES
    return Ours(width=width, highlight=False, markup=False, emoji=False)


def show(items: Iterable[RenderableType]) -> None:
    """Print tables and lines of text, each followed by an empty line."""
    out = console()
    for item in items:
        out.print(_safe(item) if isinstance(item, str) else item)
        out.print()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """Make a table with a title above it; the columns named in ``right`` are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(
        title=_safe(title) or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in columns:
        aligned: Any = "right" if column in right else "left"
        made.add_column(_safe(column), justify=aligned, overflow="fold")
    for row in rows:
        made.add_row(*map(_safe, row))
    return made


def facts(title: str, rows: Iterable[tuple[str, str, str]]) -> Table:
    """Make a small table of (name, value, note) without column titles."""
    from rich.table import Table

    made = Table(
        title=_safe(title), title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False
    )
    made.add_column(overflow="fold")
    made.add_column(justify="right", no_wrap=True)
    made.add_column(justify="right", style="dim", no_wrap=True)
    for row in rows:
        made.add_row(*map(_safe, row))
    return made


def _safe(text: str) -> str:
    return printable(text, lines=True)


def beside(items: Sequence[RenderableType]) -> RenderableType:
    """Put items side by side, as many as fit the width."""
    from rich.columns import Columns

    return Columns(items, padding=(1, 4))


def heading(metric: str) -> str:
    """Return the title of a metric."""
    return METRICS[metric].title


def amount(metric: str, value: float) -> str:
    """Format a value of a metric with its unit."""
    return str(_PRINTERS[METRICS[metric].unit](value))


def share(part: float, whole: float) -> str:
    """Format ``part`` as a percentage of ``whole``, or "-" if ``whole`` is 0."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _count(value: int) -> str:
    """Format a number from 10^6 on in M (10^6) or G (10^9)."""
    if value < 10**6:
        return f"{value:,}"
    return f"{value / 1e6:,.1f} M" if value < 10**9 else f"{value / 1e9:,.1f} G"


_PRINTERS: dict[str, Any] = {
    "bytes": units.format_bytes,
    "s": units.format_seconds,
    "J": units.format_joules,
    "W": units.format_watts,
    "J s": units.format_joule_seconds,
    "cycles": lambda value: f"{value:,}",
    "cycle": lambda value: f"{value:,}",
    "MACs": _count,
    "operations": lambda value: f"{value:,}",
    "samples": lambda value: f"{value:,}",
    "mm2": units.format_area,
    "samples/J": lambda value: f"{value:,.2f}/J",
    "samples/s": lambda value: f"{value:,.1f}/s",
    "share": lambda value: f"{100 * value:.1f}%",
    "ratio": lambda value: f"{value:.2f}x",
    "": str,
}
