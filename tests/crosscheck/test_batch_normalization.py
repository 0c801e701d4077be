"""Does a network that keeps batch statistics compute autograd's gradients under every schedule, and legally?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import ORDER, machine

from wavecore.errors import PlanError
from wavecore.golden.verification import verify_workload
from wavecore.importers.fusions import forbidden_fusions
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import (
    KINDS,
    Add,
    BatchNorm,
    Conv,
    CrossEntropy,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerKind,
    Linear,
    ReLU,
)
from wavecore.network.rules import verify_graph
from wavecore.network.shapes import Shape
from wavecore.plan.model import Choices, Plan
from wavecore.plan.rules import verify_plan
from wavecore.simulation import make_plan, simulate
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph


def network(norm: LayerKind) -> LayerGraph:
    """A residual block between two convolutions."""
    net = Network("batched", Shape(3, 12, 12))
    x = net(Conv(16, 3, padding=1), net.input, name="stem")
    y = net(ReLU(), net(norm, net(Conv(16, 3, padding=1), x, name="a"), name="a.norm"), name="a.relu")
    y = net(norm, net(Conv(16, 3, padding=1), y, name="b"), name="b.norm")
    x = net(Conv(24, 3, 2, 1), net(ReLU(), net(Add(), y, x, name="add"), name="relu"), name="c")
    x = net(Conv(24, 3, padding=1), net(Conv(24, 3, padding=1), x, name="d"), name="e")
    x = net(Flatten(), net(GlobalAvgPool(), x, name="pool"), name="flatten")
    net(CrossEntropy(), net(Linear(10), x, name="fc"), name="loss")
    return net.build()


GRAPH = network(BatchNorm())
SMALL = machine("core.global_buffer=32 KiB")


def plan(schedule: str, buffer: str = "32 KiB") -> Plan:
    return make_plan(training_graph(GRAPH), schedule, machine(f"core.global_buffer={buffer}"), 7)


def test_the_network_obeys_the_rules() -> None:
    verify_graph(GRAPH)
    verify_training(training_graph(GRAPH))


@pytest.mark.parametrize("buffer", ["32 KiB", "96 KiB", "1 MiB"])
@pytest.mark.parametrize("schedule", ORDER)
def test_every_schedule_computes_autograds_gradients(schedule: str, buffer: str) -> None:
    pytest.importorskip("torch")
    accelerator = machine(f"core.global_buffer={buffer}")
    made = plan(schedule, buffer)
    verify_plan(training_graph(GRAPH), made, accelerator)
    assert verify_workload(GRAPH, made, accelerator, 14).passed
    totals = {simulate(GRAPH, made, accelerator, engine=engine).dram_bytes.total for engine in ("event", "analytic")}
    assert len(totals) == 1


def test_sub_batches_pass_only_between_normalizations() -> None:
    made = plan("mbs1", "40 KiB")
    serialized = [group.units for group in made.groups if group.iterations(7) > 1]
    assert serialized and not {"a.norm", "b.norm"} & {name for units in serialized for name in units}


def test_one_size_between_normalizations() -> None:
    made = plan("mbs-fs")
    assert [group.units for group in made.groups] == [
        ("stem", "a"), ("a.norm",), ("b",), ("b.norm",), ("add", "c", "d", "e", "pool", "fc", "loss"),
    ]  # fmt: skip
    assert len({group.sub_batch for group in made.groups if len(group.units) > 1}) == 1


def test_the_whole_mini_batch_may_pass_where_it_fits() -> None:
    (group,) = plan("mbs-fs", "1 MiB").groups
    assert group.sub_batch == 7


def test_a_plan_that_cuts_the_mini_batch_is_refused() -> None:
    made = plan("mbs-fs")
    groups = tuple(replace(group, sub_batch=2) for group in made.groups)
    with pytest.raises(PlanError) as caught:
        verify_plan(training_graph(GRAPH), replace(made, groups=groups), SMALL)
    assert caught.value.message == (
        "plan mbs-fs of batched: group 2: units: 'a.norm' takes statistics of the whole mini-batch, "
        "not of sub-batches; try: a group of its own, of sub_batch = 7"
    )


def test_it_sweeps_twice_over_the_data_as_group_normalization_does() -> None:
    shape = Shape(16, 4, 4)
    ours, other = (KINDS[type(kind)] for kind in (BatchNorm(), GroupNorm(16)))
    assert ours.expand is not None and other.expand is not None
    batch, group = ours.expand(BatchNorm(), (shape,), shape), other.expand(GroupNorm(16), (shape,), shape)
    assert replace(batch.forward, whole_batch=False) == group.forward
    assert batch.data_gradient is not None and batch.data_gradient.reads_input == 2
    assert batch.saved == ()
    assert ours.parameters(BatchNorm(), (shape,)) == other.parameters(GroupNorm(16), (shape,))


def test_holding_a_sample_does_not_help() -> None:
    """With one pass, group normalization holds a sample between its sweeps; a mini-batch cannot be held like that."""
    once = Choices(normalization_passes=1)
    batch, group = (
        [simulate(network(norm), "baseline", SMALL, batch=14, choices=choices, engine="analytic").dram_bytes.total
         for choices in (Choices(), once)]
        for norm in (BatchNorm(), GroupNorm(16))
    )  # fmt: skip
    assert batch[0] == batch[1] and group[0] > group[1]


def test_forbidden_fusions() -> None:
    assert forbidden_fusions(GRAPH) == ("a / a.norm / b", "b / b.norm / add")
    assert forbidden_fusions(network(GroupNorm(4))) == ()
