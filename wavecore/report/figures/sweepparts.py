"""What the figures of sweeps share: panels, series, scales and what a point is said to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from wavecore.pictures.marks import DisplayScale, Heat, Panel, Picture, Symbol, plain, scale
from wavecore.pictures.plots import COMPONENT_COLOURS, colours
from wavecore.report.sweeps import SweepAxis, SweepTable, TableRow, number
from wavecore.results.metrics import METRICS

SYMBOLS: tuple[Symbol, ...] = ("circle", "square", "triangle", "diamond")
MOST_PANELS = 12

Series = tuple[str, str, Symbol, list[TableRow]]
SeriesPart = tuple[str, list[TableRow]]


def parted(sweep: SweepTable, names: Iterable[str]) -> list[SeriesPart]:
    """Rows by their values of some axes, each part with a title; all in one without axes, and no part without rows."""
    axes = [sweep.axis(name) for name in names]
    found = []
    for values in product(*(sweep.values(axis) for axis in axes)):
        wanted = {axis.column: value for axis, value in zip(axes, values, strict=True)}
        rows = [row for row in sweep.rows if all(row[column] == value for column, value in wanted.items())]
        title = ", ".join(f"{axis.name} {axis.show(value)}" for axis, value in zip(axes, values, strict=True))
        found += [(title, rows)] if rows else []
    return found


def series_of(sweep: SweepTable, name: str, rows: Sequence[TableRow]) -> Iterator[Series]:
    """(label, colour, symbol, rows with a result) for each value of an axis; all in one without an axis."""
    good = [row for row in rows if not row["error"]]
    if not name:
        yield "", COMPONENT_COLOURS["array"], SYMBOLS[0], good
        return
    axis = sweep.axis(name)
    values = sweep.values(axis)
    for at, (value, tint) in enumerate(_tints(axis, values).items()):
        yield axis.show(value), tint, SYMBOLS[at % len(SYMBOLS)], [row for row in good if row[axis.column] == value]


def _tints(axis: SweepAxis, values: Sequence[str]) -> Mapping[str, str]:
    """Schedules have their own colours."""
    if axis.name == "schedule":
        return colours(values)
    palette = list(COMPONENT_COLOURS.values())
    return {value: palette[at % len(palette)] for at, value in enumerate(values)}


def metric_scale(metric: str, values: Iterable[float]) -> DisplayScale:
    """The unit in which values of a metric are drawn."""
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
    """What an axis of a metric is called, with its unit."""
    title = METRICS[metric].title
    return f"{title} ({each.symbol})" if each.symbol and each.symbol != title else title


def said(sweep: SweepTable, row: TableRow, metrics: Iterable[str]) -> str:
    """What a point is, and its metrics."""
    varied = ", ".join(f"{axis.name} {axis.show(row[axis.column])}" for axis in sweep.summary.axes)
    return f"{varied}: {', '.join(f'{METRICS[metric].title} {metric_text(row, metric)}' for metric in metrics)}"


def metric_text(row: TableRow, metric: str) -> str:
    """A metric of a point, with its unit."""
    value = number(row, metric)
    each = metric_scale(metric, [value])
    return f"{plain(value / each.size)} {each.symbol}".rstrip()


def sweep_picture(
    sweep: SweepTable, kind: str, title: str, caption: str, panels: Sequence[Panel], notes: Sequence[str] = ()
) -> Picture:
    """A picture of up to `MOST_PANELS` panels, with notes on what it leaves out."""
    failed = len(sweep.rows) - len(sweep.good)
    left_out = [f"The first {MOST_PANELS} of {len(panels)} panels are drawn."] if len(panels) > MOST_PANELS else []
    left_out += [f"{failed} of {len(sweep.rows)} points failed and are not drawn."] if failed else []
    return Picture(
        key=f"{kind}-{sweep.key}",
        title=f"{title[:1].upper()}{title[1:]}: {sweep.summary.name}",
        caption=caption,
        panels=tuple(panels[:MOST_PANELS]),
        columns=_columns(panels),
        notes=(*notes, *left_out),
    )


def _columns(panels: Sequence[Panel]) -> int:
    """How many stand side by side: heat maps need room for their scale, and four are two rows of two."""
    wide = len(panels) == 4 or any(panel.of(Heat) for panel in panels)
    return min(2 if wide else 3, max(1, len(panels)))
