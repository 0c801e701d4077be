"""Compare ResNet-50's training on TPU v2 and v3, as measured, with what is simulated; write docs/silicon.md.

    python benchmarks/silicon.py [--jobs 2]

Takes about ten minutes, all of it for the event engine.  Nothing here is fitted: the presets `tpu_v2` and `tpu_v3`
have what is published of the chips, and the second table shows what each assumption beside it is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lanes import derivation

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload
from wavecore.plan.model import DEFAULT_CHOICES, Choices, QueueOrder
from wavecore.results.run import Run
from wavecore.simulation import find_schedule, simulate
from wavecore.training.unroll import training_graph

PAGE = Path(__file__).resolve().parent.parent / "docs" / "silicon.md"
NETWORK, SAMPLES = "resnet50", 256
IMAGENET_SAMPLES = 1_281_167
PRODUCT_NAMES = {"tpu_v2": "TPU v2", "tpu_v3": "TPU v3"}


@dataclass(frozen=True)
class Measured:
    """Training of ResNet-50 as somebody measured it: ``samples`` in ``seconds`` on ``chips`` chips."""

    chip: str
    what: str
    samples: float
    seconds: float
    chips: int
    source: str

    @property
    def samples_per_second(self) -> float:
        """Samples a second and chip."""
        return self.samples / self.seconds / self.chips


_MLPERF = "[MLPerf v0.5](https://github.com/mlcommons/training_results_v0.5), `v0.5.0/google/{}`"
_DAWN = (
    "[DAWNBench](https://github.com/stanford-futuredata/dawn-bench-entries), `ImageNet/train/google_resnet50_tpu_{}`"
)
_FLAX = "[Flax](https://github.com/google/flax), `examples/imagenet/README.md`, `configs/tpu.py`; hours to 0.1"
MEASURED = (
    Measured(
        chip="tpu_v2",
        what="TensorFlow, Nov 2018, 256 samples a chip; 4 epochs without evaluation, the slowest of five such windows",
        samples=4 * IMAGENET_SAMPLES,
        seconds=1146.1,
        chips=4,
        source=_MLPERF.format("cloud_v2.8/resnet-tpuv2-8/results/tpu/resnet/result_4.txt"),
    ),
    Measured(
        chip="tpu_v3",
        what="TensorFlow, Nov 2018, 256 samples a chip; 4 epochs without evaluation",
        samples=4 * IMAGENET_SAMPLES,
        seconds=686.8,
        chips=4,
        source=_MLPERF.format("cloud_v3.8/resnet-tpuv3-8/results/tpu/resnet/result_0.txt"),
    ),
    Measured(
        chip="tpu_v2",
        what="TensorFlow 1.11, Sep 2018; 89 epochs (v2 is inferred from the price)",
        samples=89 * IMAGENET_SAMPLES,
        seconds=7.898 * 3600,
        chips=4,
        source=_DAWN.format("tensorflow111.tsv"),
    ),
    Measured(
        chip="tpu_v2",
        what="TensorFlow 1.8, Apr 2018; 89 epochs (v2 is inferred from the price)",
        samples=89 * IMAGENET_SAMPLES,
        seconds=9.747 * 3600,
        chips=4,
        source=_DAWN.format("tensorflow18.tsv"),
    ),
    Measured(
        chip="tpu_v2",
        what="JAX, 64 samples a chip; 125,100 steps of 1,024 samples",
        samples=125_100 * 1024,
        seconds=2.5 * 3600,
        chips=16,
        source=_FLAX,
    ),
    Measured(
        chip="tpu_v3",
        what="JAX, 256 samples a chip; 125,100 steps of 1,024 samples",
        samples=125_100 * 1024,
        seconds=4.4 * 3600,
        chips=4,
        source=_FLAX,
    ),
)
"""The first of each chip is what is compared with: the one whose window has nothing but training in it."""


ONE_PASS = Choices(normalization_passes=1)


@dataclass(frozen=True)
class Case:
    """One simulation: a preset under a schedule, and how it differs from what is published."""

    chip: str
    differs: str = "as published"
    schedule: str = "archopt"
    choices: Choices = ONE_PASS
    overrides: tuple[str, ...] = ()


CASES = (
    Case("tpu_v2"),
    Case("tpu_v3"),
    Case("tpu_v2", "normalization reads its input twice", choices=DEFAULT_CHOICES),
    Case("tpu_v2", "256 lanes a core, as the default machine", overrides=("vector.lanes=256",)),
    Case("tpu_v2", "both of these", choices=DEFAULT_CHOICES, overrides=("vector.lanes=256",)),
    Case("tpu_v2", "one weight register an element (`baseline`)", schedule="baseline"),
    Case(
        "tpu_v2",
        "each unit works layer by layer (`--choice order=program`)",
        choices=Choices(normalization_passes=1, order=QueueOrder.PROGRAM),
    ),
    Case("tpu_v2", "serialized in sub-batches (`mbs2`): a prediction", schedule="mbs2"),
    Case("tpu_v3", "serialized in sub-batches (`mbs2`): a prediction", schedule="mbs2"),
)


def measured(chip: str) -> Measured:
    """Return the measurement that simulations of a chip are compared with."""
    return next(each for each in MEASURED if each.chip == chip)


def run_case(case: Case, engine: str) -> Run:
    """Simulate a training step of one chip."""
    machine = load_accelerator(case.chip, overrides=case.overrides)
    training = training_graph(workload(NETWORK))
    plan = find_schedule(case.schedule).make(training, machine, SAMPLES // machine.chip.cores, case.choices)
    return simulate(training, plan, machine, engine=engine)


def share_of_peak(chip: str, samples_per_second: float, macs_per_sample: float) -> float:
    """Return the share of the multiply-accumulates at the chip's peak that a rate of samples uses."""
    machine = load_accelerator(chip)
    elements = machine.chip.cores * machine.array.rows * machine.array.columns
    return samples_per_second * macs_per_sample / (elements * machine.chip.clock_hz)


def percent(share: float, signed: bool = False) -> str:
    """Format a share as a percentage."""
    return (f"{share:+.1%}" if signed else f"{share:.1%}").replace("%", " %")


def row(case: Case, event: Run, analytic: Run) -> list[str]:
    """Return the cells of one simulation in the second table."""
    real = measured(case.chip).samples_per_second
    bound = event.bound_cycles
    return [
        PRODUCT_NAMES[case.chip],
        case.differs,
        f"{event.samples_per_second:,.0f} /s",
        percent(event.samples_per_second / real - 1, signed=True),
        percent(event.array_utilization),
        f"{analytic.samples_per_second:,.0f} /s",
        percent(analytic.samples_per_second / real - 1, signed=True),
        f"{event.dram_bytes.total / 1e9:.1f} GB",
        f"{bound.binding}, {percent(bound.largest / event.step_cycles)}",
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


INTRODUCTION = """\
# Against silicon

TPU v2 is the chip that the default machine resembles: two cores, each with an array of 128 x 128 elements, at 0.7 GHz.
Its training of ResNet-50 has been measured in public. The presets `tpu_v2` and `tpu_v3` describe the chips as far as
they are published (`wavecore run resnet50 --accelerator tpu_v2`); every value has its source in
`wavecore/hardware/presets/accelerators`. `python benchmarks/silicon.py` writes this page. No constant is fitted to a
measurement.

## Measured

ResNet-50 v1.5, 224 x 224, momentum SGD, batch normalization; samples a second and chip.
"""

COMPARED = """
The first line of each chip is what simulations are compared with: its window contains training only. The others are
whole trainings with evaluation and start. They show how far software alone moves one chip: by more than a third in half
a year.

## Simulated

{samples} samples a chip, compared with the first measurement of the chip.
"""

READING = """
*Bound* is the tightest lower bound of the step's time: the unit that it is of, and its share of the step.

Read the agreement with care: it is one network, and single assumptions are worth more than the error (the lower rows).
It shows that nothing of the size of the headline is missing from the model, not that a few per cent are right. Two
assumptions matter most: how often normalization reads its input, and the second weight register, for which the paper on
TPU v1 is the only source.

## Assumptions

* The samples of a chip are split evenly over its cores, each with the whole network.
* Weights of the next tile load while the array computes (`archopt`), as TPU v1's do; layers exchange everything through
  DRAM, as one compiled operation after the other does.
* Normalization reads its input once in each direction (`--choice normalization_passes=1`). The chip normalizes over the
  batch, for which the statistics can be added up while a convolution writes its results; the simulator normalizes over
  groups of channels within a sample. Lane operations and saved tensors are those of group normalization.
* bf16 and fp16 have the same size.
* What the public sources do not say is as in the default machine: the height of an output tile, the pipeline of the
  vector unit, the timings and channels of DRAM. Energy and area are not compared: the chips are made in 16 nm, the
  energy table is of 32 nm.
* **TPU v3** has two arrays that share a core's vector unit and memory. A core here has one array
  (`hardware/rules.py`), so the preset has four cores with half a vector unit and half a buffer each. A half cannot use
  lanes or space that the other leaves idle, and weights and their gradients move once for each array instead of once a
  core; on the other hand every product splits over the arrays without rest, where a compiler must split one product
  between two.

## Left out

* The all-reduce of weight gradients between chips (102 MB in fp32 a step of ResNet-50, four chips), which can
  overlap the backward pass; the reduction between cores of a chip is simulated.
* The input pipeline and the host. TPU v3 is nearer to what they deliver, and its measured share of the peak is lower.
* What XLA does: layouts, padding of channels to the array (ResNet-50's first convolution has three), fusions other than
  those in docs/model.md, and instruction overheads.
* Samples of a batch that no step uses, evaluation, checkpoints: not in the compared windows.

## What is public, but cannot be simulated

{others}

## The lanes of the vector unit

{lanes}
"""


_PATTERSON = "[Patterson et al. 2021](https://arxiv.org/abs/2104.10350), table 4"
OTHERS = (
    (
        "Evolved Transformer, TPU v2",
        "24.8 of 46 TFLOP/s",
        _PATTERSON,
        "no attention layer yet (ARCHITECTURE.md says where one would go)",
    ),
    ("T5, Meena, GShard, Switch, TPU v3", "45.6, 42.3, 48.0, 34.4 of 123 TFLOP/s", _PATTERSON, "the same"),
    (
        "power of TPU v2, measured, with its share of the host",
        "208 W a chip",
        _PATTERSON,
        "energy here is of datapath and DRAM, in 32 nm ([energy.md](energy.md))",
    ),
    (
        "ResNet-50, Habana Gaudi",
        "more than 1,650 samples/s at 140 W: 85 mJ a sample",
        "the vendor, in Linley's newsletter of 2019-06-18",
        "its units are not public",
    ),
    (
        "ResNet-50, Ascend 910",
        "1,787 /s at batch 32, 2,115 /s at 256: 17 and 20 % of 256 TFLOP/s",
        "mindspore.cn, benchmarks of 0.2.0-alpha and r0.5",
        "not a systolic array: its units multiply blocks of 16 x 16 x 16 (no such dataflow here)",
    ),
    (
        "IBM RaPiD, batch 512",
        "102 to 588, mean 203 of 768 TFLOP/s in fp8",
        "[ISCA 2021](https://doi.org/10.1109/ISCA52012.2021.00021), abstract",
        "fp8, and no figure of a single network",
    ),
)
"""What was measured, how much, who says so, and why it is not simulated."""


def measured_table() -> list[str]:
    """Return the table of measurements."""
    rows = [
        [PRODUCT_NAMES[each.chip], f"{each.samples_per_second:,.0f} /s", each.what, each.source] for each in MEASURED
    ]
    return markdown(["chip", "samples", "what", "source"], rows)


def intro() -> list[str]:
    """Return the lines before the simulations."""
    return [INTRODUCTION, *measured_table(), COMPARED.format(samples=SAMPLES)]


def outro() -> list[str]:
    """Return the lines after the simulations."""
    others = markdown(["figure", "value", "source", "why not simulated"], OTHERS)
    return [READING.format(others="\n".join(others), lanes=derivation()).rstrip("\n")]


def simulated(runs: Mapping[tuple[Case, str], Run]) -> list[str]:
    """Return the table of simulations; beneath it what was measured, and the errors against the fastest measurement."""
    header = ["chip", "simulated", "event", "to measured", "of peak", "analytic", "to measured", "DRAM", "bound"]
    lines = markdown(header, [row(case, runs[case, "event"], runs[case, "analytic"]) for case in CASES])
    shares, errors = [], []
    for chip, name in PRODUCT_NAMES.items():
        run = runs[next(case for case in CASES if case.chip == chip), "event"]
        rate = measured(chip).samples_per_second
        shares.append(f"{name} {rate:,.0f} /s, {percent(share_of_peak(chip, rate, run.macs / SAMPLES))} of the peak")
        fastest = max(each.samples_per_second for each in MEASURED if each.chip == chip)
        errors.append(f"{name} {percent(run.samples_per_second / fastest - 1, signed=True)}")
    return [
        *lines,
        "",
        f"Measured: {'; '.join(shares)}. Of the event engine against the fastest measurement of each chip, whoever's: "
        f"{', '.join(errors)}.",
    ]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write")
    options = parser.parse_args()
    runs = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for engine in ("analytic", "event"):
            for case, run in zip(CASES, pool.map(partial(run_case, engine=engine), CASES), strict=True):
                runs[case, engine] = run
    options.page.write_text("\n".join([*intro(), *simulated(runs), *outro()]) + "\n", encoding="utf-8")
    print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
