"""Figures of a finished sweep, from its table: lines over an axis, heat maps over two, Pareto fronts.

A schedule has the colour that it has everywhere; other series are told apart by Tol's colours, ordered ones by
viridis, and all of them by their markers too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.common.units import BINARY_PREFIXES, DECIMAL_PREFIXES
from wavecore.errors import InputError
from wavecore.pictures.plots import COMPONENT_COLOURS, FORMATS, colours, save
from wavecore.results.metrics import METRICS
from wavecore.sweep.parameters import IDENTITY
from wavecore.sweep.sections import Figure as Wanted
from wavecore.sweep.spec import SweepSpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dvp*X<>"
GRID = "#DDDDDD"
MISSING = "#EEEEEE"
LEAST_FOR_LOG = 4
COLUMNS = 4


def wanted_figure(spec: SweepSpec) -> Wanted:
    """The figure of the specification, or the Pareto front of the first two objectives.

    Raises `InputError` if it has neither.
    """
    if spec.figure is not None:
        return spec.figure
    if len(spec.objectives) < 2:
        raise InputError("--plot", f"{spec.label} has no [figure], and one objective only", "a [figure] in it")
    series = "schedule" if "schedule" in spec.depends else ""
    first, second, *_ = spec.objectives
    return Wanted(kind="pareto", x=first.metric, y=second.metric, series=series)


def check_plot(path: Path) -> None:
    """Raise `InputError` for a file that no figure can be written to."""
    if path.suffix.lower() not in FORMATS:
        raise InputError("--plot", f"{path} is no {' or '.join(FORMATS)} file", f"{path.stem}.png")


def draw(spec: SweepSpec, table: pd.DataFrame, path: Path) -> None:
    """Draw the figure of a sweep into a file, whole or not at all; `FileError` if it cannot be written."""
    save(sweep_figure(spec, table), path)


def sweep_figure(spec: SweepSpec, table: pd.DataFrame) -> Figure:
    """The figure of a sweep, with one panel for each value of the axis ``panels``."""
    from matplotlib.figure import Figure as Canvas

    wanted = wanted_figure(spec)
    panels = _values(spec, table, wanted.panels)
    across = min(len(panels), COLUMNS)
    down = -(-len(panels) // across)
    wide, high = {"lines": (3.1, 3.3), "heatmap": (3.4, 3.3), "pareto": (4.6, 3.9)}[wanted.kind]
    figure = Canvas(figsize=(max(wide * across, 6.0) + 0.6, high * down + 0.7), layout="constrained")
    shared = wanted.kind != "heatmap"
    grid = figure.subplots(down, across, squeeze=False, sharex=shared, sharey=shared)
    for place, value in zip(grid.flat, panels, strict=False):
        part = table if value is None else table[table[_column(spec, wanted.panels)] == value]
        _DRAW[wanted.kind](place, spec, wanted, part, table)
        if value is not None:
            place.set_title(f"{wanted.panels} = {_shown(spec, wanted.panels, value)}", fontsize="small", loc="left")
    for place in list(grid.flat)[len(panels) :]:
        place.set_visible(False)
    for place in grid.flat if shared else ():
        place.label_outer()
    _finish(figure, spec, wanted, table, grid)
    return figure


@dataclass(frozen=True, slots=True)
class _MetricScale:
    """How values of a metric are shown: divided by ``size``, under a ``label``."""

    label: str
    size: float

    def of(self, values: Any) -> Any:
        return values / self.size


def _scale(table: pd.DataFrame, metric: str) -> _MetricScale:
    """The unit with the largest prefix that leaves the largest value above one."""
    unit, title = METRICS[metric].unit, METRICS[metric].title
    if unit == "share":
        return _MetricScale(f"{title} (%)", 0.01)
    symbol = {"bytes": "B", "s": "s", "J": "J"}.get(unit)
    if symbol is None:
        return _MetricScale(f"{title} ({unit})" if unit not in ("", title) else title, 1.0)
    largest = table[metric].max()
    prefixes = {"": 1.0}
    if symbol == "B":
        prefixes |= {prefix: 2.0**exponent for prefix, exponent in BINARY_PREFIXES.items()}
    else:
        prefixes |= {prefix: 10.0**exponent for prefix, exponent in DECIMAL_PREFIXES.items() if prefix != "µ"}
    below = {prefix: size for prefix, size in prefixes.items() if size <= largest}
    prefix = max(below, key=lambda prefix: below[prefix], default="")
    return _MetricScale(f"{title} ({prefix}{symbol})", prefixes[prefix])


def _column(spec: SweepSpec, axis: str) -> str:
    return spec.parameters[axis].column


def _values(spec: SweepSpec, table: pd.DataFrame, axis: str) -> list[Any]:
    """The values of an axis in the order of the specification; [None] if there is no axis."""
    if not axis:
        return [None]
    values = list(dict.fromkeys(table[_column(spec, axis)]))
    return sorted(values) if spec.parameters[axis].numeric else values


def _shown(spec: SweepSpec, axis: str, value: Any) -> str:
    plain = value.item() if hasattr(value, "item") else value
    return spec.parameters[axis].show(plain)


def _tints(spec: SweepSpec, axis: str, values: Sequence[Any]) -> dict[Any, Any]:
    """A colour for each value of the axis by which series differ."""
    if axis == "schedule":
        return dict(colours([str(value) for value in values]))
    if axis and spec.parameters[axis].numeric:
        from matplotlib import colormaps

        last = max(1, len(values) - 1)
        return {value: colormaps["viridis"](0.9 * index / last) for index, value in enumerate(values)}
    palette = list(COMPONENT_COLOURS.values())
    return {value: palette[index % len(palette)] for index, value in enumerate(values)}


def _series(spec: SweepSpec, wanted: Wanted, part: pd.DataFrame, table: pd.DataFrame) -> list[Any]:
    """(rows, colour, marker, label) of each series."""
    values = _values(spec, table, wanted.series)
    tints = _tints(spec, wanted.series, values)
    found = []
    for index, value in enumerate(values):
        rows = part if value is None else part[part[_column(spec, wanted.series)] == value]
        label = "" if value is None else _shown(spec, wanted.series, value)
        found.append((rows, tints[value], MARKERS[index % len(MARKERS)], label))
    return found


def _lines(axes: Axes, spec: SweepSpec, wanted: Wanted, part: pd.DataFrame, table: pd.DataFrame) -> None:
    """A metric over an axis, a line a series."""
    scale, column = _scale(table, wanted.y), _column(spec, wanted.x)
    ticks = _values(spec, table, wanted.x)
    numeric = spec.parameters[wanted.x].numeric
    position = {value: value if numeric else index for index, value in enumerate(ticks)}
    for rows, tint, marker, label in _series(spec, wanted, part, table):
        ordered = rows.assign(at=rows[column].map(position)).sort_values("at")
        axes.plot(ordered["at"], scale.of(ordered[wanted.y]), marker, ls="-", color=tint, ms=5, label=label)
    if numeric and ticks[0] > 0 and ticks[-1] / ticks[0] >= LEAST_FOR_LOG:
        axes.set_xscale("log", base=2)
    shown = ticks if len(ticks) <= 10 else ticks[:: -(-len(ticks) // 10)]
    labels = [_shown(spec, wanted.x, value) for value in shown]
    crowded = sum(map(len, labels)) > 24
    axes.set_xticks([position[value] for value in shown], labels, rotation=45 if crowded else 0, fontsize="small")
    axes.minorticks_off()
    axes.set_ylim(0, 1.05 * scale.of(table[wanted.y].max()))
    axes.grid(color=GRID, linewidth=0.6)
    axes.set(xlabel=wanted.x, ylabel=scale.label)


def _heatmap(axes: Axes, spec: SweepSpec, wanted: Wanted, part: pd.DataFrame, table: pd.DataFrame) -> None:
    """A metric over two axes; a cell without a value is empty."""
    from matplotlib import colormaps

    scale = _scale(table, wanted.value)
    across, up = (_values(spec, table, axis) for axis in (wanted.x, wanted.y))
    cells = part.pivot(index=_column(spec, wanted.y), columns=_column(spec, wanted.x), values=wanted.value)
    values = scale.of(cells.reindex(index=up, columns=across).to_numpy(dtype=float))
    low, high = scale.of(table[wanted.value].min()), scale.of(table[wanted.value].max())
    tints = colormaps["viridis"].with_extremes(bad=MISSING)
    axes.imshow(values, origin="lower", aspect="auto", cmap=tints, vmin=low, vmax=high)
    for (row, column), value in _cells(values):
        text = "none" if math.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        tint = "white" if value < (low + high) / 2 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize="small", color=tint)
    axes.set_xticks(range(len(across)), [_shown(spec, wanted.x, value) for value in across], fontsize="small")
    axes.set_yticks(range(len(up)), [_shown(spec, wanted.y, value) for value in up], fontsize="small")
    axes.set(xlabel=wanted.x, ylabel=wanted.y)


def _cells(values: Any) -> list[tuple[tuple[int, int], float]]:
    rows, columns = values.shape
    return [((row, column), float(values[row, column])) for row in range(rows) for column in range(columns)]


def _pareto(axes: Axes, spec: SweepSpec, wanted: Wanted, part: pd.DataFrame, table: pd.DataFrame) -> None:
    """Two metrics against each other; the points of the front are filled and, of these two objectives, joined."""
    x, y = (_scale(table, metric) for metric in (wanted.x, wanted.y))
    for rows, tint, marker, label in _series(spec, wanted, part, table):
        others, front = rows[~rows["pareto"]], rows[rows["pareto"]]
        axes.plot(x.of(others[wanted.x]), y.of(others[wanted.y]), marker, color=tint, ms=4, mfc="none", alpha=0.6)
        axes.plot(
            x.of(front[wanted.x]), y.of(front[wanted.y]), marker, color=tint, ms=7, mec="black", mew=0.7, zorder=3
        )
        axes.plot([], [], marker, color=tint, ms=6, label=label)
    goals = {objective.metric: objective.maximize for objective in spec.objectives}
    if {wanted.x, wanted.y} == set(goals):
        larger = goals[wanted.x]
        front = part[part["pareto"]]
        for _, joined in front.groupby([_column(spec, axis) for axis in spec.per]) if spec.per else [("", front)]:
            ordered = joined.sort_values([wanted.x, wanted.y])
            places = x.of(ordered[wanted.x]), y.of(ordered[wanted.y])
            axes.plot(*places, drawstyle=f"steps-{'pre' if larger else 'post'}", color="black", lw=1, zorder=2)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set(xlabel=x.label, ylabel=y.label)


_DRAW: dict[str, Callable[..., None]] = {"lines": _lines, "heatmap": _heatmap, "pareto": _pareto}


def _finish(figure: Figure, spec: SweepSpec, wanted: Wanted, table: pd.DataFrame, grid: Any) -> None:
    """Title, legend or colour bar, and no frame where none is needed."""
    for axes in grid.flat:
        axes.tick_params(labelsize="small")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if wanted.kind == "heatmap":
        figure.colorbar(grid.flat[0].images[0], ax=list(grid.flat), label=_scale(table, wanted.value).label, shrink=0.9)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    if any(labels):
        columns = min(len(labels), 7)
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            title=wanted.series,
            fontsize="small",
        )
    figure.suptitle(wanted.title or _described(spec, wanted, table), fontsize="medium")


def _described(spec: SweepSpec, wanted: Wanted, table: pd.DataFrame) -> str:
    """What all points share."""
    shared = {name: table[name].iloc[0] for name in IDENTITY if table[name].nunique() == 1 and name not in spec.depends}
    forms = {"batch": "{} samples", "engine": "{} engine"}
    texts = [forms.get(name, "{}").format(value) for name, value in shared.items()]
    front = "; filled: on the Pareto front" if wanted.kind == "pareto" else ""
    failed = int(table["error"].notna().sum())
    return ", ".join(texts) + front + (f"; {failed} points failed" if failed else "")
