"""Is a value of a wrong type, given to the public functions, an error that names the argument and says what to give?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import SCHEDULES, chain, machine

import wavecore as wc
from wavecore.program.lower import lower
from wavecore.training.unroll import training_graph

CALLS: list[tuple[str, tuple[Any, ...], str]] = [
    ("load_accelerator", (3,), 'accelerator: is of type int, and must be of type str; try: "wavecore"'),
    ("apply_profile", ({}, {}), "graph: is of type dict, and must be of type LayerGraph; try: wavecore.workload(NAME)"),
    (
        "save_profile",
        ({}, "p.toml"),
        "profile: is of type dict, and must be of type Profile; try: wavecore.load_profile(PATH)",
    ),
    ("to_dict", ({},), "run: is of type dict, and must be of type Run; try: wavecore.simulate(...)"),
    ("energy_report", ({},), "run: is of type dict, and must be of type Run; try: wavecore.simulate(...)"),
    ("table", (3,), "runs: is of type int, and must be of type Iterable; try: a list of runs"),
    (
        "table",
        ([3],),
        "runs: is of type int, and must be of type Totals; try: a list of runs, as of wavecore.simulate(...)",
    ),
    ("explore", ({},), 'spec: is of type dict, and must be of type str or Path; try: pathlib.Path("sweep.toml")'),
    ("from_onnx", (3,), 'path: is 3, not a path; try: "FILE"'),
    ("load_profile", (3,), 'path: is 3, not a path; try: "FILE"'),
    ("load_plan", (3, None), 'path: is 3, not a path; try: "FILE"'),
    ("workload", (3,), 'workload: is 3, not a name; try: "resnet50"'),
    ("plan_text", (3,), "plan: is 3, not a Plan; try: a value of that type"),
    ("training_graph", ({},), 'workload: is a dict, not a name, a path or a graph; try: "resnet50"'),
    ("simulate", (3,), 'workload: is 3, not a name, a path or a graph; try: "resnet50"'),
]


@pytest.mark.parametrize(("function", "arguments", "message"), CALLS)
def test_a_value_of_a_wrong_type(function: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(wc.InputError) as caught:
        getattr(wc, function)(*arguments)
    assert caught.value.message == message


NOT_A_MACHINE = "is 3, not an Accelerator; try: a value of the type that hardware.specs gives it"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("training", 3, 2), f"accelerator: {NOT_A_MACHINE}"),
        (("training", "machine", "x"), "batch_per_core: is 'x', not a whole number; try: a whole number from 1"),
        (("training", "machine", 0), "batch_per_core: is 0; try: a whole number from 1"),
        (("training", "machine", 2, {}), "choices: is a dict, not a Choices; try: wavecore.Choices()"),
    ],
)
def test_a_schedule_given_a_wrong_value(arguments: tuple[Any, ...], message: str) -> None:
    known = {"training": training_graph(chain()), "machine": machine()}
    given = [known[each] if isinstance(each, str) and each in known else each for each in arguments]
    with pytest.raises(wc.InputError) as caught:
        SCHEDULES["mbs2"].make(*given)
    assert caught.value.message == message


def test_lowering_a_wrong_value() -> None:
    training = training_graph(chain())
    plan = SCHEDULES["mbs2"].make(training, machine(), 2)
    with pytest.raises(wc.InputError, match="training graph: is a int, not a TrainingGraph"):
        lower(3, plan, machine())  # type: ignore[arg-type]
    with pytest.raises(wc.InputError, match="is a int, not a Plan"):
        lower(training, 3, machine())  # type: ignore[arg-type]
    for wrong in (3, replace(machine(), units=[])):  # type: ignore[arg-type]
        with pytest.raises(wc.InputError, match="accelerator"):
            lower(training, plan, wrong)  # type: ignore[arg-type]


MISSING: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("simulate", ("no.onnx",), {}, "no.onnx: there is no such file, and no workload of that name; try: a registered"),
    ("simulate", ("lenet5", "no.toml"), {}, "no.toml: there is no such file"),
    ("simulate", ("lenet5", "mbs2", "no.toml"), {}, "no.toml: there is no such file"),
    ("simulate", ("lenet5",), {"sparsity": "no.toml"}, "no.toml: there is no such file"),
    ("evaluate", ("lenet5", Path("no.toml")), {}, "no.toml: there is no such file"),
    ("training_graph", ("no.csv",), {}, "no.csv: there is no such file, and no workload of that name"),
    ("training_graph", ("lenet",), {}, "workload: there is no workload named 'lenet'; try: lenet5"),
    ("load_plan", ("no.toml", "lenet5"), {}, "no.toml: there is no such file"),
    ("load_profile", ("no.toml",), {}, "no.toml: there is no such file"),
    ("load_accelerator", ("no.toml",), {}, "no.toml: there is no such file"),
    ("explore", ("no.toml",), {}, "no.toml: there is no such file"),
    ("explore", ("no such sweep",), {}, "no such sweep: there is no such file"),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), MISSING)
def test_a_mistyped_path(function: str, arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(wc.InputError) as caught:
        getattr(wc, function)(*arguments, **options)
    assert caught.value.message.startswith(message)


def test_paths_as_text(tmp_path: Path) -> None:
    """A topology, a plan and a profile are given by their paths, with the same result as the values."""
    topology, plan, profile = (str(tmp_path / name) for name in ("net.csv", "plan.toml", "profile.toml"))
    Path(topology).write_text("Layer,M,N,K,\nfirst,100,64,27,\n", encoding="utf-8")
    assert wc.evaluate(topology) == wc.evaluate(wc.training_graph(Path(topology)))
    training = wc.training_graph("lenet5")
    made = wc.make_plan(training, "mbs2", "wavecore", 4)
    wc.save_plan(made, plan)
    assert wc.load_plan(plan, "lenet5") == wc.load_plan(plan, wc.workload("lenet5")) == made
    assert wc.evaluate("lenet5", plan) == replace(wc.evaluate(training, made), schedule=f"{plan} (mbs2)")
    wc.save_profile(
        wc.Profile(name="half", source="a test", layers={"conv2": wc.LayerSparsity(kept_outputs=25)}), profile
    )
    options: Any = {"batch": 8, "engine": "analytic"}
    dense, sparse = wc.simulate("lenet5", **options), wc.simulate("lenet5", sparsity=profile, **options)
    assert sparse.macs < dense.macs
    assert sparse.rows == wc.simulate("lenet5", sparsity=wc.load_profile(profile), **options).rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": 3}, 'schedule: is 3, not a name or a plan; try: "mbs2"'),
        ({"schedule": "mbs3"}, "schedule: there is no schedule named 'mbs3'; try: "),
        ({"engine": "evnt"}, "engine: there is no engine named 'evnt'; try: event"),
        ({"batch": 7}, "batch: 7 samples do not split evenly over 2 cores; try: 6 or 8"),
        ({"batch": "8"}, "batch: is '8', not a whole number; try: 64"),
        ({"choices": {}}, "choices: is a dict, not a Choices; try: wavecore.Choices()"),
    ],
)
def test_an_argument_is_named_as_in_python(options: dict[str, Any], message: str) -> None:
    with pytest.raises(wc.InputError) as caught:
        wc.simulate("lenet5", **options)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("argument", ["progress", "sources", "settings", "probe"])
def test_simulate_names_the_option_that_has_a_wrong_type(argument: str) -> None:
    options: dict[str, Any] = {argument: 3}
    with pytest.raises(wc.InputError, match=f"{argument}: is of type int, and must be "):
        wc.simulate(chain(), "mbs2", machine(), batch=2, **options)
