"""The Pareto front of a sweep: its first two objectives against each other."""

from __future__ import annotations

from collections.abc import Sequence

from wavecore.pictures.marks import DisplayScale, LineMark, Mark, Panel, Picture, PlotAxis, Points, Symbol
from wavecore.report.figures.sweepparts import (
    PanelRows,
    metric_scale,
    metric_title,
    parted,
    said,
    series_of,
    sweep_picture,
)
from wavecore.report.sweeps import SweepTable, TableRow, number, on_front
from wavecore.results.metrics import METRICS

MOST_OTHERS = 2000  # points that are not on the front
FRONT_COLOUR = "#000000"


def sweep_front(sweep: SweepTable) -> Picture | None:
    """Return a panel for each value of ``per`` and of the figure's ``panels``; None with a single objective.

    The axes are those of the specification's figure, or else the first two objectives.
    """
    figure, objectives = sweep.summary.figure, sweep.summary.objectives
    wanted = figure.metrics if figure is not None and figure.kind == "pareto" else ()
    metrics = wanted or tuple(each.metric for each in objectives[:2])
    if len(metrics) < 2:
        return None
    series = _series(sweep)
    goals = ", ".join(f"{METRICS[each.metric].title} ({'large' if each.maximize else 'small'})" for each in objectives)
    others = sum(not on_front(row) for row in sweep.good)
    every = -(-others // MOST_OTHERS) or 1
    notes = [f"Of {others} points that are not on the front every {every}th is drawn."] if every > 1 else []
    caption = (
        f"Filled points are on the front of {goals}: none is better in one and as good in the others. Hollow ones are "
        f"dominated, or break a constraint.{f' Colours are values of {series}.' if series else ''}"
    )
    scales = [metric_scale(metric, [number(row, metric) for row in sweep.good]) for metric in metrics]
    apart = [*sweep.summary.per, *((figure.panels,) if wanted and figure is not None and figure.panels else ())]
    panels = [_panel(sweep, part, metrics, scales, series, every) for part in parted(sweep, dict.fromkeys(apart))]
    return sweep_picture(sweep, "front", "Pareto front", caption, panels, notes)


def _panel(
    sweep: SweepTable,
    part: PanelRows,
    metrics: tuple[str, ...],
    scales: Sequence[DisplayScale],
    apart: str,
    every: int,
) -> Panel:
    title, rows = part

    def points(own: Sequence[TableRow], name: str, tint: str, symbol: Symbol, *, hollow: bool) -> Points:
        across, up = (each.of(number(row, metric) for row in own) for metric, each in zip(metrics, scales, strict=True))
        hover = tuple(said(sweep, row, metrics) for row in own)
        return Points(
            name=name, colour=tint, x=across, y=up, symbol=symbol, hollow=hollow, large=not hollow, hover=hover
        )

    marks: list[Mark] = []
    series = list(series_of(sweep, apart, rows))
    for label, tint, symbol, own in series:
        name = f"{label}, not on the front" if label else "not on the front"
        if others := [row for row in own if not on_front(row)][::every]:
            marks.append(points(others, name, tint, symbol, hollow=True))
    goals = {each.metric: each.maximize for each in sweep.summary.objectives}
    best = sorted((row for row in rows if on_front(row)), key=lambda row: number(row, metrics[0]))
    if goals.keys() == set(metrics) and len(best) > 1:
        # From the best value of x on, each y holds until the next point: the edge of what the front dominates.
        ends = points(best[::-1] if goals[metrics[0]] else best, "Pareto front", FRONT_COLOUR, "circle", hollow=False)
        marks.append(LineMark(name=ends.name, colour=ends.colour, x=ends.x, y=ends.y, stepped=True, hover=ends.hover))
    for label, tint, symbol, own in series:
        if chosen := [row for row in own if on_front(row)]:
            marks.append(points(chosen, label or "on the front", tint, symbol, hollow=False))
    x, y = (PlotAxis(title=metric_title(metric, each)) for metric, each in zip(metrics, scales, strict=True))
    return Panel(title=title, x=x, y=y, marks=tuple(marks), height=300)


def _series(sweep: SweepTable) -> str:
    """Return the axis that colours show: the series of the specification's figure, or the schedule, if it varies."""
    figure = sweep.summary.figure
    if figure is not None and figure.series:
        return figure.series
    return next((axis.name for axis in sweep.summary.axes if axis.name == "schedule"), "")
