"""Layer by layer: DRAM traffic by class and time by phase, a panel for each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum
from typing import Literal

from wavecore.pictures.marks import DisplayScale, Panel, Picture, PlotAxis, Steps, plain, scale, stacked
from wavecore.pictures.palette import CLASS_COLOURS, PHASE_COLOURS
from wavecore.report.data import Shown, WorkloadRuns
from wavecore.results.metrics import METRICS
from wavecore.results.run import LayerRow
from wavecore.training.operations import Phase

Parts = dict[str, tuple[str, Callable[[LayerRow], float]]]

PHASES: dict[Phase, str] = {
    Phase.FORWARD: "forward",
    Phase.DATA_GRADIENT: "data gradient",
    Phase.WEIGHT_GRADIENT: "weight gradient",
    Phase.UPDATE: "update",
}


def layer_axis(layers: tuple[str, ...]) -> PlotAxis:
    """Return the axis on which each layer has its place."""
    return PlotAxis(title="layer, in the order of the network", names=layers)


def traffic(case: WorkloadRuns) -> Picture:
    """Return DRAM bytes of each layer, all phases and both directions, by class."""
    parts: Parts = {METRICS[f"dram_bytes.{name}"].title: (tint, _moved(name)) for name, tint in CLASS_COLOURS.items()}
    return Picture(
        key=f"traffic-{case.key}",
        title=f"DRAM traffic by layer: {case.title}",
        caption="The height over a layer is what it reads and writes in a step, all phases and cores together, by what "
        "is moved; all panels have one scale.",
        panels=_panels(case, parts, "B", "DRAM traffic"),
        linked=True,
    )


def time(case: WorkloadRuns) -> Picture:
    """Return the time of each layer by phase."""
    parts: Parts = {PHASES[phase]: (PHASE_COLOURS[phase], _lasted(phase)) for phase in Phase}
    return Picture(
        key=f"time-{case.key}",
        title=f"Time by layer: {case.title}",
        caption="The height over a layer is by how much its completion moved the end of the step, so that all heights "
        "add up to the step's time; work hidden behind other work counts once.",
        panels=_panels(case, parts, "s", "time"),
        linked=True,
    )


def _moved(name: str) -> Callable[[LayerRow], float]:
    return lambda row: float(getattr(row, f"dram_{name}_bytes"))


def _lasted(phase: Phase) -> Callable[[LayerRow], float]:
    return lambda row: float(row.cycles if row.phase is phase else 0)


def _panels(case: WorkloadRuns, parts: Parts, unit: Literal["B", "s"], title: str) -> tuple[Panel, ...]:
    layers = case.layers
    values = {
        shown.label: [_in_base(shown, shown.by_layer(layers, value), unit) for _, value in parts.values()]
        for shown in case.runs
    }
    highest = max(max(map(fsum, zip(*of_run, strict=True))) for of_run in values.values())
    each = scale([highest], unit)
    axis = PlotAxis(title=f"{title} ({each.symbol})", low=0.0, high=1.05 * highest / each.size or 1.0)
    return tuple(
        Panel(
            title=_title(shown, values[shown.label], each, title),
            x=layer_axis(layers),
            y=axis,
            marks=_areas(layers, parts, [each.of(part) for part in values[shown.label]], each),
            height=170,
        )
        for shown in case.runs
    )


def _in_base(shown: Shown, values: tuple[float, ...], unit: str) -> tuple[float, ...]:
    """Return cycles as seconds, and bytes unchanged."""
    return tuple(value / shown.accelerator.chip.clock_hz for value in values) if unit == "s" else values


def _title(shown: Shown, parts: Sequence[tuple[float, ...]], each: DisplayScale, title: str) -> str:
    whole = fsum(map(fsum, parts))
    best = scale([whole], "s" if each.symbol.endswith("s") else "B")
    return f"{shown.label}: {plain(whole / best.size)} {best.symbol}"


def _areas(
    layers: tuple[str, ...], parts: Parts, values: Sequence[tuple[float, ...]], each: DisplayScale
) -> tuple[Steps, ...]:
    return tuple(
        Steps(name=name, colour=tint, values=heights, bases=bases, unit=each.symbol)
        for (name, (tint, _)), heights, bases in zip(parts.items(), values, stacked(values), strict=True)
        if any(heights)
    )
