"""What ISS buys of recurrent networks, and the buffer from which on recurrent weights stay on chip.

    python benchmarks/recurrent.py

Prints the tables of docs/sparsity.md and writes docs/figures/iss_buffer.png.  Takes some minutes with the event engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload, workload_info
from wavecore.pictures.marks import LineMark, Mark, Panel, Picture, PlotAxis, byte_axis, decade_axis
from wavecore.pictures.palette import COLOURS
from wavecore.pictures.static import draw_sheet
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "examples" / "profiles" / "published"
FIGURE = ROOT / "docs" / "figures" / "iss_buffer.png"
MIB = 1 << 20
DENSE = "dense"
SCHEDULES = ("baseline", "il", "mbs2")
NETWORKS = {
    "lstm_ptb": {DENSE: "", "(373, 315)": "iss_lstm_ptb_21.8m", "(381, 535)": "iss_lstm_ptb_25.2m"},
    "bidaf": {DENSE: "", "0.95M": "iss_bidaf_0.95m"},
}
LINES = {DENSE: COLOURS["mbs2"], "(381, 535)": COLOURS["il"], "(373, 315)": COLOURS["mbs-opt"]}
SMALLEST, LARGEST = MIB, 32 * MIB
SIZES = 121  # of the buffer, in the figure


@cache
def training(network: str, units: str) -> TrainingGraph:
    """A network, dense or with the units that are left."""
    graph, file = workload(network), NETWORKS[network][units]
    return training_graph(apply_profile(graph, load_profile(PUBLISHED / f"{file}.toml")) if file else graph)


@cache
def run(
    network: str,
    units: str,
    schedule: str,
    buffer_bytes: int = 10 * MIB,
    memory: str = "hbm2x2",
    engine: str = "event",
) -> Run:
    machine = load_accelerator(overrides=[f"core.global_buffer={buffer_bytes} B", f"memory={memory}"])
    batch = workload_info(network).batch_per_core * machine.chip.cores
    return simulate(training(network, units), schedule, machine, batch=batch, engine=engine)


def row(found: Run, dense: Run) -> str:
    """Time, traffic, energy and utilization as a row of a table, in brackets against the dense network."""
    cells = [f"{found.step_seconds * 1e3:.3g} ms", f"{gib(found):.3g} GiB", f"{found.energy_joules.total:.3f} J"]
    if found is not dense:
        cells[0] += f" ({dense.step_seconds / found.step_seconds:.2f}x)"
        cells[1] += f" ({found.dram_bytes.total / dense.dram_bytes.total:.2f})"
        cells[2] += f" ({found.energy_joules.total / dense.energy_joules.total:.2f})"
    return " | ".join([*cells, f"{100 * found.array_utilization:.1f} %"])


def gib(found: Run) -> float:
    return found.dram_bytes.total / 2**30


def weight_bytes(units: str, buffer_bytes: int) -> int:
    """DRAM bytes of weights in a step of the language model, unit after unit."""
    return run("lstm_ptb", units, "baseline", buffer_bytes, engine="analytic").dram_bytes.weight


def steps(units: str, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """The exact buffer sizes between two at which the bytes of weights change, with these before and after."""
    before, after = weight_bytes(units, low), weight_bytes(units, high)
    if before == after:
        return
    if high - low == 1:
        yield high, before, after
        return
    middle = (low + high) // 2
    yield from steps(units, low, middle)
    yield from steps(units, middle, high)


def share(found: Run, name: str) -> float:
    """The share of DRAM traffic that a class of data has."""
    return 100 * getattr(found.dram_bytes, name) / found.dram_bytes.total


def print_tables() -> None:
    for network, variants in NETWORKS.items():
        print(f"\n{network}")
        for schedule in SCHEDULES:
            for units in variants:
                found = run(network, units, schedule)
                parts = ", ".join(
                    f"{name} {share(found, name):.0f} %" for name in ("weight", "activation", "optimizer")
                )
                print(f"| {units}, `{schedule}` | {row(found, run(network, DENSE, schedule))} |  {parts}", flush=True)
    print("\nlstm_ptb, dense: buffers and memories")
    for memory in ("hbm2x2", "lpddr4"):
        for buffer_bytes in (10 * MIB, 20 * MIB):
            found = run("lstm_ptb", DENSE, "baseline", buffer_bytes, memory)
            print(f"| {memory}, {buffer_bytes // MIB} MiB | {row(found, found)} |", flush=True)
    print("\nlstm_ptb, baseline: sizes of the buffer at which the DRAM bytes of weights change")
    for units in LINES:
        for size, before, after in steps(units, 2 * MIB if units == DENSE else SMALLEST, LARGEST):
            print(f"{units:12}{size:12,} B{size / MIB:8.2f} MiB {before / MIB:10.1f} -> {after / MIB:.1f} MiB")


def draw() -> None:
    """Draw DRAM bytes of weights and time of a step over the size of the buffer."""
    growth = (LARGEST / SMALLEST) ** (1 / (SIZES - 1))
    sizes = [round(SMALLEST * growth**index) for index in range(SIZES)]
    moved: list[Mark] = []
    times: list[Mark] = []
    for units, colour in LINES.items():
        fitting = [size for size in sizes if units != DENSE or size >= 2 * MIB]
        moved.append(line(f"units left: {units}", colour, fitting, [weight_bytes(units, size) for size in fitting]))
        for memory in ("hbm2x2", "lpddr4"):
            runs = [run("lstm_ptb", units, "baseline", size, memory, "analytic") for size in fitting]
            seconds = [found.step_seconds * 1e3 for found in runs]
            slow = memory == "lpddr4"
            name = f"{units} with LPDDR4" if slow else f"units left: {units}"
            times.append(line(name, colour, fitting, seconds, dashed=slow))
    picture = Picture(
        key="iss_buffer",
        title="Weights and time of lstm_ptb over the size of the buffer",
        caption="20 samples, baseline, analytic engine. Lines: HBM2; dashes: LPDDR4.",
        panels=(
            panel("DRAM traffic of weights in a step", byte_axis("", values(moved)), moved),
            panel("step time (ms)", decade_axis("", values(times)), times),
        ),
        columns=2,
        width=1000,
    )
    draw_sheet([picture], FIGURE)


def line(name: str, colour: str, sizes: list[int], heights: Sequence[float], *, dashed: bool = False) -> LineMark:
    """Return a line over sizes of the buffer that holds each value until the next."""
    return LineMark(name=name, colour=colour, x=tuple(map(float, sizes)), y=tuple(heights), stepped=True, dashed=dashed)


def values(lines: Sequence[Mark]) -> list[float]:
    """Return all heights of lines."""
    return [height for each in lines if isinstance(each, LineMark) for height in each.y]


def panel(title: str, y: PlotAxis, lines: Sequence[Mark]) -> Panel:
    """Return a panel over sizes of the buffer."""
    x = byte_axis("global buffer of a core", [SMALLEST, LARGEST])
    return Panel(title=title, x=x, y=y, marks=tuple(lines), height=270)


if __name__ == "__main__":
    draw()
    print(f"written to {FIGURE}")
    print_tables()
