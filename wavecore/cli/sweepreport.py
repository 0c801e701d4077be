"""The progress bar of a sweep, and the lines and the table that it prints at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wavecore.cli.progress import Lines
from wavecore.cli.tables import amount, heading, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.sweep.folder import Findings
    from wavecore.sweep.run import Tally, Watch
    from wavecore.sweep.spec import SweepSpec

LONGEST = 20
MOST_REASONS = 5


@contextmanager
def showing(spec: SweepSpec, points: int) -> Iterator[Watch]:
    """Show points done and failed, the best value and the time left while the block runs.

    A bar if stderr is a terminal, else a line now and then.
    """
    if not sys.stderr.isatty():
        lines = Lines()
        yield lambda tally: lines.say(_line(spec, tally))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(spec.name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task: Any = bar.add_task("", total=points)
        yield lambda tally: bar.update(task, total=tally.points, completed=tally.done, description=state(spec, tally))


def _line(spec: SweepSpec, tally: Tally) -> str:
    what = state(spec, tally)
    return f"{spec.name}: {tally.done:,} of {tally.points:,} points{f' ({what})' if what else ''}"


def state(spec: SweepSpec, tally: Tally) -> str:
    """Describe a running sweep: the number of failed points, and the best value of the first objective."""
    metric = spec.objectives[0].metric
    parts = [f"{tally.failed} failed"] if tally.failed else []
    if tally.best is not None:
        parts.append(f"best {heading(metric)} {amount(metric, tally.best)}")
    return ", ".join(parts)


def last_line(found: Findings, tally: Tally) -> str:
    """Describe a finished sweep: the number of points of each kind, and how fast points were evaluated."""
    kinds = f"{found.feasible:,} feasible, {found.failed:,} failed, {len(found.front):,} on the Pareto front"
    known = found.points - tally.evaluated
    speed = f" in {tally.seconds:.1f} s, {tally.evaluated / tally.seconds:,.1f} a second" if tally.evaluated else ""
    stored = f", {known:,} were finished before" if known else ""
    damaged = f" ({tally.damaged:,} of them again: their rows in the store are damaged)" if tally.damaged else ""
    return f"{found.points:,} points: {kinds}; {tally.evaluated:,} evaluated{damaged}{speed}{stored}"


def failure_lines(found: Findings) -> Iterator[str]:
    """Yield a line for each reason for which points failed, the most frequent first; at most `MOST_REASONS`."""
    for error, count in found.errors.most_common(MOST_REASONS):
        yield f"  {count:,} failed: {error}"
    more = len(found.errors) - MOST_REASONS
    if more > 0:
        yield f"  and {more:,} more reasons: the column error of the table has them"


def front_table(spec: SweepSpec, found: Findings) -> Iterator[RenderableType]:
    """Yield the table of the Pareto front, or of the best points for a single objective, the best first.

    Points are sorted by the first objective; at most `LONGEST` are shown.
    """
    first, metrics = spec.objectives[0], [objective.metric for objective in spec.objectives]
    ordered = sorted(found.front, key=lambda row: row[first.metric], reverse=first.maximize)  # type: ignore[arg-type, return-value]
    names = [axis.name for axis in spec.axes]
    rows = []
    for row in ordered[:LONGEST]:
        values = [(axis.parameter, row[axis.parameter.column]) for axis in spec.axes]
        cells = ["" if value is None else parameter.show(value) for parameter, value in values]
        rows.append([*cells, *(amount(metric, row[metric]) for metric in metrics)])  # type: ignore[arg-type]
    titles = " and ".join(map(heading, metrics))
    title = f"{spec.name}: {'Pareto front of' if len(metrics) > 1 else 'best'} {titles}"
    headings = [*names, *map(heading, metrics)]
    right = [name for name in headings if name not in names or spec.parameters[name].numeric]
    yield table(title, headings, rows, right=right)
    more = len(ordered) - LONGEST
    yield f"{f'and {more:,} more; ' if more > 0 else ''}what a figure means: wavecore explain METRIC"
