"""Has any figure of any workload changed?  Where that is meant: ``pytest tests/golden --update-golden``.

One file per engine and workload: a row per metric, a column per schedule, so that a difference names both.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload, workload_info, workload_names
from wavecore.results.run import Totals, table
from wavecore.simulation import evaluate, schedule_names
from wavecore.training.unroll import training_graph

EVENT_WORKLOADS = ("alexnet", "lenet5", "lstm_ptb", "mobilenet_v2", "resnet18")
"""Simulated with the event engine too: small enough to be quick, and with one of each kind of layer between them."""

METRICS = (
    "step_cycles",
    "macs",
    "dram_bytes.",
    "global_buffer_bytes.",
    "stall_cycles.",
    "energy_joules.",
    "group_count",
)
CASES = [("analytic", name) for name in workload_names()] + [("event", name) for name in EVENT_WORKLOADS]


@pytest.mark.parametrize(("engine", "name"), CASES)
def test_metrics_of_every_schedule(engine: str, name: str, golden: Callable[[str, str], Path]) -> None:
    training, machine = training_graph(workload(name)), load_accelerator()
    batch = workload_info(name).batch_per_core * machine.chip.cores
    runs = [evaluate(training, schedule, machine, batch=batch, engine=engine) for schedule in schedule_names()]
    golden(f"metrics/{engine}/{name}.txt", "\n".join(lines(runs)) + "\n")


def lines(runs: list[Totals]) -> Iterator[str]:
    """The metrics of ``runs``, which differ in their schedules only, as a table of text."""
    frame = table(runs)
    yield f"# {runs[0].workload}, one training step of {runs[0].batch} samples, {runs[0].engine} engine"
    rows = [["metric", *frame["schedule"]]]
    rows += [[name, *map(_shown, frame[name])] for name in frame if str(name).startswith(METRICS)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])


def _shown(value: object) -> str:
    """A whole number in full, a real one with twelve significant digits."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
