"""Does each rule find what it is there to find, and nothing in any registered network?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from wavecore.common.entry_points import collect
from wavecore.errors import GraphError
from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload, workload_names
from wavecore.network.graph import Layer, LayerGraph, Network
from wavecore.network.layers import BatchNorm, Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear, ReLU
from wavecore.network.layers.base import LayerKind
from wavecore.network.rules import GRAPH_RULES, verify_graph
from wavecore.network.shapes import Shape
from wavecore.plan import rules as planrules
from wavecore.plan.model import Plan
from wavecore.plan.rules import verify_plan
from wavecore.plan.schedule import Schedule
from wavecore.training.branch_sweeps import SweepBranchGradients
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import OperandRole, Phase, Tensor, TensorClass, Use
from wavecore.training.rewrites import rewritten
from wavecore.training.rules import TRAINING_RULES, verify_training
from wavecore.training.unroll import training_graph


def build() -> LayerGraph:
    net = Network("small", Shape(3, 8, 8))
    x = net(ReLU(), net(GroupNorm(4), net(Conv(8, 3, padding=1), net.input)))
    x = net(Flatten(), net(GlobalAvgPool(), net(Conv(8, stride=2), x)))
    net(CrossEntropy(), net(Linear(10), x))
    return net.build()


GRAPH = build()
TRAINING = training_graph(GRAPH)


@pytest.mark.parametrize("name", workload_names())
def test_every_registered_network_passes(name: str) -> None:
    graph = workload(name)
    verify_graph(graph)
    verify_training(training_graph(graph))
    verify_training(rewritten(training_graph(graph), (SweepBranchGradients(),)))


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "mobilenet_v2"])
def test_every_registered_schedule_passes(name: str) -> None:
    training, machine = training_graph(workload(name)), load_accelerator()
    for schedule in collect("wavecore.schedules", "SCHEDULES", Schedule).values():
        verify_plan(training, schedule.make(training, machine, 32), machine)


@pytest.mark.parametrize("table", [GRAPH_RULES, TRAINING_RULES, planrules.RULES])
def test_rules_are_named_functions_that_say_what_holds(table: tuple[Callable[..., object], ...]) -> None:
    assert len({rule.__name__ for rule in table}) == len(table)
    assert all(rule.__doc__ for rule in table)


# -- networks ------------------------------------------------------------------------------------------------


def with_layer(changed: str, **changes: Any) -> LayerGraph:
    layers = (replace(each, source="", **changes) if each.name == changed else each for each in GRAPH)
    return LayerGraph("small", tuple(layers))


class Strange(LayerKind):
    """A kind that nobody has registered."""


GRAPH_MISTAKES = [
    (
        with_layer("conv2", name="conv\n2"),
        "network small, layer 'conv\\n2': is no name that can be shown; try: letters, digits, dots and dashes",
    ),
    (
        with_layer("conv2", name="conv1"),
        "network small, layer conv1: another layer has this name already; try: a name of its own",
    ),
    (
        with_layer("conv2", kind=Strange()),
        "network small, layer conv2: Strange is not a registered layer kind; try: wavecore.network.layers.KINDS",
    ),
    (
        with_layer("conv1", inputs=("relu1",)),
        "network small, layer conv1: reads 'relu1', which runs no earlier; try: each layer after all that it reads",
    ),
    (
        with_layer("conv1", inputs=("conv1",)),
        "network small, layer conv1: reads 'conv1', which runs no earlier; try: each layer after all that it reads",
    ),
    (
        with_layer("conv1", inputs=("nobody",)),
        "network small, layer conv1: reads 'nobody', which does not exist; try: each layer after all that it reads",
    ),
    (
        with_layer("conv2", shape=Shape(8, 5, 4)),
        "network small, layer conv2: its output is 8x5x4, and follows as 8x4x4 from its inputs; try: 8x4x4",
    ),
    (
        with_layer("conv2", kind=Conv(8, 9)),
        "network small, layer conv2: a window of 9 does not fit 8 with padding 0; try: other sizes",
    ),
    (
        with_layer("conv2", inputs=("norm1",)),
        "network small, layer relu1: its output is read by no layer; try: to connect it or to leave it out",
    ),
    (
        LayerGraph("small", GRAPH.layers[:-2]),
        "network small: ends with 'flatten1', which is no loss; try: a CrossEntropy at the end",
    ),
    (
        LayerGraph("small", GRAPH.layers[:-1]),
        "network small: ends with 'linear1', which is no loss; try: a CrossEntropy at the end",
    ),
    (
        LayerGraph("small", list(GRAPH.layers)),  # type: ignore[arg-type]
        "network small.layers: is a list, not a tuple; try: a value of that type",
    ),
    (
        with_layer("conv2", shape=(8, 4, 4)),
        "network small.layers[4].shape: is a tuple, not a Shape; try: a value of that type",
    ),
    (
        with_layer("conv2", kind=Conv("8")),  # type: ignore[arg-type]
        "network small.layers[4].kind.out_channels: is '8', not a whole number; try: a value of that type",
    ),
    (
        with_layer("conv2", kind=Conv(-8)),
        "network small, layer conv2: out_channels is -8; try: 1 or more",
    ),
    (
        replace(GRAPH, batch_per_core=0),
        "network small: its batch_per_core of 0 is out of range; try: 1 to 65536",
    ),
    (LayerGraph("small", ()), "network small: has no input; try: an Input as its first layer"),
]


@pytest.mark.parametrize(("graph", "message"), GRAPH_MISTAKES)
def test_a_broken_network(graph: LayerGraph, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        verify_graph(graph)
    text = caught.value.message
    for layer in GRAPH:
        text = text.replace(f" ({layer.source})", "")
    assert text == message


def test_a_broken_network_names_its_line() -> None:
    last = GRAPH.layers[-1]
    bad = Layer(last.name, last.kind, last.inputs, Shape(3), "net.py:7")
    with pytest.raises(GraphError, match=r"layer cross_entropy1 \(net.py:7\): "):
        verify_graph(LayerGraph("small", (*GRAPH.layers[:-1], bad)))


# -- training steps ------------------------------------------------------------------------------------------


def with_unit(name: str, change: Callable[[FusedLayer], FusedLayer]) -> TrainingGraph:
    units = (change(unit) if unit.name == name else unit for unit in TRAINING.units)
    return replace(TRAINING, units=tuple(units))


def with_forward(name: str, **changes: Any) -> TrainingGraph:
    return with_unit(name, lambda unit: replace(unit, forward=(replace(unit.forward[0], **changes),)))


def with_backward(name: str, phase: str, **changes: Any) -> TrainingGraph:
    def change(unit: FusedLayer) -> FusedLayer:
        backward = (replace(op, **changes) if op.phase == phase else op for op in unit.backward)
        return replace(unit, backward=tuple(backward))

    return with_unit(name, change)


def with_tensor(name: str, tensor: Tensor | None) -> TrainingGraph:
    tensors = {key: value for key, value in TRAINING.tensors.items() if key != name}
    return replace(TRAINING, tensors={**tensors, name: tensor} if tensor else tensors)


CONV1, NORM1 = TRAINING.units[0].forward[0], TRAINING.units[1].forward[0]
DATA_GRADIENT = TRAINING.units[2].backward[1]  # of conv2

TRAINING_MISTAKES = [
    (
        with_forward("conv1", reads=[*CONV1.reads]),
        ".units[0].forward[0].reads: is a list, not a tuple; try: a value of that type",
    ),
    (with_unit("conv2", lambda unit: replace(unit, name="conv1")), ", unit conv1: is there twice"),
    (with_unit("conv2", lambda unit: replace(unit, fused=("relu1",))), ", unit relu1: is there twice"),
    (
        with_forward("conv1", unit="conv2"),
        ", operation conv1.forward: is of unit conv2, and listed under conv1",
    ),
    (
        with_forward("conv1", phase=Phase.DATA_GRADIENT),
        ", operation conv1.forward: is of phase data_gradient, and listed under forward",
    ),
    (
        with_forward("conv1", gemms=(replace(CONV1.gemms[0], count=0),)),
        ", operation conv1.forward: has a size that is zero or negative",
    ),
    *(
        (
            with_forward("conv1", effectual_share=share),
            f", operation conv1.forward: has an effectual_share of {share}; try: 0 to 1",
        )
        for share in (-0.5, 1.5, float("nan"))
    ),
    (with_tensor("norm1", None), ", operation norm1.forward: names tensor 'norm1', which is not declared"),
    (
        with_tensor("norm1", Tensor("norm1", TensorClass.ACTIVATION, 0)),
        ", tensor norm1: is declared as 'norm1' of 0 bytes",
    ),
    (
        with_forward("conv2", writes=("norm1",)),
        ", operation conv2.forward: writes 'norm1', which another operation wrote before",
    ),
    (
        with_forward("conv1", writes=()),
        ", operation norm1.forward: reads 'conv1', which nothing has written yet",
    ),
    (
        with_forward("norm1", reads=(Use("conv2"), *NORM1.reads)),
        ", operation norm1.forward: reads 'conv2', which nothing has written yet",
    ),
    (
        with_backward("conv2", "data_gradient", reads=DATA_GRADIENT.reads[:-1]),
        ", operation norm1.forward: writes 'norm1.mask', which no operation reads",
    ),
    (
        with_backward("conv2", "weight_gradient", in_place=("conv1",)),
        ", operation conv2.weight_gradient: runs in place of 'conv1', which it does not read",
    ),
    *(
        (
            with_backward("conv2", "data_gradient", reads=(*DATA_GRADIENT.reads, use)),
            f", operation conv2.data_gradient: adds {what}",
        )
        for use, what in (
            (
                Use("conv2.gradient", OperandRole.DRAIN, added_to="conv1.gradient"),
                "'conv2.gradient' to 'conv1.gradient', which is no result that it meets as it leaves",
            ),
            (
                Use("conv2.gradient", added_to="norm1.gradient"),
                "'conv2.gradient' to 'norm1.gradient', which is no result that it meets as it leaves",
            ),
            (
                Use("conv2.gradient", OperandRole.DRAIN, added_to="norm1.gradient"),
                "256 bytes of 'conv2.gradient' to 'norm1.gradient', which has 1024",
            ),
        )
    ),
    (
        with_unit("conv2", lambda unit: replace(unit, update=(replace(unit.update[0], writes=()),))),
        ", tensor conv2.weight: has 1 gradients and 0 updates, not one of each",
    ),
    (
        with_forward("conv1", gemms=CONV1.gemms * 2),
        ", unit conv1: its weight gradient takes 13824 MACs, its forward 27648",
    ),
    (
        with_backward("conv2", "data_gradient", gemms=DATA_GRADIENT.gemms * 2),
        ", operation conv2.data_gradient: takes 2048 MACs, its unit's forward 1024",
    ),
    (
        replace(TRAINING, forward_macs=1),
        f", forward: its operations take {TRAINING.forward_macs} MACs, its network 1",
    ),
]


@pytest.mark.parametrize(("training", "message"), TRAINING_MISTAKES)
def test_a_broken_training_graph(training: TrainingGraph, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        verify_training(training)
    assert caught.value.message == f"training graph of small{message}"


def test_every_rule_has_a_test_that_breaks_it() -> None:
    broken = [graph for graph, _ in GRAPH_MISTAKES]
    assert {first(GRAPH_RULES, graph) for graph in broken} == set(GRAPH_RULES)
    graphs = [training for training, _ in TRAINING_MISTAKES]
    assert {first(TRAINING_RULES, training) for training in graphs} == set(TRAINING_RULES)


def first(rules: tuple[Callable[..., Any], ...], subject: object) -> Callable[..., Any]:
    return next(rule for rule in rules if any(True for _ in rule(subject)))


def test_a_right_plan_has_no_findings() -> None:
    schedules = collect("wavecore.schedules", "SCHEDULES", Schedule)
    plan: Plan = schedules["mbs2"].make(TRAINING, load_accelerator(), 32)
    assert list(planrules.violations(planrules.PlanContext(TRAINING, plan))) == []


def test_batch_normalization_in_the_whole_mini_batch_has_no_findings() -> None:
    net = Network("batch", Shape(3, 8, 8))
    net(CrossEntropy(), net(Conv(2, 8), net(BatchNorm(), net(Conv(4), net.input)), name="head"), name="loss")
    training = training_graph(net.build())
    plan = collect("wavecore.schedules", "SCHEDULES", Schedule)["baseline"].make(training, load_accelerator(), 32)
    assert list(planrules.violations(planrules.PlanContext(training, plan))) == []


@pytest.mark.parametrize(("missing", "hint"), [(0, "before"), (1, "after"), (2, "after")])
def test_a_unit_that_is_left_out_belongs_beside_its_neighbour(missing: int, hint: str) -> None:
    plan: Plan = collect("wavecore.schedules", "SCHEDULES", Schedule)["baseline"].make(TRAINING, load_accelerator(), 32)
    names = [unit.name for unit in TRAINING.units]
    groups = tuple(group for group in plan.groups if group.units != (names[missing],))
    context = planrules.PlanContext(TRAINING, replace(plan, groups=groups))
    (found,) = planrules.units_all_run(context)
    neighbour = names[missing - 1] if missing else names[1]
    assert (found.what, found.hint) == (f"{names[missing]!r} is left out", f"{names[missing]} {hint} {neighbour}")
