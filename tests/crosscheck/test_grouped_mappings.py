"""Grouped convolutions in every mapping: their programs yield PyTorch's gradients, and both engines time them alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import machine
from small_networks import serialized

from wavecore.golden.verification import verify_workload
from wavecore.hardware.specs import Accelerator, MappingSpec
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.model import Plan
from wavecore.program.commands import commands
from wavecore.program.lower import lower
from wavecore.simulation import make_plan, simulate
from wavecore.training.unroll import training_graph

BATCH = 10
MAPPINGS = ("by_group", "packed", "vector")


def grouped() -> LayerGraph:
    """Depthwise with and without stride, with a multiplier and unpadded; grouped; and a sum over one of them."""
    net = Network("grouped", Shape(3, 13, 13))
    x = net(ReLU(), net(GroupNorm(4), net(Conv(16, 3, 1, 1), net.input)))
    y = net(ReLU(), net(Conv(16, 3, 1, 1, groups=16), x))
    x = net(Add(), x, net(Conv(16, 1), y))
    x = net(ReLU(6.0), net(Conv(32, 3, 2, 1, groups=16, bias=True), x))
    x = net(ReLU(), net(Conv(24, 3, groups=4), x))
    x = net(Conv(24, 2, 2, groups=24), x)
    net(CrossEntropy(), net(Linear(10), net(Flatten(), net(GlobalAvgPool(), x))))
    return net.build()


def only(mapping: str, *overrides: str) -> Accelerator:
    allowed = MappingSpec(**{name: name == mapping for name in MAPPINGS})
    return replace(machine(*overrides), mapping=allowed)


def mappings(plan: Plan, accelerator: Accelerator) -> set[str]:
    found = (command.work.mapping for *_, command in commands(lower(training_graph(grouped()), plan, accelerator)))
    return {str(mapping) for mapping in found if mapping is not None}


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("schedule", ["baseline", "il", "mbs-fs", "mbs2"])
@pytest.mark.parametrize("buffer_kib", [24, 96])
def test_every_gradient_is_autograds(mapping: str, schedule: str, buffer_kib: int) -> None:
    pytest.importorskip("torch")
    accelerator = only(mapping, f"core.global_buffer={buffer_kib} KiB", "array.rows=64", "array.columns=64")
    plan = make_plan(training_graph(grouped()), schedule, accelerator, BATCH // accelerator.chip.cores)
    assert mappings(plan, accelerator) - {"plain", "trimmed"} == {mapping}
    verified = verify_workload(grouped(), schedule, accelerator, BATCH)
    assert verified.passed, verified.tensors


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("sub_batch", [1, 2])
def test_gradients_held_on_chip_over_uneven_iterations(mapping: str, sub_batch: int) -> None:
    pytest.importorskip("torch")
    plan = serialized(grouped(), BATCH // 2, sub_batch)
    verified = verify_workload(grouped(), plan, only(mapping, "core.global_buffer=2 MiB"), BATCH)
    assert verified.passed, verified.tensors


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
@pytest.mark.parametrize("buffer_kib", [256, 2048])
def test_both_engines_count_alike_and_agree_in_time(mapping: str, schedule: str, buffer_kib: int) -> None:
    accelerator = only(mapping, f"core.global_buffer={buffer_kib} KiB")
    event, analytic = (
        simulate(grouped(), schedule, accelerator, batch=64, engine=engine) for engine in ("event", "analytic")
    )
    assert analytic.step_cycles == pytest.approx(event.step_cycles, rel=0.1)
    assert analytic.dram_bytes == event.dram_bytes
    counted = [
        [(row.name, row.phase, row.mapping, row.macs, row.vector_macs, row.surplus_macs) for row in run.rows]
        for run in (event, analytic)
    ]
    assert counted[0] == counted[1]
