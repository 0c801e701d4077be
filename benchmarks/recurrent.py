"""What ISS buys of recurrent networks, and the buffer from which on recurrent weights stay on chip.

    python benchmarks/recurrent.py

Prints the tables of docs/sparsity.md and writes docs/figures/iss_buffer.png.  Takes some minutes with the event engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload, workload_info
from wavecore.pictures.plots import COLOURS, save
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    """DRAM bytes of weights and time of a step over the size of the buffer."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    weights, times = figure.subplots(1, 2)
    growth = (LARGEST / SMALLEST) ** (1 / (SIZES - 1))
    sizes = [round(SMALLEST * growth**index) for index in range(SIZES)]
    for units, colour in LINES.items():
        fitting = [size for size in sizes if units != DENSE or size >= 2 * MIB]
        at = [size / MIB for size in fitting]
        weights.step(
            at, [weight_bytes(units, size) / 2**30 for size in fitting], where="post", color=colour, label=units
        )
        for memory, style in (("hbm2x2", "-"), ("lpddr4", "--")):
            runs = [run("lstm_ptb", units, "baseline", size, memory, "analytic") for size in fitting]
            label = {"hbm2x2": "HBM2", "lpddr4": "LPDDR4"}[memory] if units == DENSE else None
            values = [found.step_seconds * 1e3 for found in runs]
            times.step(at, values, style, where="post", color=colour, label=label)
    finish(weights, "DRAM traffic of weights (GiB a step)", (0.05, 0.1, 0.2, 0.5, 1, 2, 5))
    finish(times, "step time (ms)", (3, 5, 10, 20, 40))
    weights.legend(title="units left", frameon=False)
    times.legend(title="memory", frameon=False)
    figure.suptitle("lstm_ptb, 20 samples, baseline, analytic engine", fontsize="medium")
    save(figure, FIGURE)


def finish(panel: Axes, title: str, values: tuple[float, ...]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    panel.set_xlabel("global buffer of a core (MiB)")
    panel.set_yticks(values, [f"{value:g}" for value in values])
    panel.minorticks_off()
    panel.set_title(title, fontsize="medium", loc="left")
    panel.grid(color="#DDDDDD", linewidth=0.6)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


if __name__ == "__main__":
    draw()
    print(f"written to {FIGURE}")
    print_tables()
