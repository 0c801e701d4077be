"""Is a gradient that reaches a value from several branches added where it is made, masked last, and nowhere twice?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import ORDER, SCHEDULES, inception, machine, residual
from small_networks import NETWORKS

from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import (
    LSTM,
    Add,
    AvgPool,
    Concat,
    Conv,
    CrossEntropy,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Inlet,
    Linear,
    MaxPool,
    Outlet,
    ReLU,
)
from wavecore.network.shapes import Shape
from wavecore.plan.files import load_plan, save_plan
from wavecore.plan.model import BranchGradients, Choices, Residency
from wavecore.plan.placement import Direction, PlacedOperation, place
from wavecore.plan.traffic import plan_traffic
from wavecore.program.commands import Command, commands
from wavecore.program.lower import lower
from wavecore.simulation import evaluate, make_plan, planned_graph
from wavecore.training.branch_sweeps import SweepBranchGradients
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import Operation
from wavecore.training.rewrites import rewritten
from wavecore.training.unroll import training_graph

SWEEP = Choices(branch_gradients=BranchGradients.SWEEP)
IMAGE = 4 * 8 * 8 * 2  # bytes of a sample between the layers of most networks here
KEPT = Residency.KEPT


def ended(net: Network, x: str) -> LayerGraph:
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), x)), name="head"), name="loss")
    return net.build()


def backward(training: TrainingGraph) -> dict[str, Operation]:
    return {op.name: op for unit in reversed(training.units) for op in unit.backward}


def added(graph: LayerGraph) -> dict[str, dict[str, list[str]]]:
    """By operation and result: what is added to it, and the mask that it meets."""
    found: dict[str, dict[str, list[str]]] = {}
    for op in backward(training_graph(graph)).values():
        for use in op.reads:
            if use.role == "drain":
                result = use.added_to or f"{use.tensor.removesuffix('.mask')}.gradient"
                found.setdefault(op.name, {}).setdefault(result, []).append(use.tensor)
    return found


def sweeps(training: TrainingGraph) -> list[tuple[str, list[str], int]]:
    """Name, reads and lane operations an element of every sweep that only adds or masks."""
    operations = [op for name, op in backward(training).items() if name.endswith(".sum")]
    return [(op.name, [use.tensor for use in op.reads], op.passes[0].lane_operations) for op in operations]


# -- who adds ------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_shortcut_is_added_by_the_convolution_of_the_branch() -> None:
    """The addition's gradient is the shortcut's too."""
    training = training_graph(residual())
    assert added(residual()) == {"a.data_gradient": {"stem.gradient": ["sum.gradient"]}}
    op = backward(training)["a.data_gradient"]
    assert op.writes == ("stem.gradient",)
    # one lane operation for the drain, one to add
    assert [(each.elements, each.lane_operations) for each in op.passes] == [(256, 1), (256, 1)]
    assert sweeps(training) == []


def test_branches_are_a_chain_of_drains() -> None:
    """Backward runs c, b, a: c writes its gradient alone, b the sum of two, a that of three."""
    operations = backward(training_graph(inception()))
    assert [operations[f"{name}.data_gradient"].writes for name in "cba"] == [
        ("stem.gradient@c",),
        ("stem.gradient+b",),
        ("stem.gradient",),
    ]
    assert added(inception()) == {
        "b.data_gradient": {"stem.gradient+b": ["stem.gradient@c"]},
        "a.data_gradient": {"stem.gradient": ["stem.gradient+b"]},
    }


def test_a_mask_is_applied_by_the_last_to_add() -> None:
    net = Network("masked", Shape(3, 8, 8))
    stem = net(ReLU(), net(Conv(4), net.input, name="stem"))
    graph = ended(net, net(Add(), *(net(Conv(4), stem, name=name) for name in "abc"), name="sum"))
    assert added(graph) == {
        "b.data_gradient": {"stem.gradient+b": ["stem.gradient@c"]},
        "a.data_gradient": {"stem.gradient": ["stem.gradient+b", "stem.mask"]},
    }
    op = backward(training_graph(graph))["a.data_gradient"]
    assert [each.lane_operations for each in op.passes] == [1, 2]  # the drain; the sum and the mask


@pytest.mark.parametrize("layer", [GroupNorm(2), MaxPool(3, 1, 1), AvgPool(3, 1, 1)])
def test_sweeps_of_a_layer_add_as_well(layer: GroupNorm | MaxPool | AvgPool) -> None:
    net = Network("swept", Shape(3, 8, 8))
    stem = net(Conv(4), net.input, name="stem")
    graph = ended(net, net(Add(), net(layer, stem, name="first"), net(Conv(4), stem, name="other"), name="sum"))
    assert added(graph) == {"first.data_gradient": {"stem.gradient": ["stem.gradient@other"]}}
    assert sweeps(training_graph(graph)) == []


def test_each_part_of_a_concatenation_has_a_sum_of_its_own() -> None:
    """A dense block: c reads a and b together, b reads a."""
    net = Network("dense", Shape(3, 8, 8))
    a = net(Conv(4), net.input, name="a")
    b = net(Conv(4), a, name="b")
    c = net(Conv(4), net(Concat(), a, b), name="c")
    graph = ended(net, net(Concat(), a, b, c, name="all"))
    operations = backward(training_graph(graph))
    assert operations["global_avg_pool1.data_gradient"].writes[0] == "a.gradient@global_avg_pool1"
    assert operations["c.data_gradient"].writes == ("a.gradient+c", "b.gradient")
    assert operations["b.data_gradient"].writes == ("a.gradient",)
    assert list(added(graph)) == ["c.data_gradient", "b.data_gradient"]


def test_parts_of_a_larger_gradient_are_added_as_such() -> None:
    """The second addend is columns 4 to 8 of the gradient of an addition of two concatenations."""
    net = Network("parts", Shape(3, 8, 8))
    a, b = (net(Conv(4), net.input, name=name) for name in "ab")
    y = net(Conv(8), net(Concat(), a, b), name="y")
    training = training_graph(ended(net, net(Add(), y, net(Concat(), a, b), name="sum")))
    uses = [use for use in backward(training)["y.data_gradient"].reads if use.added_to]
    assert [(use.tensor, use.part_bytes, use.added_to) for use in uses] == [
        ("sum.gradient", IMAGE, "a.gradient"),
        ("sum.gradient", IMAGE, "b.gradient"),
    ]
    assert backward(training)["y.data_gradient"].may_overwrite("a.gradient") == ()


def test_a_gradient_from_outside_is_added_too() -> None:
    net = Network("outside", Shape(3, 8, 8))
    x = net(Conv(4), net(Inlet(Shape(3, 8, 8)), name="inlet"), name="x")
    net(Outlet(), x, name="out")
    net(Outlet(), net(Conv(4), x, name="y"), name="end")
    net(Outlet(), net.input, name="data")
    assert added(net.build()) == {"y.data_gradient": {"x.gradient": ["x.gradient@out"]}}


# -- what still needs a sweep --------------------------------------------------------------------------------


def test_a_gradient_that_an_addition_passes_on_last_takes_a_sweep() -> None:
    """The addition reads the stem before the convolution does, so its gradient comes after the convolution's."""
    net = Network("late", Shape(3, 8, 8))
    stem = net(ReLU(), net(Conv(4), net.input, name="stem"))
    total = net(Add(), net(Conv(4), net.input, name="other"), stem, name="sum")
    training = training_graph(ended(net, net(Add(), total, net(Conv(4), stem, name="c"), name="end")))
    assert sweeps(training) == [
        ("stem.gradient.sum", ["stem.gradient@c", "end.gradient", "stem.mask"], 2),
    ]


def test_a_gradient_that_comes_twice_is_doubled_first() -> None:
    net = Network("twice", Shape(3, 8, 8))
    stem = net(Conv(4), net.input, name="stem")
    y = net(Conv(4), stem, name="y")
    graph = ended(net, net(Add(), net(Add(), stem, stem, name="double"), y, name="sum"))
    assert sweeps(training_graph(graph)) == [("stem.gradient+double.sum", ["sum.gradient"], 1)]
    assert added(graph) == {"y.data_gradient": {"stem.gradient": ["stem.gradient+double"]}}


def test_a_recurrent_layer_keeps_its_own_gradient() -> None:
    """Its weight gradient is made of it, so it is not added to others as it leaves."""
    net = Network("lstm", Shape(3, 5))
    gates = net(Linear(4 * 6), net.input, name="gates")
    states = [net(LSTM(6, reverse=reverse), gates, name=name) for name, reverse in (("on", False), ("back", True))]
    net(Outlet(), net(Add(), *states), name="out")
    training = training_graph(net.build())
    assert [reads for _, reads, _ in sweeps(training)] == [["gates.gradient@back", "gates.gradient@on"]]
    assert added(net.build()) == {}


# -- space ---------------------------------------------------------------------------------------------------


def placed(graph: LayerGraph, kept: list[str], direction: Direction = Direction.BACKWARD) -> dict[str, PlacedOperation]:
    training = training_graph(graph)
    found = place(training, 0, len(training.units) - 1, direction, dict.fromkeys(kept, KEPT))
    return {op.operation.name: op for op in found}


def test_a_sum_takes_over_the_space_of_what_is_added() -> None:
    op = placed(residual(), ["sum.gradient", "stem.gradient"])["a.data_gradient"]
    assert (op.writes[0].overwrites, op.live_bytes) == ("sum.gradient", IMAGE)
    streamed = placed(residual(), ["stem.gradient"])["a.data_gradient"]
    assert (streamed.writes[0].overwrites, streamed.live_bytes) == (None, IMAGE)


def test_every_result_may_take_over_a_space() -> None:
    net = Network("dense", Shape(3, 8, 8))
    a, b = (net(Conv(4), net.input, name=name) for name in "ab")
    both = net(Concat(), a, b)
    graph = ended(net, net(Concat(), net(Conv(4), both, name="c"), net(Conv(4), both, name="d")))
    names = [f"{name}.gradient{at}" for name in "ab" for at in ("", "@d")]
    op = placed(graph, names)["c.data_gradient"]
    assert [write.overwrites for write in op.writes] == ["a.gradient@d", "b.gradient@d"]
    assert op.live_bytes == 2 * IMAGE


def test_an_operand_is_not_overwritten_by_the_sum_that_it_is_added_to() -> None:
    """The convolution needs neighbours of what it has added already."""
    net = Network("short", Shape(3, 8, 8))
    stem = net(Conv(4), net.input, name="stem")
    graph = ended(net, net(Add(), net(Conv(4, 3, padding=1), stem, name="a"), stem, name="sum"))
    op = placed(graph, ["sum.gradient", "stem.gradient"])["a.data_gradient"]
    assert [use.role for use in op.operation.reads if use.tensor == "sum.gradient"] == ["left", "drain"]
    assert (op.writes[0].overwrites, op.live_bytes) == (None, 2 * IMAGE)


# -- steps ---------------------------------------------------------------------------------------------------


def lowered(graph: LayerGraph, name: str, schedule: str, *overrides: str) -> Command:
    training = training_graph(graph)
    plan = SCHEDULES[schedule].make(training, machine(*overrides), 4)
    return next(each for *_, each in commands(lower(training, plan, machine(*overrides))) if each.name == name)


def test_what_is_added_is_awaited_with_the_results_and_not_ahead_of_them() -> None:
    """The 3x3 convolution's own gradient is there two of eight rows ahead; what is added is not."""
    for schedule in ("baseline", "mbs2"):
        command = lowered(residual(), "a.data_gradient", schedule)
        flows = {token.tensor: token.flow for token in command.waits}
        flows |= {each.transfer.tensor.name: each.flow for each in command.loads}
        assert flows["sum.gradient"].lookahead == 0
        assert flows["a.gradient"].lookahead == IMAGE // 4
        assert flows["sum.gradient"].total == flows["a.gradient"].total == 4 * IMAGE


def preactivated() -> LayerGraph:
    net = Network("preactivated", Shape(3, 8, 8))
    stem = net(Conv(4), net.input, name="stem")
    y = net(Conv(4), net(ReLU(), net(GroupNorm(2), stem, name="norm")), name="y")
    return ended(net, net(Add(), y, stem, name="sum"))


def test_a_normalization_needs_what_it_adds_in_its_second_sweep() -> None:
    streamed = lowered(preactivated(), "norm.data_gradient", "baseline")
    (load,) = (each for each in streamed.loads if each.transfer.role == "drain")
    assert (load.transfer.tensor.name, load.flow.profile, load.freed) == (
        "sum.gradient",
        "second_sweep",
        "second_sweep",
    )
    waits = {token.tensor: token.flow for token in lowered(preactivated(), "norm.data_gradient", "mbs2").waits}
    assert (waits["norm.gradient"].profile, waits["sum.gradient"].profile) == ("first_sweep", "second_sweep")


def test_the_vector_units_port_and_the_buffer_carry_what_is_added() -> None:
    """Beside the sum it is the only operand that does not pass the array: read once, added, written."""
    alone = lowered(inception(), "c.data_gradient", "baseline").work
    more = lowered(inception(), "b.data_gradient", "baseline").work
    assert more.buffer_read_bytes - alone.buffer_read_bytes == 4 * IMAGE
    assert more.buffer_write_bytes == alone.buffer_write_bytes
    assert more.vector_operations - alone.vector_operations == 4 * IMAGE // 2


# -- the choice ----------------------------------------------------------------------------------------------


def test_sweeps_add_two_at_a_time_as_automatic_differentiation_does() -> None:
    training = rewritten(training_graph(inception()), (SweepBranchGradients(),))
    assert sweeps(training) == [
        ("stem.gradient+b.sum", ["stem.gradient@c", "stem.gradient@b"], 1),
        ("stem.gradient.sum", ["stem.gradient+b", "stem.gradient@a"], 1),
    ]
    assert all(not use.added_to for op in backward(training).values() for use in op.reads)
    assert [len(op.passes) for name, op in backward(training).items() if name in ("a.data_gradient", "loss")] == [1]


@pytest.mark.parametrize("network", NETWORKS)
def test_drains_and_sweeps_do_the_same_work(network: str) -> None:
    """As many multiply-accumulates; every sum and mask is one lane operation of an element, wherever it runs."""
    training = training_graph(NETWORKS[network]())
    swept = rewritten(training, (SweepBranchGradients(),))
    assert training.macs == swept.macs
    work = [
        sum(each.elements * each.lane_operations for op in backward(graph).values() for each in op.passes)
        for graph in (training, swept)
    ]
    assert work[0] == work[1]


@pytest.mark.parametrize("schedule", ORDER)
@pytest.mark.parametrize("network", NETWORKS)
def test_drains_move_no_more_bytes(network: str, schedule: str) -> None:
    graph = NETWORKS[network]()
    drain, sweep = (
        evaluate(graph, schedule, machine("core.global_buffer=96 KiB"), batch=10, choices=choices).dram_bytes.total
        for choices in (Choices(), SWEEP)
    )
    assert drain <= sweep


@pytest.mark.parametrize("build", [residual, inception])
def test_each_sum_saves_a_write_and_a_read(build: Callable[[], LayerGraph]) -> None:
    """A sweep: the part is written, both are read, the sum is written.  The drain: one is read, the sum is written."""
    sums = {residual: 1, inception: 2}[build]
    training = training_graph(build())
    moved = []
    for choices in (Choices(), SWEEP):
        plan = make_plan(training, "baseline", machine(), 4, choices)
        moved.append(plan_traffic(planned_graph(training, plan, machine()), plan, machine()).total())
    assert moved[1] - moved[0] == 2 * 4 * sums * 2 * IMAGE


def test_a_plan_names_the_sweeps_in_its_file(tmp_path: Path) -> None:
    training = training_graph(residual())
    plan = make_plan(training, "mbs2", machine(), 4, SWEEP)
    assert plan.rewrites == (SweepBranchGradients(),)
    save_plan(plan, tmp_path / "plan.toml")
    assert '[[rewrite]]\nname = "sweep_branch_gradients"\n' in (tmp_path / "plan.toml").read_text()
    assert load_plan(tmp_path / "plan.toml", training) == plan
    by_name, by_plan = (evaluate(training, schedule, machine(), batch=8, choices=SWEEP) for schedule in ("mbs2", plan))
    assert by_name == by_plan
    assert make_plan(rewritten(training, plan.rewrites), "mbs2", machine(), 4, SWEEP) == plan
    assert replace(plan, rewrites=()) != plan


@pytest.mark.parametrize("schedule", ORDER)
@pytest.mark.parametrize("network", ["residual", "inception", "twice", "joined", "preactivated", "both_ways"])
def test_sweeps_compute_autograds_gradients(network: str, schedule: str) -> None:
    pytest.importorskip("torch")
    from wavecore.golden.verification import verify_workload

    graph, small = NETWORKS[network](), machine("core.global_buffer=64 KiB")
    plan = make_plan(training_graph(graph), schedule, small, 5, SWEEP)
    assert verify_workload(graph, plan, small, 10).passed
