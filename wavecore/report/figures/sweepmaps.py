"""Heat maps: a metric of a sweep over two of its axes."""

from __future__ import annotations

from collections.abc import Sequence

from wavecore.pictures.marks import DisplayScale, Heat, Panel, Picture, PlotAxis, plain
from wavecore.report.figures.sweepparts import PanelRows, metric_scale, metric_title, parted, said, sweep_picture
from wavecore.report.sweeps import SweepAxis, SweepTable, number
from wavecore.results.metrics import METRICS

MOST_CELLS = 400
ROW = 42  # pixels
IN_PANELS = ("schedule", "workload")


def sweep_map(sweep: SweepTable) -> Picture | None:
    """Return the map that the specification wants, or else one of the first objective; None if points are no grid."""
    axes = _two_axes(sweep)
    if axes is None:
        return None
    x, y = axes
    others = [axis.name for axis in sweep.summary.axes if axis not in axes and len(sweep.values(axis)) > 1]
    parts = parted(sweep, others)
    figure = sweep.summary.figure
    wanted = figure is not None and figure.kind == "heatmap"
    if not wanted and not _is_grid(sweep, axes, parts):
        return None
    metric = figure.value if figure is not None and wanted else sweep.summary.objectives[0].metric
    values = [number(row, metric) for row in sweep.good]
    each = metric_scale(metric, values)
    caption = f"{METRICS[metric].definition} All maps of one network have one scale; an empty cell has no result."
    panels = [_map(sweep, part, axes, metric, each) for part in parts]
    return sweep_picture(sweep, "map", f"{METRICS[metric].title} over {x.name} and {y.name}", caption, panels)


def _two_axes(sweep: SweepTable) -> tuple[SweepAxis, SweepAxis] | None:
    """Return the axes that the specification wants, or the two with most values but schedule and workload."""
    figure = sweep.summary.figure
    if figure is not None and figure.kind == "heatmap":
        return sweep.axis(figure.x), sweep.axis(figure.y)
    varying = [axis for axis in sweep.summary.axes if axis.name not in IN_PANELS and len(sweep.values(axis)) > 1]
    ranked = sorted(varying, key=lambda axis: (not axis.unit, -len(sweep.values(axis))))
    return (ranked[0], ranked[1]) if len(ranked) > 1 else None


def _is_grid(sweep: SweepTable, axes: tuple[SweepAxis, SweepAxis], parts: Sequence[PanelRows]) -> bool:
    """Whether the points, part by part, fill most of not too many cells, each once."""
    x, y = axes
    cells = len(sweep.values(x)) * len(sweep.values(y))
    filled = [{(row[x.column], row[y.column]) for row in rows} for _, rows in parts]
    once = all(len(found) == len(rows) for found, (_, rows) in zip(filled, parts, strict=True))
    return once and cells <= MOST_CELLS and sum(map(len, filled)) >= cells * len(parts) / 2


def _map(
    sweep: SweepTable,
    part: PanelRows,
    axes: tuple[SweepAxis, SweepAxis],
    metric: str,
    each: DisplayScale,
) -> Panel:
    (title, rows), (x, y) = part, axes
    columns, lines = sweep.values(x), sweep.values(y)
    found = {(row[y.column], row[x.column]): row for row in rows if not row["error"]}
    cells = [[found.get((line, column)) for column in columns] for line in lines]
    values = [[None if row is None else number(row, metric) / each.size for row in line] for line in cells]
    networks = {row["workload"] for row in rows}
    scaled = each.of(number(row, metric) for row in sweep.good if row["workload"] in networks)
    heat = Heat(
        title=metric_title(metric, each),
        values=tuple(map(tuple, values)),
        texts=tuple(tuple("" if value is None else plain(value) for value in line) for line in values),
        hover=tuple(tuple("" if row is None else said(sweep, row, (metric,)) for row in line) for line in cells),
        low=min(scaled, default=0.0),
        high=max(scaled, default=1.0),
    )
    return Panel(
        title=title,
        x=PlotAxis(title=x.name, names=tuple(map(x.show, columns))),
        y=PlotAxis(title=y.name, names=tuple(map(y.show, lines))),
        marks=(heat,),
        height=max(150, ROW * len(lines)),
    )
