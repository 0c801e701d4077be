"""A metric of a sweep over one of its axes, as its specification wants it."""

from __future__ import annotations

from wavecore.pictures.marks import LineMark, Mark, Panel, Picture, PlotAxis, Points
from wavecore.report.figures.sweepparts import metric_scale, metric_title, parted, said, series_of, sweep_picture
from wavecore.report.sweeps import SweepAxis, SweepFigure, SweepTable, as_number, number
from wavecore.results.metrics import METRICS

LOG_FROM = 4  # ratio of the largest to the smallest value of an axis
MOST_TICKS = 8


def sweep_lines(sweep: SweepTable, figure: SweepFigure) -> Picture:
    """Return a line for each value of the figure's ``series``, a panel for each of its ``panels``."""
    values = [number(row, figure.y) for row in sweep.good]
    each = metric_scale(figure.y, values)
    y = PlotAxis(title=metric_title(figure.y, each), low=0.0, high=1.05 * max(values, default=1.0) / each.size or 1.0)
    x = sweep.axis(figure.x)
    places = _places(sweep, x)
    panels = []
    for title, rows in parted(sweep, [figure.panels] if figure.panels else []):
        marks: list[Mark] = []
        for label, tint, symbol, own in series_of(sweep, figure.series, rows):
            ordered = sorted(own, key=lambda row: places[row[x.column]])
            at = tuple(places[row[x.column]] for row in ordered)
            up = each.of(number(row, figure.y) for row in ordered)
            hover = tuple(said(sweep, row, (figure.y,)) for row in ordered)
            marks.append(Points(name=label, colour=tint, x=at, y=up, symbol=symbol, hover=hover))
            marks.append(LineMark(name=label, colour=tint, x=at, y=up, hover=hover))
        panels.append(Panel(title=title, x=_axis(sweep, x), y=y, marks=tuple(marks), height=240))
    colour = f" Colours are values of {figure.series}." if figure.series else ""
    title = f"{METRICS[figure.y].title} over {figure.x}"
    return sweep_picture(sweep, "lines", title, METRICS[figure.y].definition + colour, panels)


def _places(sweep: SweepTable, axis: SweepAxis) -> dict[str, float]:
    """Return the places of the values of an axis: numbers at their values, others at 0, 1, 2, ..."""
    found = {value: as_number(value) for value in sweep.values(axis)}
    return {
        value: float(at) if None in found.values() or place is None else place
        for at, (value, place) in enumerate(found.items())
    }


def _axis(sweep: SweepTable, axis: SweepAxis) -> PlotAxis:
    """Return an axis with its values as ticks; logarithmic if they span a lot."""
    places = _places(sweep, axis)
    if any(as_number(value) is None for value in places):
        return PlotAxis(title=axis.name, names=tuple(map(axis.show, places)))
    low, high = min(places.values()), max(places.values())
    every = -(-len(places) // MOST_TICKS)
    ticks = tuple((place, axis.show(value)) for value, place in list(places.items())[::every])
    if low > 0 and high / low >= LOG_FROM:
        margin = (high / low) ** 0.08
        return PlotAxis(title=axis.name, log=True, ticks=ticks, low=low / margin, high=high * margin)
    margin = 0.08 * (high - low) or 1.0
    return PlotAxis(title=axis.name, ticks=ticks, low=low - margin, high=high + margin)
