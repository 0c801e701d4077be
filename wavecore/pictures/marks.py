"""The parts of a picture: axes, marks and panels, drawn by `interactive` on a page and by `static` to a file.

A figure's module turns runs into a `Picture`; it is plain data, so tests can compare its numbers with the runs'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from wavecore.common.units import format_bytes

Symbol = Literal["circle", "square", "triangle", "diamond", "triangle-down", "pentagon", "hexagon", "star"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotAxis:
    """``names`` stand at 0, 1, 2, ...; ``ticks`` are (position, text), by default chosen by the renderer."""

    title: str = ""
    log: bool = False
    names: tuple[str, ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Bars from ``starts`` to ``starts + lengths`` at positions ``at``, with texts at their ends and ``inside`` them.

    They lie, the first at the top, or are ``upright``; ``thickness`` is in units of the positions.  ``narrow`` bars
    have their texts turned by 90 degrees.
    """

    name: str
    colours: tuple[str, ...]
    at: tuple[float, ...]
    lengths: tuple[float, ...]
    starts: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    hover: tuple[str, ...] = ()
    legend: bool = False
    upright: bool = False
    narrow: bool = False
    thickness: float = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """One value for each name of the x axis, None for none, as a step line or, on top of ``bases``, as an area.

    A mark without ``hover`` texts shows its values in ``unit``.
    """

    name: str
    colour: str
    values: tuple[float | None, ...]
    bases: tuple[float, ...] = ()
    unit: str = ""
    hover: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineMark:
    """A line through points; ``stepped`` holds each value until the next."""

    name: str
    colour: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    dashed: bool = False
    stepped: bool = False
    hover: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Single points: ``hollow`` ones for the background, ``large`` ones, with a black edge, to be noticed."""

    name: str
    colour: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    symbol: Symbol = "circle"
    hollow: bool = False
    large: bool = False
    hover: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A range of the x axis, shaded or not, with a label above ``at``; ``row`` lifts labels that would collide."""

    low: float
    high: float
    label: str
    shaded: bool
    at: float = 0.0
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLine:
    """A horizontal line at ``y``: a limit."""

    name: str
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A matrix of values, row by row, over the names of both axes; None where there is no value."""

    title: str
    values: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    hover: tuple[tuple[str, ...], ...]
    low: float
    high: float


Mark = Bars | Steps | LineMark | Points | Band | LimitLine | Heat
M = TypeVar("M", Bars, Steps, LineMark, Points, Band, LimitLine, Heat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes; ``height`` is that of the plotting area in pixels of a page."""

    title: str
    x: PlotAxis
    y: PlotAxis
    marks: tuple[Mark, ...]
    height: int = 240

    def of(self, kind: type[M]) -> list[M]:
        """Return the marks of one kind, in order."""
        return [mark for mark in self.marks if isinstance(mark, kind)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Panels under one title: ``columns`` side by side where there is room; ``linked`` ones share their x axis.

    ``caption`` says in a sentence how to read it; ``notes`` what is left out, and why.  ``width`` is in pixels of a
    file; a page uses the width that it has.
    """

    key: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    columns: int = 1
    linked: bool = False
    notes: tuple[str, ...] = ()
    width: int = 1240


LONGEST_BELOW, LONGEST_BESIDE = 26, 44  # characters of names along the x and the y axis
LIMIT_COLOUR = "#000000"
GRID = "#E3E3E3"
SHADE = "#EEF1F5"


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """An entry of a legend."""

    name: str
    colour: str
    shape: Literal["box", "line", "dashes"] | Symbol
    hollow: bool = False


def legend(picture: Picture) -> tuple[LegendEntry, ...]:
    """Return the legend of a picture: each name once, in the order of the marks."""
    found: dict[str, LegendEntry] = {}
    for panel in picture.panels:
        for mark in panel.marks:
            entry = _entry(mark)
            if entry is not None:
                found.setdefault(entry.name, entry)
    return tuple(found.values())


def _entry(mark: Mark) -> LegendEntry | None:
    match mark:
        case Bars(legend=True):
            return LegendEntry(mark.name, mark.colours[0], "box")
        case Steps():
            return LegendEntry(mark.name, mark.colour, "box" if mark.bases else "line")
        case LineMark():
            return LegendEntry(mark.name, mark.colour, "dashes" if mark.dashed else "line")
        case Points():
            return LegendEntry(mark.name, mark.colour, mark.symbol, mark.hollow)
        case LimitLine():
            return LegendEntry(mark.name, LIMIT_COLOUR, "dashes")
        case _:
            return None


@dataclass(frozen=True, slots=True)
class DisplayScale:
    """A unit to draw in: values are divided by ``size``."""

    size: float
    symbol: str

    def of(self, values: Iterable[float]) -> tuple[float, ...]:
        """Return the values in this unit."""
        return tuple(value / self.size for value in values)


_STEPS: dict[str, tuple[float, tuple[str, ...]]] = {
    "B": (1024.0, ("B", "KiB", "MiB", "GiB", "TiB")),
    "s": (1000.0, ("ns", "µs", "ms", "s")),
    "J": (1000.0, ("nJ", "µJ", "mJ", "J", "kJ")),
}
_FIRST = {"B": 1.0, "s": 1e-9, "J": 1e-9}


def scale(values: Iterable[float], unit: Literal["B", "s", "J"]) -> DisplayScale:
    """Return the largest unit in which the largest of ``values`` (bytes, seconds or joules) is at least 1."""
    largest = max(values, default=0.0)
    factor, symbols = _STEPS[unit]
    sizes = [DisplayScale(_FIRST[unit] * factor**at, symbol) for at, symbol in enumerate(symbols)]
    fitting = [each for each in sizes if each.size <= largest]
    return fitting[-1] if fitting else sizes[0]


def byte_axis(title: str, values: Sequence[float]) -> PlotAxis:
    """Return a logarithmic axis of bytes around positive ``values``, its ticks powers of two with a binary prefix."""
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    step = next((step for step in (1, 2, 4, 5) if (high - low) / step <= 7), 10)
    ticks = tuple((2.0**power, format_bytes(2.0**power)) for power in range(low, high + 1) if power % step == 0)
    return PlotAxis(title=title, log=True, ticks=ticks, low=2.0**low * 0.9, high=2.0**high * 1.1)


def decade_axis(title: str, values: Sequence[float]) -> PlotAxis:
    """Return a logarithmic axis around positive ``values``, its ticks powers of ten, and 2 and 5 times those if few."""
    low, high = min(values) / 1.25, max(values) * 1.25
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    every = [factor * 10.0**power for power in powers for factor in factors]
    ticks = tuple((tick, plain(tick)) for tick in every if low <= tick <= high)
    return PlotAxis(title=title, log=True, ticks=ticks, low=low, high=high)


def middle_cut(text: str, longest: int) -> str:
    """Return a text with its middle left out if it is longer than ``longest`` characters."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def plain(value: float) -> str:
    """Print a number with three significant digits and without an exponent: ``0.05``, ``1.25``, ``20,000``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def stack_labels(bands: Sequence[Band], length: float, character: float = 0.011, rows: int = 3) -> tuple[Band, ...]:
    """Place labels on free rows above an axis of that ``length``, of which a ``character`` takes a share.

    What finds no room loses its label.
    """
    left = min((band.low for band in bands), default=0.0)
    ends = [left] * rows
    placed = []
    for band in bands:
        half = (len(band.label) + 1) * character * length / 2
        at = min(max((band.low + band.high) / 2, left + half), left + length - half)
        row = next((row for row in range(rows) if ends[row] <= at - half), None)
        if row is not None:
            ends[row] = at + half
        placed.append(replace(band, label=band.label if row is not None else "", at=at, row=row or 0))
    return tuple(placed)


def stacked(parts: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    """Return where each of several parts begins when it is stacked on those before it."""
    bases: list[tuple[float, ...]] = []
    top = tuple(0.0 for _ in parts[0]) if parts else ()
    for part in parts:
        bases.append(top)
        top = tuple(base + value for base, value in zip(top, part, strict=True))
    return bases
