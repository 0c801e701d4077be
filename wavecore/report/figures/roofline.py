"""The roofline: throughput of each layer and phase against the limits of arrays and memory."""

from __future__ import annotations

from wavecore.common.units import format_rate
from wavecore.pictures.marks import LineMark, Panel, Picture, Points, Symbol, decade_axis, plain
from wavecore.pictures.palette import PHASE_COLOURS
from wavecore.report.data import Shown, WorkloadRuns
from wavecore.report.figures.layers import PHASES
from wavecore.results.run import LayerRow
from wavecore.training.operations import Phase

SYMBOLS: dict[Phase, Symbol] = {
    Phase.FORWARD: "circle",
    Phase.DATA_GRADIENT: "square",
    Phase.WEIGHT_GRADIENT: "triangle",
}
ROOF = "#000000"
TERA = 1e12


def peak_macs(shown: Shown) -> float:
    """Return the peak multiply-accumulates per second of all arrays."""
    array, chip = shown.accelerator.array, shown.accelerator.chip
    return float(array.rows * array.columns * chip.cores * chip.clock_hz)


def achieved_macs(shown: Shown, row: LayerRow) -> float:
    """Return multiply-accumulates per second of a row, over its time or the time that it keeps its unit busy."""
    busy = row.vector_busy_cycles if row.vector_macs else row.array_busy_cycles
    cycles = max(row.cycles, busy, 1)
    return row.macs * shown.accelerator.chip.clock_hz / cycles


def intensity(row: LayerRow) -> float | None:
    """Return multiply-accumulates per byte of DRAM traffic; None for a row without any."""
    moved = row.dram_read_bytes + row.dram_write_bytes
    return row.macs / moved if moved else None


def roofline(case: WorkloadRuns) -> Picture:
    """Return a panel for each run, all on the same axes."""
    rows = [(shown, row) for shown in case.runs for row in shown.run.rows if row.macs]
    ridges = [peak_macs(shown) / shown.accelerator.memory.bandwidth_bytes_per_second for shown in case.runs]
    across = [value for _, row in rows if (value := intensity(row)) is not None] + ridges
    up = [achieved_macs(shown, row) / TERA for shown, row in rows] + [peak_macs(each) / TERA for each in case.runs]
    x = decade_axis("arithmetic intensity (MAC / DRAM byte)", across)
    y = decade_axis("achieved (TMAC/s)", up)
    return Picture(
        key=f"roofline-{case.key}",
        title=f"Roofline: {case.title}",
        caption="A point is a layer in one phase: under the slope memory bounds it, under the flat roof (the peak of "
        "all arrays) the arrays do. Its time is the cycles by which it moved the end of the step or those in which its "
        "arrays worked, whichever is more; above the slope are layers whose data moved while others ran. Without "
        "multiply-accumulates a layer is not drawn.",
        panels=tuple(
            Panel(title=_title(shown), x=x, y=y, marks=_marks(shown, x.low or 1, x.high or 1), height=280)
            for shown in case.runs
        ),
        columns=3,
    )


def _title(shown: Shown) -> str:
    rate = format_rate(shown.accelerator.memory.bandwidth_bytes_per_second)
    return f"{shown.label}: {plain(peak_macs(shown) / TERA)} TMAC/s, {rate}"


def _marks(shown: Shown, low: float, high: float) -> tuple[LineMark | Points, ...]:
    peak, bandwidth = peak_macs(shown) / TERA, shown.accelerator.memory.bandwidth_bytes_per_second / TERA
    ridge = peak / bandwidth
    roof = LineMark(
        name="roof: memory bandwidth, peak of all arrays",
        colour=ROOF,
        x=(low, ridge, high),
        y=(low * bandwidth, peak, peak),
        hover=("memory bandwidth", f"ridge: {plain(ridge)} MAC/byte", f"peak: {plain(peak)} TMAC/s"),
    )
    return roof, *(_points(shown, phase, high) for phase in SYMBOLS)


def _points(shown: Shown, phase: Phase, edge: float) -> Points:
    rows = [row for row in shown.run.rows if row.macs and row.phase is phase]
    across = [intensity(row) for row in rows]
    up = [achieved_macs(shown, row) / TERA for row in rows]
    return Points(
        name=PHASES[phase],
        colour=PHASE_COLOURS[phase],
        symbol=SYMBOLS[phase],
        x=tuple(edge if value is None else value for value in across),
        y=tuple(up),
        hover=tuple(
            f"{row.name}, {PHASES[phase]}: {_said(value)}, {plain(rate)} TMAC/s"
            for row, value, rate in zip(rows, across, up, strict=True)
        ),
    )


def _said(value: float | None) -> str:
    return "no DRAM traffic, drawn at the right edge" if value is None else f"{plain(value)} MAC/byte"
