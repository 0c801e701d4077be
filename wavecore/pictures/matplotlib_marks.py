"""Axes and marks, drawn through matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from wavecore.pictures.marks import (
    LIMIT_COLOUR,
    LONGEST_BELOW,
    LONGEST_BESIDE,
    SHADE,
    Band,
    Bars,
    Heat,
    LimitLine,
    LineMark,
    Mark,
    PlotAxis,
    Points,
    Steps,
    middle_cut,
)
from wavecore.pictures.palette import ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_ROW = 14  # pixels
CHARACTER = 5.4  # pixels of the mean one at 8 points
MOST_NAMES = 60
MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "triangle-down": "v",
    "pentagon": "p",
    "hexagon": "h",
    "star": "*",
}


def turned_names(axis: PlotAxis, width: float) -> int:
    """Return the pixels that names below an axis need turned by 90 degrees; 0 if they fit side by side in ``width``."""
    longest = max((len(middle_cut(name, LONGEST_BELOW)) for name in axis.names), default=0)
    shown = len(_shown_places(axis))
    return math.ceil(CHARACTER * longest) if shown * (longest + 1.5) * CHARACTER > width else 0


def set_axis(axes: Axes, which: Literal["x", "y"], axis: PlotAxis, *, named: bool = True, turned: bool = False) -> None:
    """Set scale, range, ticks and title of one axis.

    ``named`` is off where the panel below has its names, ``turned`` on where names stand upright.
    """
    ours = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    elif not axis.names:
        axes.ticklabel_format(axis=which, style="plain", useOffset=False)
    if axis.names:
        _names(axes, which, axis, named, turned)
    if axis.ticks:
        ours.set_ticks([at for at, _ in axis.ticks], labels=[text for _, text in axis.ticks])
    if axis.low is not None and axis.high is not None:
        set_limits(axis.low, axis.high)
    if named and axis.title:
        ours.set_label_text(axis.title)


def _names(axes: Axes, which: str, axis: PlotAxis, named: bool, turned: bool) -> None:
    """Write names along an axis; of many names below it, only every second, third, ..., so that they do not overlap."""
    count = len(axis.names)
    if which == "y":
        axes.set_yticks(range(count), [middle_cut(name, LONGEST_BESIDE) for name in axis.names])
        axes.set_ylim(-0.5, count - 0.5)
        return
    shown = _shown_places(axis)
    labels = [middle_cut(axis.names[at], LONGEST_BELOW) for at in shown] if named else [""] * len(shown)
    axes.set_xticks(shown, labels, rotation=90 if turned else 0, size=7 if turned else 8)
    axes.set_xlim(-0.5, count - 0.5)


def _shown_places(axis: PlotAxis) -> range:
    return range(0, len(axis.names), math.ceil(len(axis.names) / MOST_NAMES) or 1)


def draw_mark(axes: Axes, mark: Mark) -> None:
    """Draw one mark."""
    match mark:
        case Bars():
            _bars(axes, mark)
        case Steps():
            _steps(axes, mark)
        case LineMark():
            _line(axes, mark)
        case Points():
            _points(axes, mark)
        case LimitLine():
            axes.axhline(mark.y, color=LIMIT_COLOUR, linestyle="--", linewidth=1.2)
        case Band():
            _band(axes, mark)
        case Heat():
            _heat(axes, mark)


def _bars(axes: Axes, mark: Bars) -> None:
    starts = mark.starts or (0.0,) * len(mark.lengths)
    if mark.upright:
        drawn = axes.bar(mark.at, mark.lengths, bottom=starts, width=mark.thickness, color=list(mark.colours))
    else:
        drawn = axes.barh(mark.at, mark.lengths, left=starts, height=mark.thickness, color=list(mark.colours))
    turned = 90 if mark.narrow else 0
    if mark.texts:
        axes.bar_label(drawn, mark.texts, padding=3, fontsize=7.5, rotation=turned)
    if mark.inside:
        labels = axes.bar_label(drawn, mark.inside, label_type="center", fontsize=7, rotation=turned)
        for label, colour in zip(labels, mark.colours, strict=True):
            label.set_color(ink(colour))


def _steps(axes: Axes, mark: Steps) -> None:
    edges = [at - 0.5 for at in range(len(mark.values) + 1)]
    values = [math.nan if value is None else value for value in mark.values]
    if not mark.bases:
        axes.stairs(values, edges, baseline=None, color=mark.colour, linewidth=1.3)
        return
    tops = [base + value for base, value in zip(mark.bases, values, strict=True)]
    axes.stairs(tops, edges, baseline=mark.bases, color=mark.colour, fill=True, linewidth=0)


def _line(axes: Axes, mark: LineMark) -> None:
    axes.plot(
        mark.x,
        mark.y,
        color=mark.colour,
        linewidth=1.2,
        linestyle="--" if mark.dashed else "-",
        drawstyle="steps-post" if mark.stepped else "default",
    )


def _points(axes: Axes, mark: Points) -> None:
    axes.plot(
        mark.x,
        mark.y,
        linestyle="",
        marker=MARKERS[mark.symbol],
        markersize=4.5 if mark.hollow else 7.5 if mark.large else 5.5,
        color=mark.colour,
        markerfacecolor="none" if mark.hollow else mark.colour,
        markeredgecolor=mark.colour if mark.hollow else "black" if mark.large else "white",
        markeredgewidth=0.8 if mark.hollow else 0.5,
        alpha=1.0 if mark.large else 0.75,
        clip_on=False,
        zorder=4 if mark.large else 3,
    )


def _band(axes: Axes, mark: Band) -> None:
    if mark.shaded:
        axes.axvspan(mark.low, mark.high, color=SHADE, linewidth=0, zorder=0)
    axes.annotate(
        mark.label,
        (mark.at, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3 + 0.72 * LABEL_ROW * mark.row),  # points, 72 to the inch
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        annotation_clip=False,
    )


def _heat(axes: Axes, mark: Heat) -> None:
    import numpy as np

    values = np.array([[math.nan if value is None else value for value in row] for row in mark.values])
    image = axes.imshow(values, aspect="auto", origin="lower", cmap="viridis", vmin=mark.low, vmax=mark.high)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.02, 0, 0.03, 1)))
    bar.set_label(mark.title)
    middle = (mark.low + mark.high) / 2
    for row, texts in enumerate(mark.texts):
        for column, text in enumerate(texts):
            dark = not values[row, column] < middle
            axes.text(column, row, text, ha="center", va="center", size=7.5, color="black" if dark else "white")
