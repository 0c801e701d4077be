"""Run the paper's six networks under all six schedules and compare with the paper; write docs/headline.md and .png.

    python benchmarks/headline.py [--engine analytic] [--jobs 2]

Takes some minutes with the event engine.  Nothing here is fitted: the same constants make every number, and the
second half of the page shows how far each modelling choice moves the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.network.catalog import workload, workload_info
from wavecore.pictures.static import draw_sheet
from wavecore.plan.model import DEFAULT_CHOICES, BranchGradients, Choices, QueueOrder, Statistics
from wavecore.report.contents import compared
from wavecore.results.run import Run
from wavecore.simulation import find_schedule, simulate
from wavecore.training.unroll import training_graph

NETWORKS = ("resnet50", "resnet101", "resnet152", "inception_v3", "inception_v4", "alexnet")
SCHEDULES = ("baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2")
DEEP = tuple(network for network in NETWORKS if network != "alexnet")
FLOOR = ("weight", "weight_gradient", "optimizer")  # classes of DRAM bytes
DOCS = Path(__file__).resolve().parent.parent / "docs"


@dataclass(frozen=True)
class Variant:
    """One modelling choice changed; ``overrides`` change the accelerator of every schedule."""

    name: str
    choices: Choices = DEFAULT_CHOICES
    overrides: tuple[str, ...] = ()


DEFAULT = Variant("as modelled")
VARIANTS = (
    Variant("gradients of branches added in sweeps of their own", Choices(branch_gradients=BranchGradients.SWEEP)),
    Variant("statistics of normalizations taken in the drain", Choices(statistics=Statistics.DRAIN)),
    Variant("queues in program order", Choices(order=QueueOrder.PROGRAM)),
    Variant("weight gradients always added in DRAM", Choices(hold_weight_gradients=False)),
    Variant("128 vector lanes", overrides=("vector.lanes=128", "core.vector_port=1 KiB/cycle")),
    Variant("512 vector lanes behind the port of 256", overrides=("vector.lanes=512", "core.vector_port=1 KiB/cycle")),
    Variant("weights loaded under a global shift enable", overrides=("array.weight_load=global",)),
    Variant("DRAM energy doubled", overrides=("memory.energy=7.8 pJ/bit",)),
    Variant("no static power", overrides=("energy.static_per_core=0 W", "energy.static_per_global_buffer_byte=0 W/B")),
    Variant("global buffer at half the energy per access", overrides=("energy.global_buffer=4.14 pJ/B",)),
)
DECISIVE = (
    DEFAULT,
    Variant("512 lanes a core, and their port", overrides=("vector.lanes=512",)),
    Variant("1,024 lanes a core, and their port, as TPU v2", overrides=("vector.lanes=1024",)),
    Variant("normalization in one pass: each sample is held between its sweeps", Choices(normalization_passes=1)),
    Variant("one stack of HBM2 (300 GiB/s)", overrides=("memory=hbm2",)),
    Variant(
        "1,024 lanes, one pass and one stack", Choices(normalization_passes=1), ("vector.lanes=1024", "memory=hbm2")
    ),
)
"""The choices that move the speed-up most."""

DECISIVE_NETWORKS = ("resnet50", "inception_v3")


def run_one(task: tuple[str, str, Variant, str]) -> Run:
    """Simulate one network under one schedule and variant."""
    network, schedule, variant, engine = task
    machine: Accelerator = load_accelerator(overrides=variant.overrides)
    training = training_graph(workload(network))
    samples = workload_info(network).batch_per_core
    plan = find_schedule(schedule).make(training, machine, samples, variant.choices)
    return simulate(training, plan, machine, engine=engine)


def without_optimizer(run: Run) -> int:
    """Return the DRAM bytes without those of the weight update, which no schedule changes."""
    return run.dram_bytes.total - run.dram_bytes.optimizer


class Changes(NamedTuple):
    """Mean relative changes of a second run against a first: 0.1 is 10 % more."""

    traffic: float
    traffic_without_optimizer: float
    speed: float
    energy: float


def changes(pairs: Iterable[tuple[Run, Run]]) -> Changes:
    """Return the mean changes of the second run of each pair against the first."""
    pairs = list(pairs)

    def mean(of: Callable[[Run, Run], float]) -> float:
        return fmean(of(first, second) for first, second in pairs) - 1

    return Changes(
        traffic=mean(lambda a, b: b.dram_bytes.total / a.dram_bytes.total),
        traffic_without_optimizer=mean(lambda a, b: without_optimizer(b) / without_optimizer(a)),
        speed=mean(lambda a, b: a.step_seconds / b.step_seconds),
        energy=mean(lambda a, b: b.energy_joules.total / a.energy_joules.total),
    )


def percent(value: float) -> str:
    """Format a change as a percentage with its sign."""
    return f"{value:+.1%}".replace("%", " %")


def network_table(runs: Sequence[Run]) -> list[str]:
    """Return the table of one network: its schedules, each compared with the first."""
    first = runs[0]
    lines = [
        f"### {first.workload}, {first.batch} samples",
        "",
        "| schedule | DRAM | of baseline | w/o optimizer | step | speed | energy | of baseline | utilization |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for run in runs:
        lines.append(
            f"| {run.schedule} | {run.dram_bytes.total / 2**30:.2f} GiB "
            f"| {run.dram_bytes.total / first.dram_bytes.total:.3f} "
            f"| {without_optimizer(run) / without_optimizer(first):.3f} | {run.step_seconds * 1e3:.1f} ms "
            f"| {first.step_seconds / run.step_seconds:.2f}x | {run.energy_joules.total:.2f} J "
            f"| {run.energy_joules.total / first.energy_joules.total:.3f} | {run.array_utilization:.1%} |"
        )
    return [*lines, ""]


def means_table(runs: dict[tuple[str, str], Run], networks: Sequence[str]) -> list[str]:
    """Return the table of the mean changes of every schedule against baseline."""
    lines = [
        "| schedule | DRAM traffic | w/o optimizer | speed | energy |",
        "|---|--:|--:|--:|--:|",
    ]
    for schedule in SCHEDULES[1:]:
        change = changes((runs[n, "baseline"], runs[n, schedule]) for n in networks)
        lines.append(f"| {schedule} | " + " | ".join(map(percent, change)) + " |")
    return lines


def floor(runs: dict[tuple[str, str], Run]) -> str:
    """Return sentences about the bytes that no schedule saves: what share of `baseline` they are in AlexNet."""
    shares = {}
    for network in NETWORKS:
        moved = runs[network, "baseline"].dram_bytes
        shares[network] = 100 * sum(getattr(moved, part) for part in FLOOR) / moved.total
    deep = [shares[network] for network in DEEP]
    fall = percent(runs["alexnet", "mbs2"].dram_bytes.total / runs["alexnet", "baseline"].dram_bytes.total - 1)
    return f"""\
AlexNet is left out of this table, because its traffic has a floor: weights, their gradients and the optimizer's state,
nearly all of three fully-connected layers, are {shares["alexnet"]:.0f} % of its bytes under `baseline` (in the deep
networks {min(deep):.0f} to {max(deep):.0f} %).  No schedule moves them less often than `baseline` does.  AlexNet's
traffic changes by {fall} under `mbs2`."""


def bytes_saved(runs: dict[tuple[str, str], Run]) -> str:
    """Return a sentence with the change of the networks' total bytes, which weighs networks by their traffic."""
    first = sum(without_optimizer(runs[n, "baseline"]) for n in NETWORKS)
    last = sum(without_optimizer(runs[n, "mbs2"]) for n in NETWORKS)
    fall = percent(1 - last / first)[1:]
    return f"Without optimizer, the DRAM bytes of all six networks together fall by {fall} under `mbs2`."


def sensitivity(pool: ProcessPoolExecutor, networks: Sequence[str]) -> list[str]:
    """Return the table of the mean change of mbs2 against baseline under each variant (analytic engine)."""
    variants = (DEFAULT, *VARIANTS)
    tasks = [(n, s, v, "analytic") for v in variants for n in networks for s in ("baseline", "mbs2")]
    results = dict(zip(((v.name, n, s) for n, s, v, _ in tasks), pool.map(run_one, tasks), strict=True))
    lines = [
        "| choice | DRAM traffic | w/o optimizer | speed | energy |",
        "|---|--:|--:|--:|--:|",
    ]
    for variant in variants:
        pairs = [(results[variant.name, n, "baseline"], results[variant.name, n, "mbs2"]) for n in networks]
        lines.append(f"| {variant.name} | " + " | ".join(map(percent, changes(pairs))) + " |")
    return lines


def decisive(pool: ProcessPoolExecutor, engine: str) -> list[str]:
    """Return the table of the choices that decide the result, network by network."""
    tasks = [(n, s, v, engine) for v in DECISIVE for n in DECISIVE_NETWORKS for s in ("baseline", "mbs2")]
    runs = {(v.name, n, s): run for (n, s, v, _), run in zip(tasks, pool.map(run_one, tasks), strict=True)}
    lines = [
        "| choice | network | DRAM traffic, `baseline` | `mbs2` | samples/s, `baseline` | `mbs2` | speed | energy |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for variant in DECISIVE:
        for network in DECISIVE_NETWORKS:
            first, last = (runs[variant.name, network, schedule] for schedule in ("baseline", "mbs2"))
            change = changes([(first, last)])
            lines.append(
                f"| {variant.name} | {network} | {first.dram_bytes.total / 1e9:.2f} GB "
                f"| {last.dram_bytes.total / 1e9:.2f} GB | {first.samples_per_second:,.0f} "
                f"| {last.samples_per_second:,.0f} | {percent(change.speed)} | {percent(change.energy)} |"
            )
    return lines


INTRODUCTION = """\
# The headline, reproduced

The six networks of the MBS paper (arXiv 1810.00307) on the default accelerator, simulated with the {engine}
engine; `python benchmarks/headline.py` writes this page.  Each core has 32 samples (AlexNet: 64), normalization is
group normalization, and all constants are in `wavecore/hardware/presets`, with their sources.

The paper's abstract claims, for mini-batch serialization compared with the conventional baseline, on average:
DRAM traffic -73 % (version 1) or -75 % (version 4), performance +45 % or +53 %, energy -24 % or -26 %.

## Means of the five deep networks against `baseline`
"""

READING = """\

## How to read the results

* *w/o optimizer* leaves out the DRAM bytes of the weight update (fp32 master weights, momentum, the gradients that it
  adds up, the new fp16 weights), which every schedule moves once per step.
* The mean of the deep networks is the one to compare with the paper's: the mean of all six has AlexNet's floor in it.
  Speed is the paper's, energy near it; traffic falls by 8 points less.
* In the deep networks the remaining difference is weights and partial sums of weight gradients, which a group moves in
  every iteration.  The partial sums are fp32 and are both read and written.
* `archopt`'s second weight register gives three fifths of the speed-up.  `mbs2` needs little of the DRAM's bandwidth,
  so it keeps its speed on slower memories, where `baseline` does not (next table).
"""

DECIDES = """\
## What decides the speed-up

The lanes of the vector unit are a design value of this project; [silicon.md](silicon.md) derives them, and what is
public allows 512 and 1,024 as well. How often `baseline` reads the input of a normalization is a choice. The memory is
recalled: a later paper that says it follows MBS's settings (Crane, MICRO 2025) has 300 GB/s, half of the default here.
Its first figure has an axis to 20 GB for ResNet-50's traffic with 64 samples; what its baseline does is not said.
{engine} engine:
"""

CHOICES = """
## How modelling choices change the result

Mean change of `mbs2` against `baseline` over the same six networks, with one modelling choice changed at a time for
both.  This table is of the analytic engine, so its first row differs a little from the first table.

"""


def main() -> None:
    """Write the page and its figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="event", choices=("event", "analytic"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder to write to")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        tasks = [(n, s, DEFAULT, options.engine) for n in NETWORKS for s in SCHEDULES]
        runs = {(n, s): run for (n, s, _, _), run in zip(tasks, pool.map(run_one, tasks), strict=True)}
        decides = decisive(pool, options.engine)
        choices = sensitivity(pool, NETWORKS)
    lines = [INTRODUCTION.format(engine=options.engine), *means_table(runs, DEEP), "", floor(runs), ""]
    lines += ["With AlexNet, all six:", "", *means_table(runs, NETWORKS), "", bytes_saved(runs), READING]
    lines += [DECIDES.format(engine=options.engine.capitalize()), *decides, ""]
    lines += ["![traffic, time and energy](headline.png)", "", "## Every network", ""]
    for network in NETWORKS:
        lines += network_table([runs[network, schedule] for schedule in SCHEDULES])
    lines += [CHOICES.rstrip(), "", *choices]
    options.docs.mkdir(exist_ok=True)
    (options.docs / "headline.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    draw_sheet([compared([runs[n, s] for n in NETWORKS for s in SCHEDULES])], options.docs / "headline.png")
    print(f"wrote {options.docs / 'headline.md'} and headline.png")


if __name__ == "__main__":
    main()
