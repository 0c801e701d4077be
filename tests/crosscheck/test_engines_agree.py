"""Do the two engines, which share the program and nothing of its timing, agree?"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from builders import ORDER, machine

from wavecore.network.catalog import workload
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

SIZES: dict[str, tuple[dict[str, Any], int]] = {
    "resnet18": ({}, 64),
    "alexnet": ({}, 64),
    "mobilenet_v2": ({}, 16),
    "resnet50": ({}, 64),
    "lstm_ptb": ({"vocabulary": 1000, "layers": 1, "steps": 5}, 20),
    "bidaf": ({"steps": 50}, 60),
}


@cache
def training(name: str) -> TrainingGraph:
    return training_graph(workload(name, **SIZES[name][0]))


def both(name: str, schedule: str) -> tuple[Run, Run]:
    event, analytic = (
        simulate(training(name), schedule, machine(), batch=SIZES[name][1], engine=engine)
        for engine in ("event", "analytic")
    )
    return event, analytic


def check(name: str, schedule: str) -> None:
    event, analytic = both(name, schedule)
    assert analytic.step_cycles == pytest.approx(event.step_cycles, rel=0.08)
    assert analytic.dram_bytes == event.dram_bytes
    assert analytic.macs == event.macs
    assert analytic.groups == event.groups
    assert analytic.array_occupancy * analytic.step_cycles == pytest.approx(event.array_occupancy * event.step_cycles)
    counted = [
        [
            (row.name, row.phase, row.macs, row.vector_operations, row.dram_read_bytes, row.dram_write_bytes)
            for row in r.rows
        ]
        for r in (event, analytic)
    ]
    assert counted[0] == counted[1]
    static_and_background = event.energy_joules.static + event.energy_joules.dram
    assert abs(analytic.energy_joules.total - event.energy_joules.total) <= 0.08 * static_and_background


@pytest.mark.parametrize("schedule", ORDER)
@pytest.mark.parametrize("name", ["resnet18", "alexnet", "mobilenet_v2", "lstm_ptb", "bidaf"])
def test_small_networks(name: str, schedule: str) -> None:
    check(name, schedule)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
def test_resnet50(schedule: str) -> None:
    check("resnet50", schedule)


@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
def test_a_port_that_is_narrower_than_dram(schedule: str) -> None:
    """One core has all of HBM2, 921 bytes per cycle, behind a port of 512 each way."""
    one = machine("chip.cores=1")
    graph = workload("lstm_ptb", vocabulary=2000, embedding=500, hidden=300, steps=7)
    event, analytic = (simulate(graph, schedule, one, batch=10, engine=engine) for engine in ("event", "analytic"))
    assert analytic.step_cycles == pytest.approx(event.step_cycles, rel=0.08)
    assert analytic.dram_bytes == event.dram_bytes
