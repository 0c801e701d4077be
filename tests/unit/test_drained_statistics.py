"""Statistics of a normalization in the drain of the product before it: what changes, and is the step still right?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import ORDER, machine
from small_networks import NETWORKS

from wavecore.golden.verification import verify_workload
from wavecore.network.compute import VectorPass
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Conv, CrossEntropy, GroupNorm, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.model import Choices, Statistics
from wavecore.simulation import evaluate, make_plan
from wavecore.training.drained_statistics import DrainStatistics
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import Operation, Use
from wavecore.training.rewrites import rewritten
from wavecore.training.unroll import training_graph

DRAIN = Choices(statistics=Statistics.DRAIN)
IMAGE = 8 * 6 * 6


def normalized() -> LayerGraph:
    """A convolution, its normalization and ReLU; one whose ReLU comes before; and a sum that is normalized."""
    net = Network("normalized", Shape(3, 6, 6))
    x = net(Conv(8, 3, padding=1), net.input, name="plain")
    x = net(ReLU(), net(GroupNorm(4), x, name="norm"))
    early = net(ReLU(), net(Conv(8, 3, padding=1), x, name="early"))
    y = net(GroupNorm(4), early, name="after_relu")
    y = net(GroupNorm(4), net(Add(), x, y, name="sum"), name="after_sum")
    net(CrossEntropy(), net(Conv(2, 6), y, name="head"), name="loss")
    return net.build()


def forward(training: TrainingGraph) -> dict[str, Operation]:
    return {op.unit: op for unit in training.units for op in unit.forward}


def test_only_what_leaves_the_array_unchanged_is_summed_there() -> None:
    """Not what passes a ReLU first, and not what the vector unit has added."""
    before = training_graph(normalized())
    after = forward(rewritten(before, (DrainStatistics(),)))
    makes, reads = after["plain"], after["norm"]
    assert makes.writes == ("plain", "norm.statistics")
    assert makes.passes == (VectorPass(IMAGE, 1 + 2),)  # sum and sum of squares
    assert reads.reads[0] == Use("plain")
    assert reads.reads[-1] == Use("norm.statistics")
    assert reads.writes == ("norm", "norm.mask")
    assert reads.passes == (VectorPass(IMAGE, 1 + 1),)  # scale and shift, ReLU
    for name in ("early", "after_relu", "sum", "after_sum", "head"):
        assert after[name] == forward(before)[name]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_work_stays_the_same(network: str) -> None:
    training = training_graph(NETWORKS[network]())
    drained = rewritten(training, (DrainStatistics(),))
    assert training.macs == drained.macs
    work = [
        sum(each.elements * each.lane_operations for op in forward(graph).values() for each in op.passes)
        for graph in (training, drained)
    ]
    assert work[0] == work[1]


def test_a_reading_of_the_input_is_saved_where_nothing_is_on_chip() -> None:
    """``plain`` is read once less by ``norm``; the statistics are read once more, 64 bits for each of 4 groups."""
    sweep, drain = (
        evaluate(normalized(), "baseline", machine(), batch=8, choices=choices).dram_bytes.total
        for choices in (Choices(), DRAIN)
    )
    assert sweep - drain == 8 * (2 * IMAGE - 4 * 8)


@pytest.mark.parametrize("schedule", ORDER)
@pytest.mark.parametrize("sub_batches", [1, 4])
def test_the_gradients_are_autograds(schedule: str, sub_batches: int) -> None:
    """Also those of scale and shift, which are made of the statistics that the product has left."""
    pytest.importorskip("torch")
    training = training_graph(normalized())
    plan = make_plan(training, schedule, machine("core.global_buffer=24 KiB"), 4, DRAIN)
    assert plan.rewrites == (DrainStatistics(),)
    if sub_batches > 1:
        plan = replace(plan, groups=tuple(replace(group, sub_batch=1) for group in plan.groups))
    assert verify_workload(normalized(), plan, machine("core.global_buffer=24 KiB"), 8).passed
