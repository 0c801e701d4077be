"""How full the global buffers are over the step."""

from __future__ import annotations

from wavecore.common.units import format_bytes
from wavecore.pictures.marks import LimitLine, LineMark, Panel, Picture, PlotAxis, scale
from wavecore.report.data import FOLDER, Shown, WorkloadRuns, left_out

CORE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
MIB = 2**20


def occupancy(case: WorkloadRuns) -> Picture:
    """Return a panel for each run with a line for each core."""
    drawn = [shown for shown in case.runs if shown.occupancy]
    return Picture(
        key=f"occupancy-{case.key}",
        title=f"Buffer occupancy: {case.title}",
        caption="What is taken of each core's global buffer over the step: the most in each of up to 1024 "
        "equal pieces of time.",
        panels=tuple(_panel(shown) for shown in drawn),
        notes=left_out(case, drawn, "Occupancy is traced by the event engine only: " + FOLDER),
    )


def _panel(shown: Shown) -> Panel:
    size = shown.accelerator.core.global_buffer_bytes
    time = scale([shown.run.step_seconds], "s")
    cycle = 1 / shown.accelerator.chip.clock_hz / time.size
    lines = []
    for core, steps in (shown.occupancy or {}).items():
        kept = [*steps, (shown.run.step_cycles, steps[-1][1])]
        lines.append(
            LineMark(
                name=f"core {core}",
                colour=CORE_COLOURS[core % len(CORE_COLOURS)],
                x=tuple(at * cycle for at, _ in kept),
                y=tuple(used / MIB for _, used in kept),
                stepped=True,
                hover=tuple(f"core {core}: {format_bytes(used)}" for _, used in kept),
            )
        )
    return Panel(
        title=f"{shown.label}, global buffer {format_bytes(size)}",
        x=PlotAxis(title=f"time ({time.symbol})", low=0.0, high=shown.run.step_seconds / time.size),
        y=PlotAxis(title="taken (MiB)", low=0.0, high=1.08 * size / MIB),
        marks=(*lines, LimitLine(name="global buffer of a core", y=size / MIB)),
        height=170,
    )
