"""Can a schedule change the training graph: from the plan over its file and the program to the right gradients?"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from builders import SCHEDULES, machine
from small_networks import NETWORKS

import wavecore as wc
from wavecore.cli import main
from wavecore.common import entry_points
from wavecore.errors import GraphError, InputError, PlanError
from wavecore.hardware.specs import Accelerator
from wavecore.plan.files import load_plan, plan_text, save_plan
from wavecore.plan.model import Choices, Plan
from wavecore.plan.rules import verify_plan
from wavecore.plan.schedule import Schedule
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.sweep import task
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import Phase
from wavecore.training.rewrites import rewritten
from wavecore.training.unroll import training_graph

SMALL = machine("core.global_buffer=64 KiB")


@dataclass(frozen=True)
class WeightGradientLast:
    """Let the weight gradients of some kinds of layers run behind their data gradients."""

    name: ClassVar[str] = "weight_gradient_last"
    kinds: tuple[str, ...] = ("conv", "linear")

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        """Reorder backward."""
        return replace(training, units=tuple(map(self._unit, training.units)))

    def _unit(self, unit: FusedLayer) -> FusedLayer:
        if unit.kind not in self.kinds:
            return unit
        return replace(unit, backward=tuple(sorted(unit.backward, key=lambda op: op.phase is Phase.WEIGHT_GRADIENT)))


@dataclass(frozen=True)
class Forgetful:
    """Leave the last unit out."""

    name: ClassVar[str] = "forgetful"

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        """Drop what ends the step."""
        return replace(training, units=training.units[:-1])


def policy(training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices) -> Plan:
    """mbs2 of the rewritten graph."""
    changed = rewritten(training, (WeightGradientLast(),))
    return replace(SCHEDULES["mbs2"].policy(changed, accelerator, batch_per_core, choices), schedule="rewriting")


REWRITING = Schedule("rewriting", "mbs2 with late weight gradients", policy)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the toy passes and the schedule as another package would."""
    ours = entry_points._load
    tables: dict[str, dict[str, Any]] = {
        "wavecore.rewrites": {"weight_gradient_last": WeightGradientLast, "forgetful": Forgetful},
        "wavecore.schedules": {"rewriting": REWRITING},
    }

    def loaded(group: str, *more: Any) -> Any:
        found = ours(group, *more)
        return found._replace(items={**found.items, **tables.get(group, {})})

    monkeypatch.setattr(entry_points, "_load", loaded)


def run(training: TrainingGraph, schedule: Plan | str, engine: str) -> Run:
    return simulate(training, schedule, SMALL, engine=engine, batch=8)


@pytest.mark.parametrize("name", ["chain", "residual", "inception", "both_ways"])
def test_a_rewritten_graph_runs_in_both_engines(name: str, registered: None) -> None:
    training = training_graph(NETWORKS[name]())
    event, analytic = (run(training, "rewriting", engine) for engine in ("event", "analytic"))
    assert event.dram_bytes == analytic.dram_bytes
    order = [(row.name, row.phase) for row in event.rows]
    kinds = {unit.name: unit.kind for unit in training.units}
    both = [unit for unit, phase in order if phase == "weight_gradient" and (unit, "data_gradient") in order]
    late = [unit for unit in both if kinds[unit] in ("conv", "linear")]
    assert late
    assert all(order.index((unit, "data_gradient")) < order.index((unit, "weight_gradient")) for unit in late)


@pytest.mark.parametrize("name", ["chain", "residual", "inception", "both_ways"])
def test_a_rewritten_graph_computes_the_right_gradients(name: str, registered: None) -> None:
    pytest.importorskip("torch")
    from wavecore.golden.verification import verify_workload

    assert verify_workload(NETWORKS[name](), "rewriting", SMALL, 8).passed


def test_a_plan_names_the_rewrites_that_it_needs(registered: None, tmp_path: Path) -> None:
    training = training_graph(NETWORKS["residual"]())
    plan = REWRITING.make(training, SMALL, 4)
    assert plan.rewrites == (WeightGradientLast(),)
    assert '[[rewrite]]\nname = "weight_gradient_last"\nkinds = ["conv", "linear"]\n' in plan_text(plan)
    save_plan(plan, tmp_path / "plan.toml")
    again = load_plan(tmp_path / "plan.toml", training)
    assert again == plan
    for engine in ("event", "analytic"):
        assert run(training, again, engine).step_cycles == run(training, "rewriting", engine).step_cycles


def test_the_graph_that_a_plan_needs_is_the_one_that_runs() -> None:
    training = training_graph(NETWORKS["chain"]())
    plan = REWRITING.make(training, SMALL, 4)
    changed = rewritten(training, plan.rewrites)
    assert rewritten(training, plan.rewrites) is changed
    assert rewritten(changed, plan.rewrites) is changed
    verify_plan(changed, plan, SMALL)
    with pytest.raises(PlanError) as caught:
        verify_plan(training, plan, SMALL)
    assert caught.value.message == (
        "plan rewriting of chain: rewrite: needs these rewrites of the training graph: weight_gradient_last; "
        "and it has had: no pass; try: training.rewrites.rewritten(training, plan.rewrites)"
    )
    with pytest.raises(InputError) as wrong:
        simulate(changed, replace(plan, rewrites=()), SMALL)
    assert wrong.value.message == (
        "training graph of chain: has been rewritten by weight_gradient_last, and not by no pass; "
        "try: the graph as it was unrolled"
    )


def test_every_pass_is_verified() -> None:
    training = training_graph(NETWORKS["chain"]())
    with pytest.raises(GraphError) as caught:
        rewritten(training, (WeightGradientLast(), Forgetful()))
    assert caught.value.message.startswith("rewrite forgetful: training graph of chain, operation ")


@dataclass(frozen=True)
class Nothing:
    """Forget to return the graph."""

    name: ClassVar[str] = "nothing"

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        """Return nothing."""
        return None  # type: ignore[return-value]


@dataclass(frozen=True)
class Listing(Nothing):
    """A pass with an option that can change."""

    name: ClassVar[str] = "listing"
    units: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    ("rewrites", "message"),
    [
        (
            (Nothing(),),
            "rewrite nothing: returned a NoneType, not a TrainingGraph; "
            "try: the graph itself where there is nothing to change",
        ),
        (
            [WeightGradientLast()],
            "rewrites: is a list, not a tuple; try: a tuple of frozen dataclasses with a name and apply()",
        ),
        (
            (Listing(),),
            "rewrite listing: is no frozen dataclass: its options must not change; try: @dataclass(frozen=True)",
        ),
        (
            ("x",),
            "rewrites[0]: is 'x', not a Rewrite; try: a tuple of frozen dataclasses with a name and apply()",
        ),
    ],
)
def test_passes_that_are_wrong(rewrites: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        rewritten(training_graph(NETWORKS["chain"]()), rewrites)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'name = "weight',
            'name = "eight',
            "F:32: rewrite: there is no rewrite named 'eight_gradient_last'; try: weight_gradient_last",
        ),
        ("kinds = ", "kind = ", "F:32: rewrite: has no 'kinds': it is incomplete, or of another version"),
        ('["conv", "linear"]', "3", "F:32: rewrite: kinds is 3, not a list"),
        (
            '"weight_gradient_last"\nkinds = ["conv", "linear"]',
            '"forgetful"',
            "F:31: rewrite: rewrite forgetful: training graph of chain, operation",
        ),
    ],
)
def test_rewrites_in_files_that_are_wrong(old: str, new: str, message: str, registered: None, tmp_path: Path) -> None:
    training = training_graph(NETWORKS["chain"]())
    path = tmp_path / "plan.toml"
    text = plan_text(REWRITING.make(training, SMALL, 4))
    path.write_text(text.replace(old, new))
    with pytest.raises(PlanError) as caught:
        load_plan(path, training)
    assert caught.value.message.startswith(message.replace("F:", f"{path}:"))


def test_every_command_goes_on_with_the_rewritten_graph(
    registered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("lenet5", "--schedule", "rewriting", "--batch", "4", "--set", "core.global_buffer=1 MiB")
    planned = ("lenet5", "--schedule", "plan.toml", "--set", "core.global_buffer=1 MiB")
    assert main(["plan", *small, "--out", "plan.toml"]) == 0
    assert main(["check", "plan.toml", "--set", "core.global_buffer=1 MiB"]) == 0
    capsys.readouterr()
    steps = []
    for words in (small, planned):
        assert main(["run", *words, "--json", "--out", "folder"]) == 0
        steps.append(json.loads(capsys.readouterr().out)["layers"])
        assert main(["program", *words]) == 0
        text = capsys.readouterr().out
        assert text.index("fc2.data_gradient:") < text.index("fc2.weight_gradient:")
        assert main(["plan", *words, "--json"]) == 0
        rewrites = json.loads(capsys.readouterr().out)["rewrites"]
        assert rewrites == [{"name": "weight_gradient_last", "kinds": ["conv", "linear"]}]
        assert main(["plan", *words]) == 0
        assert "after rewrite WeightGradientLast(kinds=('conv', 'linear'))" in capsys.readouterr().out
    assert steps[0] == steps[1]
    pytest.importorskip("torch")
    for schedule in ("rewriting", "plan.toml"):
        assert main(["verify", "lenet5", "--schedule", schedule, "--set", "core.global_buffer=1 MiB"]) == 0


def test_a_sweep_goes_on_with_the_rewritten_graph(registered: None) -> None:
    outcome = task.evaluate(task.make_task("lenet5", "rewriting", machine(), batch=4))
    assert outcome.error is None
    assert outcome.metrics is not None
    assert outcome.metrics["step_cycles"] == wc.evaluate("lenet5", "rewriting", machine(), batch=4).step_cycles


@dataclass(frozen=True)
class Failing:
    """A pass whose code is wrong."""

    name: ClassVar[str] = "failing"

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        raise KeyError("conv")


def test_a_pass_that_fails_is_named() -> None:
    with pytest.raises(GraphError) as caught:
        rewritten(training_graph(NETWORKS["chain"]()), (Failing(),))
    assert caught.value.message == (
        "rewrite failing: failed: KeyError: 'conv'; try: mending the rewrite: --debug shows where"
    )
