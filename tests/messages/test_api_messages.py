"""Whole messages of mistakes that are made from Python: both engines refuse them alike, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from builders import SCHEDULES, chain, machine

import wavecore as wc
from wavecore.errors import InputError, PlanError, SpaceError
from wavecore.hardware.specs import Accelerator
from wavecore.network.layers import BatchNorm, Conv, CrossEntropy, Flatten, GlobalAvgPool, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.footprints import footprints
from wavecore.plan.model import Choices, Group, Plan, Residency
from wavecore.plan.rules import verify_plan
from wavecore.plan.schedule import Schedule
from wavecore.program.lower import lower
from wavecore.simulation import evaluate, make_plan, simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

ENGINES = ("event", "analytic")
GRAPH = replace(chain(), layers=tuple(replace(layer, source="net.py:7") for layer in chain()))
TRAINING = training_graph(GRAPH)
PLAN = SCHEDULES["baseline"].make(TRAINING, machine(), 4)


def with_layer(index: int, **changes: Any) -> wc.LayerGraph:
    layers = list(GRAPH.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(GRAPH, layers=tuple(layers))


def normalized() -> TrainingGraph:
    """A network with batch normalization."""
    net = wc.Network("normalized", Shape(3, 8, 8))
    x = net(ReLU(), net(BatchNorm(), net(Conv(4, 3, padding=1), net.input)))
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), x))))
    return training_graph(net.build())


def broken_step() -> TrainingGraph:
    unit = TRAINING.units[1]
    return replace(TRAINING, units=(TRAINING.units[0], replace(unit, backward=unit.backward[1:]), TRAINING.units[2]))


ONE, TWO, LOSS = PLAN.groups
NORMALIZED = normalized()

MISTAKES: list[tuple[Any, Any, str]] = [
    # workload, schedule, message
    (
        with_layer(1, shape=Shape(12, 8, 8)),
        "mbs2",
        "network chain, layer one (net.py:7): its output is 12x8x8, and follows as 4x8x8 from its inputs; try: 4x8x8",
    ),
    (
        replace(GRAPH, layers=(GRAPH.layers[0], GRAPH.layers[2], GRAPH.layers[1], *GRAPH.layers[3:])),
        "mbs2",
        "network chain, layer relu1 (net.py:7): reads 'one', which runs no earlier; "
        "try: each layer after all that it reads",
    ),
    (
        broken_step(),
        "mbs2",
        "training graph of chain, operation two.update: reads 'two.weight_gradient', which nothing has written yet",
    ),
    (
        replace(TRAINING, units=[*TRAINING.units]),
        "mbs2",
        "training graph of chain.units: is a list, not a tuple; try: a value of that type",
    ),
    (
        {"layers": []},
        "mbs2",
        'workload: is a dict, not a name, a LayerGraph or a TrainingGraph; try: "resnet50"',
    ),
    (None, "mbs2", 'workload: is a NoneType, not a name, a LayerGraph or a TrainingGraph; try: "resnet50"'),
    ("resnet5", "mbs2", "workload: there is no workload named 'resnet5'; try: resnet50 or resnet152 or resnet34"),
    (GRAPH, 3, '--schedule: is 3, not a name or a plan; try: "mbs2"'),
    (GRAPH, ["mbs2"], '--schedule: is a list, not a name or a plan; try: "mbs2"'),
    (
        GRAPH,
        replace(PLAN, groups=(ONE, LOSS)),
        "plan baseline of chain: group 1: units: 'two' is left out; try: two after one",
    ),
    (
        GRAPH,
        replace(PLAN, groups=(TWO, ONE, LOSS)),
        "plan baseline of chain: group 1: units: 'two' stands where 'one' belongs; try: the order of the network",
    ),
    (
        GRAPH,
        replace(PLAN, workload="other"),
        "plan baseline of other: workload: is a plan of 'other', not of 'chain'; try: a plan of chain",
    ),
    (
        NORMALIZED,
        Plan("normalized", "mine", 8, True, (Group(tuple(NORMALIZED.unit_index), 4),)),
        "plan mine of normalized: group 1: units: 'batch_norm1' takes statistics of the whole mini-batch, "
        "not of sub-batches; try: a group of its own, of sub_batch = 8",
    ),
    (
        GRAPH,
        replace(PLAN, groups=[ONE, TWO, LOSS]),
        "plan baseline of chain: groups: is a list, not a tuple; try: a value of that type",
    ),
    (
        GRAPH,
        replace(PLAN, groups=(replace(ONE, sub_batch="4"), TWO, LOSS)),
        "plan baseline of chain: groups[0].sub_batch: is '4', not a whole number; try: a value of that type",
    ),
    (
        GRAPH,
        replace(PLAN, groups=(replace(ONE, forward={"one": "kept"}), TWO, LOSS)),
        "plan baseline of chain: groups[0].forward['one']: is 'kept', not a Residency; try: a value of that type",
    ),
    (
        GRAPH,
        replace(PLAN, rewrites=None),
        "rewrites: is None, not a tuple; try: a tuple of frozen dataclasses with a name and apply()",
    ),
]


@pytest.mark.parametrize(("workload", "schedule", "message"), MISTAKES)
def test_graphs_and_plans(workload: Any, schedule: Any, message: str) -> None:
    calls: list[Callable[..., Any]] = [
        lambda: simulate(workload, schedule, machine(), engine="event"),
        lambda: simulate(workload, schedule, machine(), engine="analytic"),
        lambda: evaluate(workload, schedule, machine()),
    ]
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.message == message


def test_every_stage_verifies_what_it_is_given() -> None:
    wrong = replace(PLAN, groups=(TWO, ONE, LOSS))
    stages: list[Callable[..., Any]] = [
        lambda plan: lower(TRAINING, plan, machine()),
        lambda plan: verify_plan(TRAINING, plan, machine()),
        lambda plan: footprints(TRAINING, plan, machine()),
    ]
    for stage in stages:
        with pytest.raises(PlanError, match="group 1: units: 'two' stands where 'one' belongs"):
            stage(wrong)
    with pytest.raises(InputError, match="its output is 12x8x8"):
        training_graph(with_layer(1, shape=Shape(12, 8, 8)))
    with pytest.raises(InputError, match="network: is a dict, not a LayerGraph"):
        training_graph({})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nothing has written yet"):
        make_plan(broken_step(), "mbs2", machine(), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": 3}, 'accelerator: is 3, not a name or an Accelerator; try: "wavecore"'),
        ({"batch": 8.0}, "--batch: is 8.0, not a whole number; try: 64"),
        ({"batch": "8"}, "--batch: is '8', not a whole number; try: 64"),
        ({"batch": True}, "--batch: is True, not a whole number; try: 64"),
        ({"engine": None}, "--engine: is a NoneType, not a name; try: event or analytic"),
        ({"sparsity": "x"}, "sparsity: is 'x', not a Profile; try: wavecore.load_profile(PATH)"),
        ({"choices": "x"}, "choices: is 'x', not a Choices; try: wavecore.plan.model.Choices()"),
        (
            {"choices": Choices(normalization_passes="2")},  # type: ignore[arg-type]
            "choices.normalization_passes: is '2', not a whole number; try: wavecore.plan.model.Choices()",
        ),
    ],
)
def test_other_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(GRAPH, **options)
    assert caught.value.message == message


def test_paths() -> None:
    with pytest.raises(InputError) as caught:
        wc.load_plan(3, TRAINING)  # type: ignore[arg-type]
    assert caught.value.message == 'path: is 3, not a path; try: "file.toml"'
    with pytest.raises(InputError) as caught:
        wc.load_plan("nowhere.toml", TRAINING)
    assert caught.value.message == "nowhere.toml: there is no such file"
    with pytest.raises(InputError) as caught:
        wc.plan_text({})  # type: ignore[arg-type]
    assert caught.value.message == "plan: is a dict, not a Plan; try: a value of that type"


# -- schedules of other packages -----------------------------------------------------------------------------


def returning(plan: Any) -> Schedule:
    def policy(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Any:
        return plan

    return Schedule("theirs", "a schedule of another package", policy)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            replace(PLAN, groups=(TWO, ONE, LOSS)),
            "schedule theirs: group 1: units: 'two' stands where 'one' belongs; try: the order of the network",
        ),
        (None, "schedule theirs: returned a NoneType, not a Plan; try: a policy that returns a Plan"),
        (
            replace(PLAN, batch_per_core=5),
            "schedule theirs: planned 5 samples per core, and was asked for 4; "
            "try: a policy that plans the samples it is given",
        ),
    ],
)
def test_a_schedule_that_returns_a_wrong_plan(plan: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        returning(plan).make(TRAINING, machine(), 4)
    assert caught.value.message == message


@pytest.mark.parametrize("engine", ENGINES)
def test_a_schedule_that_holds_too_much(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = replace(PLAN, groups=(ONE, replace(TWO, held=frozenset({"two.weight"})), LOSS))
    monkeypatch.setattr("wavecore.simulation.find_schedule", lambda name: returning(held))
    with pytest.raises(PlanError) as caught:
        simulate(TRAINING, "theirs", machine("core.global_buffer=2000 B"), batch=8, engine=engine)
    assert caught.value.message.startswith("schedule theirs: group 2: layer two, ")
    assert caught.value.message.endswith(" beside 1024 bytes that are held; try: holding less")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_buffer_that_is_too_small(engine: str) -> None:
    for schedule in ("baseline", PLAN):
        with pytest.raises(SpaceError, match=r"^layer one, forward: needs .* bytes"):
            simulate(TRAINING, schedule, machine("core.global_buffer=100 B"), batch=8, engine=engine)
    kept = replace(PLAN, groups=(Group(("one", "two"), 4, {"one": Residency.KEPT}), LOSS))
    with pytest.raises(PlanError, match=r"^plan baseline of chain: group 1: layer one, forward: needs .* bytes"):
        simulate(TRAINING, kept, machine("core.global_buffer=100 B"), engine=engine)
