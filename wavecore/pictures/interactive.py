"""Panels as plain specifications for plotly.js; building them needs no plotly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from wavecore.common.text import printable
from wavecore.pictures.marks import (
    GRID,
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
    Panel,
    PlotAxis,
    Points,
    Steps,
    middle_cut,
)
from wavecore.pictures.palette import ink

FONT = {"family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": 12, "color": "#222222"}
SYMBOLS = {"triangle": "triangle-up"}  # those that plotly calls otherwise
FONT_OF_TEXTS = {"size": 11, "color": "#222222"}
LABEL_ROW = 15  # pixels
TOP, BOTTOM, LEFT, RIGHT = 10, 50, 78, 34  # pixels around the plotting area; the tool bar is on its right
SCALE = 76  # pixels of the colour scale of a heat map
NAME_SIZE, NAME_WIDTH = 10, 5.6  # pixels of the names of layers: height, and mean width of a character
MOST_NAMES = 40

PlotlySpec = dict[str, Any]


def escaped(text: str) -> str:
    """Return a text in which plotly finds no markup, and a browser no control characters."""
    return printable(text, lines=True).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def panel_spec(panel: Panel, *, names_below: bool = True) -> PlotlySpec:
    """Return data and layout of one panel; ``names_below`` is off for panels that have theirs below a later one."""
    rows = max((band.row + 1 for band in panel.of(Band)), default=0)
    top = TOP + LABEL_ROW * rows
    bottom = BOTTOM + _tilted(panel.x) if names_below else 14
    layout: PlotlySpec = {
        "font": FONT,
        "height": panel.height + top + bottom,
        "margin": {
            "l": LEFT,
            "r": RIGHT + SCALE * bool(panel.of(Heat)),
            "t": top,
            "b": bottom,
        },
        "modebar": {"orientation": "v", "bgcolor": "rgba(255,255,255,0)"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "namelength": -1, "font": {"size": 12}},
        "barmode": "overlay",
        "bargap": 0.25,
        "xaxis": _axis(panel.x, LONGEST_BELOW),
        "yaxis": _axis(panel.y, LONGEST_BESIDE),
        "shapes": [shape for mark in panel.marks for shape in _shapes(mark)],
        "annotations": [note for band in panel.of(Band) for note in _label(band)],
    }
    if any(not bars.upright for bars in panel.of(Bars)):
        layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "showgrid": False}
    if panel.of(Heat):
        layout["yaxis"]["showgrid"] = False
    if panel.x.names:
        layout["xaxis"] |= {"showgrid": False, "tickangle": -60, "tickfont": {"size": NAME_SIZE}}
    if not names_below:
        layout["xaxis"] |= {"showticklabels": False, "title": {}}
    stepped = any(line.stepped for line in panel.of(LineMark)) and not panel.of(Points)
    if panel.of(Steps) or stepped:
        layout |= {"hovermode": "x unified", "hoverdistance": -1}
    return {"data": [trace for mark in panel.marks for trace in _traces(mark, panel)], "layout": layout}


def _axis(axis: PlotAxis, longest: int) -> PlotlySpec:
    spec: PlotlySpec = {
        "title": {"text": escaped(axis.title), "standoff": 8},
        "gridcolor": GRID,
        "hoverformat": ".4~g",
        "zeroline": False,
        "linecolor": "#888888",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#888888",
        "type": "log" if axis.log else "linear",
    }
    if axis.names:
        spec |= _named(axis, longest)
    if axis.ticks:
        spec |= {"tickmode": "array", "tickvals": [at for at, _ in axis.ticks]}
        spec["ticktext"] = [escaped(text) for _, text in axis.ticks]
    if axis.low is not None and axis.high is not None:
        spec["range"] = [_place(axis, axis.low), _place(axis, axis.high)]
    return spec


def _named(axis: PlotAxis, longest: int) -> PlotlySpec:
    """Return ticks with names: all of few names; of many as many as fit, and more when the reader zooms in."""
    names = [escaped(middle_cut(name, longest)) for name in axis.names]
    if longest == LONGEST_BESIDE:
        return {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.5, len(names) - 0.5]}
    few = len(names) <= MOST_NAMES
    # Half a place beyond each end is still the first or the last one's; "d" rounds it away.
    aliases = dict(enumerate(names)) | {"\u22121": names[0], str(len(names)): names[-1]}
    return {
        **({"tickmode": "linear", "tick0": 0, "dtick": 1} if few else {"nticks": MOST_NAMES}),
        "tickformat": "d",
        "hoverformat": "d",
        "labelalias": aliases,
        "range": [-0.5, len(names) - 0.5],
        "minallowed": -0.5,
        "maxallowed": len(names) - 0.5,
    }


def _tilted(axis: PlotAxis) -> int:
    """Return the pixels that names need below an axis on which they are tilted by 60 degrees."""
    longest = max((len(middle_cut(name, LONGEST_BELOW)) for name in axis.names), default=0)
    return math.ceil(NAME_WIDTH * longest * math.sin(math.pi / 3))


def _place(axis: PlotAxis, value: float) -> float:
    return math.log10(value) if axis.log else value


def _traces(mark: Mark, panel: Panel) -> list[PlotlySpec]:
    """Return what plotly.js draws a mark as; nothing for marks that are shapes of the layout."""
    match mark:
        case Bars():
            return _bars(mark)
        case Steps():
            return [_steps(mark, panel.x.names)]
        case LineMark():
            return [_line(mark)]
        case Points():
            return [_points(mark)]
        case Heat():
            return [_heat(mark)]
        case _:
            return []


def short(values: Iterable[float | None]) -> list[float | None]:
    """Return the values rounded to six significant digits, to keep the page small."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def _told(texts: tuple[str, ...]) -> PlotlySpec:
    return {"text": [escaped(text) for text in texts], "hovertemplate": "%{text}<extra></extra>"}


def _bars(mark: Bars) -> list[PlotlySpec]:
    """Return a trace of bars, and one of the texts at their ends if there are texts inside too."""
    across, along = ("x", "y") if mark.upright else ("y", "x")
    named = {"name": escaped(mark.name), "meta": mark.name}
    spec: PlotlySpec = {
        "type": "bar",
        "orientation": "v" if mark.upright else "h",
        **named,
        across: list(mark.at),
        along: short(mark.lengths),
        "width": mark.thickness,
        "marker": {"color": list(mark.colours)},
        "hovertext": [escaped(text) for text in mark.hover],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    if mark.starts:
        spec["base"] = short(mark.starts)
    if not mark.inside:
        return [spec | (_texts(mark, mark.texts, "outside") | {"textfont": FONT_OF_TEXTS} if mark.texts else {})]
    inks = {"size": 10, "color": [ink(colour) for colour in mark.colours]}
    spec |= _texts(mark, mark.inside, "inside") | {"insidetextanchor": "middle", "textfont": inks}
    if not mark.texts:
        return [spec]
    starts = mark.starts or (0.0,) * len(mark.lengths)
    ends = short(start + length for start, length in zip(starts, mark.lengths, strict=True))
    place = "top center" if mark.upright else "middle right"
    texts = {"type": "scatter", "mode": "text", **named, across: list(mark.at), along: ends, "hoverinfo": "skip"}
    spaced = mark.texts if mark.upright else tuple(f"\u00a0{text}" for text in mark.texts)  # off the end of the bar
    return [spec, texts | _texts(mark, spaced, place) | {"textfont": FONT_OF_TEXTS}]


def _texts(mark: Bars, texts: Iterable[str], position: str) -> PlotlySpec:
    turned = {"textangle": -90 if mark.narrow else 0} if position in ("inside", "outside") else {}
    return {"text": [escaped(text) for text in texts], "textposition": position, "cliponaxis": False, **turned}


def _steps(mark: Steps, names: tuple[str, ...]) -> PlotlySpec:
    """Return a step line through the middle of each name, from the first one's left edge to the last one's right."""
    inner = range(len(mark.values))
    order = [0, *inner, len(mark.values) - 1] if mark.values else []
    spec: PlotlySpec = {
        "type": "scatter",
        "mode": "lines",
        "name": escaped(mark.name),
        "meta": mark.name,
        "x": [-0.5, *inner, len(mark.values) - 0.5],
        "y": short(mark.values[at] for at in order),
        "line": {"shape": "hvh", "width": 0 if mark.bases else 1.8, "color": mark.colour},
    }
    if mark.bases:
        spec |= {"stackgroup": "all", "fillcolor": mark.colour}
    said = mark.hover or tuple(names)
    spec["text"] = [escaped(said[at]) for at in order]
    return spec | {"hovertemplate": "%{text}<extra></extra>" if mark.hover else f"%{{y:.4~g}} {mark.unit}"}


def _line(mark: LineMark) -> PlotlySpec:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escaped(mark.name),
        "meta": mark.name,
        "x": short(mark.x),
        "y": short(mark.y),
        "line": {
            "color": mark.colour,
            "width": 1.5,
            "shape": "hv" if mark.stepped else "linear",
            "dash": "dash" if mark.dashed else "solid",
        },
        **_told(mark.hover),
    }


def _points(mark: Points) -> PlotlySpec:
    edge = mark.colour if mark.hollow else "black" if mark.large else "white"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escaped(mark.name),
        "meta": mark.name,
        "x": short(mark.x),
        "y": short(mark.y),
        "cliponaxis": False,
        "marker": {
            "color": mark.colour,
            "symbol": SYMBOLS.get(mark.symbol, mark.symbol) + ("-open" if mark.hollow else ""),
            "size": (7 if mark.hollow else 11 if mark.large else 8) * (1.4 if mark.symbol == "triangle" else 1.0),
            "opacity": 1.0 if mark.large else 0.75,
            "line": {"width": 1.5 if mark.hollow else 0.6, "color": edge},
        },
        **_told(mark.hover),
    }


def _heat(mark: Heat) -> PlotlySpec:
    return {
        "type": "heatmap",
        "z": [short(row) for row in mark.values],
        "zmin": mark.low,
        "zmax": mark.high,
        "colorscale": "Viridis",
        "hovertext": [[escaped(text) for text in row] for row in mark.hover],
        "text": [[escaped(text) for text in row] for row in mark.texts],
        "texttemplate": "%{text}",
        "hovertemplate": "%{hovertext}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": escaped(mark.title), "side": "right"}, "thickness": 14},
    }


def _shapes(mark: Mark) -> list[PlotlySpec]:
    if isinstance(mark, LimitLine):
        line = {"color": LIMIT_COLOUR, "width": 1.5, "dash": "dash"}
        return [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": mark.y, "y1": mark.y, "line": line}]
    if isinstance(mark, Band):
        edges = {"x0": mark.low, "x1": mark.high, "yref": "paper", "y0": 0, "y1": 1}
        fill = SHADE if mark.shaded else "white"
        return [{"type": "rect", "layer": "below", "fillcolor": fill, "line": {"width": 0}, **edges}]
    return []


def _label(band: Band) -> list[PlotlySpec]:
    if not band.label:
        return []
    return [
        {
            "text": escaped(band.label),
            "x": band.at,
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "yshift": LABEL_ROW * band.row,
            "showarrow": False,
            "font": {"size": 11},
        }
    ]
