"""What the figures of sweeps share: panels, series, scales and texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Literal, NamedTuple, get_args

from wavecore.pictures.marks import DisplayScale, Heat, Panel, Picture, Symbol, plain, scale
from wavecore.pictures.palette import COMPONENT_COLOURS, colours, ordered, told_apart
from wavecore.report.sweeps import SweepAxis, SweepTable, TableRow, as_number, number
from wavecore.results.metrics import METRICS

SYMBOLS: tuple[Symbol, ...] = get_args(Symbol)
MOST_PANELS = 12
WIDTHS = {1: 760, 2: 1000, 3: 1240}  # pixels of a file by the number of panels that stand side by side
IDENTITY_FORMS = {
    "workload": "{}",
    "schedule": "{}",
    "accelerator": "{}",
    "memory": "{}",
    "batch": "{} samples",
    "engine": "{} engine",
}
"""How columns that every point states are said to people."""


class Series(NamedTuple):
    """Points that belong together: how they are drawn, and their rows, all with a result."""

    label: str
    colour: str
    symbol: Symbol
    rows: list[TableRow]


class PanelRows(NamedTuple):
    """The rows of one panel, and its title."""

    title: str
    rows: list[TableRow]


def parted(sweep: SweepTable, names: Iterable[str]) -> list[PanelRows]:
    """Return the rows of each combination of values of some axes, without empty ones; all rows if there are no axes."""
    axes = [sweep.axis(name) for name in names]
    found = []
    for values in product(*(sweep.values(axis) for axis in axes)):
        wanted = {axis.column: value for axis, value in zip(axes, values, strict=True)}
        rows = [row for row in sweep.rows if all(row[column] == value for column, value in wanted.items())]
        title = ", ".join(f"{axis.name} {axis.show(value)}" for axis, value in zip(axes, values, strict=True))
        found += [PanelRows(title, rows)] if rows else []
    return found


def series_of(sweep: SweepTable, name: str, rows: Sequence[TableRow]) -> Iterator[Series]:
    """Yield the points of each value of an axis; all in one without an axis."""
    good = [row for row in rows if not row["error"]]
    if not name:
        yield Series("", COMPONENT_COLOURS["array"], SYMBOLS[0], good)
        return
    axis = sweep.axis(name)
    values = sweep.values(axis)
    for at, (value, tint) in enumerate(_tints(axis, values).items()):
        own = [row for row in good if row[axis.column] == value]
        yield Series(axis.show(value), tint, SYMBOLS[at % len(SYMBOLS)], own)


def _tints(axis: SweepAxis, values: Sequence[str]) -> Mapping[str, str]:
    """Return a colour for each value: a schedule has its own, numbers are ordered, other names are told apart."""
    if axis.name == "schedule":
        return colours(values)
    if all(as_number(value) is not None for value in values):
        return ordered(values)
    return told_apart(values)


def metric_scale(metric: str, values: Iterable[float]) -> DisplayScale:
    """Return the unit in which values of a metric are drawn."""
    match METRICS[metric].unit:
        case "share":
            return DisplayScale(0.01, "%")
        case "bytes":
            return scale(values, "B")
        case "s":
            return scale(values, "s")
        case "J":
            return scale(values, "J")
        case unit:
            return DisplayScale(1.0, unit)


def metric_title(metric: str, each: DisplayScale) -> str:
    """Return the title of an axis of a metric, with its unit."""
    title = METRICS[metric].title
    return f"{title} ({each.symbol})" if each.symbol and each.symbol != title else title


def said(sweep: SweepTable, row: TableRow, metrics: Iterable[str]) -> str:
    """Return a text that names a point by its values, and gives its metrics."""
    varied = ", ".join(f"{axis.name} {axis.show(row[axis.column])}" for axis in sweep.summary.axes)
    return f"{varied}: {', '.join(f'{METRICS[metric].title} {metric_text(row, metric)}' for metric in metrics)}"


def metric_text(row: TableRow, metric: str) -> str:
    """Return a metric of a point as text, with its unit."""
    value = number(row, metric)
    each = metric_scale(metric, [value])
    return f"{plain(value / each.size)} {each.symbol}".rstrip()


def sweep_picture(
    sweep: SweepTable,
    kind: Literal["lines", "map", "front"],
    title: str,
    caption: str,
    panels: Sequence[Panel],
    notes: Sequence[str] = (),
) -> Picture:
    """Return a picture of up to `MOST_PANELS` panels, with notes on what it leaves out.

    The title that the specification gives to a figure of this kind comes before ``title``.
    """
    figure = sweep.summary.figure
    wished = figure.title if figure is not None and _KINDS[figure.kind] == kind else ""
    failed = len(sweep.rows) - len(sweep.good)
    left_out = [f"The first {MOST_PANELS} of {len(panels)} panels are drawn."] if len(panels) > MOST_PANELS else []
    left_out += [f"{failed} of {len(sweep.rows)} points failed and are not drawn."] if failed else []
    return Picture(
        key=f"{kind}-{sweep.key}",
        title=wished or f"{title[:1].upper()}{title[1:]}: {sweep.summary.name}",
        caption=f"{caption} {_fixed(sweep)}".rstrip(),
        panels=tuple(panels[:MOST_PANELS]),
        columns=_columns(panels),
        width=WIDTHS[_columns(panels)],
        notes=(*notes, *left_out),
    )


_KINDS = {"lines": "lines", "heatmap": "map", "pareto": "front"}


def _fixed(sweep: SweepTable) -> str:
    """Return the sentence that says what all points have in common."""
    axes = {axis.column for axis in sweep.summary.axes}
    values = {name: {row[name] for row in sweep.good if row.get(name)} for name in IDENTITY_FORMS if name not in axes}
    common = [IDENTITY_FORMS[name].format(*found) for name, found in values.items() if len(found) == 1]
    return f"All points: {', '.join(common)}." if common else ""


def _columns(panels: Sequence[Panel]) -> int:
    """Return how many panels stand side by side: two heat maps, which need room for their scale, or two of four."""
    wide = len(panels) == 4 or any(panel.of(Heat) for panel in panels)
    return min(2 if wide else 3, max(1, len(panels)))
