"""Write docs/validation.md: what is exact, what is approximate and by how much, and which test shows each claim.

    python benchmarks/validation.py [--jobs 2]

Takes about ten minutes, nearly all of it for both engines over all workloads and schedules.  The same code always
writes the same page, byte for byte.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from claims import BANDWIDTH, ENGINES, EXACT, LAWS, PEER, Claim

from wavecore.hardware.config import load_accelerator
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.dram import Dram, bank_sets, row_set_bytes, sustained_bytes_per_second
from wavecore.hardware.scalesim import gemm_of, parse_topology, scalesim_cycles
from wavecore.hardware.specs import ArraySpec, MemorySpec
from wavecore.network.catalog import workload, workload_info, workload_names, workload_options
from wavecore.program import flows
from wavecore.simulation import simulate
from wavecore.training.unroll import training_graph

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "validation.md"
PEER_DATA = ROOT / "tests" / "crosscheck" / "data"
SCHEDULES = ("baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2")
MEMORIES = ("hbm2x2", "hbm2", "gddr5", "lpddr4")
BATCH = 32
REQUESTS = 20_000
STEP_FACTORS = (0.5, 2.0)


NOT_MODELLED = (
    "instruction fetch and control",
    "fragmentation of the global buffer (space is counted in bytes), conflicts of its banks and of its ports",
    "DRAM: per-bank or postponed refresh, and reordering among reads or among writes",
    "clock and voltage scaling, temperature",
    "the host, input decoding, and links between chips",
    "values: a zero takes as long as any other number, except in weight tiles that `sparsity.tile_skipping` leaves out",
)


@dataclass(frozen=True)
class Measured:
    """Step cycles of both engines for one workload and schedule."""

    workload: str
    schedule: str
    event: int
    analytic: int

    @property
    def error(self) -> float:
        """The analytic engine's difference from the event engine, as a share of the event engine's cycles."""
        return self.analytic / self.event - 1


def networks() -> tuple[str, ...]:
    """Return the ImageNet networks, which have the option ``width``, and the recurrent ones."""
    return tuple(name for name in workload_names() if {"width", "hidden"} & set(workload_options(name)))


def measure(case: tuple[str, str]) -> Measured:
    """Run one workload under one schedule on both engines, at its own mini-batch."""
    name, schedule = case
    machine = load_accelerator()
    training = training_graph(workload(name))
    batch = workload_info(name).batch_per_core * machine.chip.cores
    event = simulate(training, schedule, machine, batch=batch)
    analytic = simulate(training, schedule, machine, batch=batch, engine="analytic")
    return Measured(name, schedule, event.step_cycles, analytic.step_cycles)


def measure_steps(case: tuple[str, str, float]) -> int:
    """Return the event engine's step cycles if its steps are ``factor`` times as large."""
    name, schedule, factor = case
    before = flows.STEP_BYTES, flows.STEP_CYCLES
    flows.STEP_BYTES, flows.STEP_CYCLES = (round(size * factor) for size in before)
    fresh = replace(training_graph(workload(name)))  # a graph remembers the commands that were made of it
    try:
        return simulate(fresh, schedule).step_cycles
    finally:
        flows.STEP_BYTES, flows.STEP_CYCLES = before


def percent(value: float, sign: bool = True) -> str:
    """Format a share as a percentage."""
    return f"{value:{'+' if sign else ''}z.1%}".replace("-", "\N{MINUS SIGN}").replace("%", " %")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return a Markdown table whose first ``left`` columns are texts and whose others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "--:|" * (len(head) - left)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def tests_of(claim: Claim, between: str = "<br>") -> str:
    """Return the tests of a claim, each with its file."""
    return between.join(f"`{test}`" for test in claim.tests)


def claims(items: Sequence[Claim]) -> list[str]:
    """Return a table of claims and their tests."""
    return table(("claim", "shown by `tests/...`"), [(claim.text, tests_of(claim)) for claim in items], left=2)


def error_row(name: str, measured: Sequence[Measured]) -> tuple[str, ...]:
    """Return the row of a workload: its error under each schedule, and the mean of their absolute values."""
    by_schedule = {one.schedule: one.error for one in measured}
    mean = fmean(abs(error) for error in by_schedule.values())
    return (name, *(percent(by_schedule[schedule]) for schedule in SCHEDULES), percent(mean, sign=False))


def engine_section(measured: Sequence[Measured]) -> list[str]:
    """Return the section with the analytic engine's error over all workloads and schedules."""
    sizes = [abs(one.error) for one in measured]
    worst = max(measured, key=lambda one: abs(one.error))
    names = list(dict.fromkeys(one.workload for one in measured))
    rows = [error_row(name, [one for one in measured if one.workload == name]) for name in names]
    return [
        f"**The analytic engine** against the event engine, over {len(names)} workloads and {len(SCHEDULES)} "
        f"schedules: **{percent(fmean(sizes), sign=False)} of the step time in the mean, "
        f"{percent(max(sizes), sign=False)} at worst** ({worst.workload}, {worst.schedule}). {ENGINES.text} "
        f"({tests_of(ENGINES, ', ')}).",
        "",
        *table(("step time of", *SCHEDULES, "mean size"), rows),
    ]


def step_section(cycles: dict[tuple[str, float], int]) -> list[str]:
    """Return the section that shows how the size of the event engine's steps changes its result."""
    rows = []
    for schedule in ("baseline", "mbs2"):
        whole = cycles[schedule, 1.0]
        moved = [percent(cycles[schedule, factor] / whole - 1) for factor in STEP_FACTORS]
        rows.append((f"ResNet-50, {schedule}", f"{whole:,}", *moved))
    return [
        "**The event engine** is exact inside a step and event-driven between steps, which are about "
        f"{flows.STEP_BYTES // 1024} KiB of DRAM data or {flows.STEP_CYCLES} cycles long; what a command moves and "
        "computes is spread evenly over its steps. How much the size of a step changes the result:",
        "",
        *table(("step cycles", "steps as they are", "half as large", "twice as large"), rows),
    ]


def measured_by_scalesim(topology: str, rows: int, columns: int) -> dict[str, int]:
    """Return the cycles that SCALE-Sim itself printed for the layers of a topology, weight-stationary."""
    with (PEER_DATA / "scalesim_measured.csv").open(encoding="utf-8") as file:
        table_rows = csv.DictReader(line for line in file if not line.startswith("#"))
        wanted = (topology, str(rows), str(columns), "ws")
        keys = ("topology", "rows", "columns", "dataflow")
        return {row["layer"]: int(row["cycles"]) for row in table_rows if tuple(row[key] for key in keys) == wanted}


def scalesim_rows(array: ArraySpec) -> list[tuple[str, ...]]:
    """Return a row for each of the larger layers: both tools' cycles, split into their terms."""
    theirs = measured_by_scalesim("scalesim_large", array.rows, array.columns)
    rows = []
    for layer in parse_topology(PEER_DATA / "scalesim_large.csv"):
        m, n, k = gemm_of(layer)
        ours = dataflow_of(array).gemm_cycles(array, m, k, n)
        folds = -(-k // array.rows) * -(-n // array.columns)
        edges = folds * (2 * array.rows + array.columns - 2)
        measured = theirs[layer.name]
        if folds * m + edges - 1 != measured or scalesim_cycles(layer, array.rows, array.columns, "ws") != measured:
            raise AssertionError(f"{layer.name}: the terms do not add up to {measured}")
        numbers = (
            folds, folds * m, edges, measured,
            ours.fill_cycles, ours.weight_gap_cycles, ours.drain_cycles, ours.cycles,
        )  # fmt: skip
        later = dataflow_of(array).issue_cycles(array, BATCH * m, k, n) / BATCH
        rows.append((layer.name, f"{m} x {k} x {n}", *(f"{number:,}" for number in numbers), f"{later:,.0f}"))
    return rows


def scalesim_section() -> list[str]:
    """Return the section that explains the difference between SCALE-Sim and wavecore, term by term."""
    array = load_accelerator().array
    head = (
        "layer", "M x K x N", "folds F", "both: F·M", "SCALE-Sim: F·(2R+C-2)", "**SCALE-Sim**",
        "ours: fill", "ours: weight gaps", "ours: drain", "**ours**", f"ours, each of {BATCH}",
    )  # fmt: skip
    return [
        "## SCALE-Sim, term by term",
        "",
        "SCALE-Sim 3.0.0, weight-stationary, on R x C elements: every one of F = ceil(K/R) · ceil(N/C) folds takes "
        "2R + C + M - 2 cycles (R to load the weights, M to stream, R + C - 2 of skew), and folds do not overlap; "
        "per layer it prints one cycle less, because it counts from 0. That is the time of one sample without memory "
        f"stalls. The same GEMMs on wavecore's {array.rows}x{array.columns} array, from idle to the last output:",
        "",
        *table(head, scalesim_rows(array), left=2),
        "* *Counted by SCALE-Sim only*: loading weights and skewing operands in every fold. In wavecore the next "
        "weights shift into a second register while the array streams, and the operands of a wave follow those of the "
        "wave before. What remains per wave is the weight gap: the weight rows of the next wave minus the rows of the "
        "output tile, where that is positive. In SCALE-Sim a fold smaller than the array takes the time of a "
        "whole one.",
        "* *Modelled by wavecore only*: a GEMM of the whole mini-batch, so that weights are loaded once for many "
        f"samples (last column: cycles per sample of {BATCH}, on an array that is busy before and after); output tiles "
        f"of {array.tile_rows} rows, the last of which may be short; DRAM, the vector unit and the backward pass, "
        "which are left out of this table.",
        "* With one weight register per PE (`--schedule baseline`) every wave waits for its weights, as in SCALE-Sim; "
        "what still differs is the skew, R + C - 2 per fold.",
        "",
        "`wavecore scalesim TOPOLOGY.csv` lists this for any topology. `wavecore run TOPOLOGY.csv` simulates a "
        "training step of it: a layer reads the output of the layer before it if the sizes agree, and DRAM otherwise "
        "(`wavecore/importers/topology.py`).",
        "",
        *claims(PEER),
    ]


def backlog(memory: MemorySpec, kinds: str) -> float:
    """Return the bandwidth of the DRAM model over requests of streams that take turns, in bytes per second."""
    dram, now, size = Dram(memory), 0, 64 * 1024
    apart = row_set_bytes(memory) * (bank_sets(memory) * 10_000 + bank_sets(memory) // 2)
    for index in range(REQUESTS):
        turn, stream = divmod(index, len(kinds))
        now, _ = dram.serve(now, stream * apart + turn * size, size, kinds[stream] == "W")
    return REQUESTS * size / (dram.flush() * 1e-12)


def dram_section() -> list[str]:
    """Return the section with the sustained bandwidths of the memories, by formula and by the model."""
    patterns = (("one stream", "R"), ("64 KiB read, 64 KiB written", "RW"))
    rows = []
    for name in MEMORIES:
        memory = load_accelerator(memory=name).memory
        peak = memory.bandwidth_bytes_per_second
        cells, off = [], []
        for _, kinds in patterns:
            formula = sustained_bytes_per_second(memory, 64 * 1024 if len(kinds) > 1 else None)
            off.append(abs(backlog(memory, kinds) / formula - 1))
            cells.append(f"{formula / 2**30:.1f} ({formula / peak:.0%})".replace("%", " %"))
        rows.append((name, f"{peak / 2**30:.1f}", *cells, f"{max(off):.2%}".replace("%", " %")))
    head = ("GiB/s", "peak", *(pattern[0] for pattern in patterns), "largest difference")
    return [
        "## DRAM",
        "",
        "Sustained bandwidth in closed form from tRTP, tRCD, tRP, tCL, tRFC/tREFI, tWTR and tRTW (share of the peak), "
        f"and the largest difference of the model from it over {REQUESTS:,} requests. They differ because a gap may "
        "coincide with a refresh, and rows of a bank may conflict, which the formula ignores.",
        "",
        *table(head, rows),
        f"{BANDWIDTH.text} ({tests_of(BANDWIDTH, ', ')}). `wavecore run ... --dram-trace FILE` exports the requests of "
        "a run for Ramulator 2 or DRAMsim3.",
        "",
    ]


def intro() -> list[str]:
    """Return the beginning of the page, up to the measured part."""
    return [
        "# Can the numbers be trusted?",
        "",
        "What is exact, what is approximate and by how much, and what is not modelled; each claim with the tests that "
        "show it. `python benchmarks/validation.py` measures every number again and writes this page.",
        "",
        "## Exact, checked by references that share no code with what they check",
        "",
        *claims(EXACT),
        "## Invariants, tested on random networks, plans and machines",
        "",
        *claims(LAWS),
        "## Approximate, and by how much",
        "",
    ]


def outro() -> list[str]:
    """Return the rest of the page."""
    missing = ["## Not modelled", "", *(f"* {item};" for item in NOT_MODELLED)]
    missing[-1] = missing[-1].removesuffix(";") + "."
    return [
        "**Energies** and some timings are derived from public figures, each with its source in the manifest of a run; "
        "[headline.md](headline.md) shows how much each modelling choice changes the result.",
        "",
        *missing,
        "",
        *scalesim_section(),
        *dram_section(),
    ]


def page(measured: Sequence[Measured], steps: dict[tuple[str, float], int]) -> str:
    """Return the whole page."""
    lines = [*intro(), *engine_section(measured), *step_section(steps), *outro()]
    return "\n".join(lines).rstrip("\n") + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    jobs = parser.parse_args().jobs
    cases = [(name, schedule) for name in networks() for schedule in SCHEDULES]
    steps = [("resnet50", schedule, factor) for schedule in ("baseline", "mbs2") for factor in (1.0, *STEP_FACTORS)]
    with ProcessPoolExecutor(jobs) as pool:
        measured = list(pool.map(measure, cases))
        cycles = list(pool.map(measure_steps, steps))
    found = {(schedule, factor): value for (_, schedule, factor), value in zip(steps, cycles, strict=True)}
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(measured, found), encoding="utf-8", newline="\n")
    print(f"written to {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
