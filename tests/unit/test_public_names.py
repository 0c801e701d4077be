"""The public names of the package are what they should be, and loading it loads nothing else."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wavecore as wc
from wavecore.program.lower import lower
from wavecore.results.metrics import RUN_METRICS as METRICS

PARTS = ("schema", "groups.", "packed.", "layers.", "manifest.")
NAMES = {
    "Accelerator", "Choices", "Group", "InputError", "InvariantError", "LayerGraph", "LayerSparsity", "ModelNote",
    "Network", "Plan", "Profile", "Residency", "Run", "Schedule", "Totals", "TrainingGraph", "WavecoreError",
    "Workload", "__version__", "apply_profile", "energy_report", "evaluate", "explore", "from_onnx", "from_torch",
    "load_accelerator", "load_plan", "load_profile", "make_plan", "plan_text", "save_plan", "save_profile",
    "schedule_names", "simulate", "table", "to_dict", "training_graph", "workload", "workload_names",
}  # fmt: skip


def test_the_public_names() -> None:
    assert set(wc.__all__) == NAMES
    assert set(dir(wc)) == NAMES  # what tab completion offers


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_each_is_there(name: str) -> None:
    assert getattr(wc, name).__name__ == name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(wc.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == NAMES


@pytest.mark.slow
def test_a_type_checker_knows_scripts_of_users(tmp_path: Path) -> None:
    """Right ones pass ``mypy --strict``; a mistyped name is an error."""
    api = pytest.importorskip("mypy.api")
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(
        "import wavecore as wc\n"
        'run = wc.simulate("resnet18", schedule="plan.toml", sparsity="profile.toml", choices=wc.Choices())\n'
        'frame = wc.explore("sweep.toml")\n'
        "joules: float = run.energy_joules.total\n"
        "version: str = wc.__version__\n",
        encoding="utf-8",
    )
    wrong.write_text("import wavecore as wc\nwc.simulat(3)\n", encoding="utf-8")
    base = ["--strict", "--cache-dir", str(tmp_path / "cache")]
    assert api.run([*base, str(right)])[::2] == ("Success: no issues found in 1 source file\n", 0)
    assert 'Module has no attribute "simulat"' in api.run([*base, str(wrong)])[0]


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'wavecore' has no attribute 'simulat'"):
        wc.simulat  # noqa: B018


@pytest.mark.parametrize("name", sorted(name for name in NAMES if inspect.isfunction(getattr(wc, name))))
def test_the_docstring_describes_every_argument(name: str) -> None:
    function = getattr(wc, name)
    named = set(re.findall(r"``([^`]+?)``", inspect.getdoc(function) or ""))
    words = {word for text in named for word in re.findall(r"\w+", text)}
    assert set(inspect.signature(function).parameters) <= words


def test_loading_the_package_loads_no_other_module_of_it() -> None:
    code = "import sys, wavecore; print([name for name in sys.modules if name.startswith('wavecore.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_run_from_three_names() -> None:
    run = wc.simulate(wc.workload("resnet18", image=32), "mbs2", "wavecore", batch=4, engine="analytic")
    assert list(run.layers.columns[:3]) == ["name", "kind", "fused"]
    assert run.layers["cycles"].sum() == run.step_cycles
    assert repr(run).startswith("<Run resnet18 mbs2 on wavecore: ")


def test_runs_in_a_table_and_a_notebook() -> None:
    training = wc.training_graph(wc.workload("resnet18", image=32))
    points = [wc.evaluate(training, schedule, batch=4) for schedule in ("baseline", "mbs2")]
    frame = wc.table(points)
    assert list(frame["schedule"]) == ["baseline", "mbs2"]
    assert list(frame["energy_joules.total"]) == [point.energy_joules.total for point in points]
    assert set(frame.columns) == {name for name in METRICS if not name.startswith(PARTS)}
    assert "<td>mbs2</td>" in points[1]._repr_html_()


def test_a_name_of_an_accelerator_brings_its_sources() -> None:
    graph = wc.workload("resnet18", image=32)
    run = wc.simulate(graph, batch=4, engine="analytic")
    assert run.manifest.sources["array.rows"].startswith("[S]")
    loaded = wc.simulate(graph, accelerator=wc.load_accelerator(), batch=4, engine="analytic")
    assert loaded.manifest.sources == {}


def test_large_values_fit_a_notebook_cell() -> None:
    graph, machine = wc.workload("resnet50"), wc.load_accelerator()
    training = wc.training_graph(graph)
    plan = wc.make_plan(training, "mbs2", machine, 32)
    program = lower(training, plan, machine)
    totals = wc.evaluate("lenet5")
    for value in (graph, training, plan, program, program.cores[0][0], totals):
        assert len(repr(value)) < 120 and "\n" not in repr(value), repr(value)
        assert repr(value).startswith(f"<{type(value).__name__} ")
    for large in (graph, training, plan, program):
        html = large._repr_html_()
        assert html.count("<tr>") <= 41 and len(html) < 12_000
        assert repr(large)[1:-1] in html
    assert "and 137 more: <code>print(graph)</code> prints all" in graph._repr_html_()
    assert wc.training_graph("lenet5")._repr_html_().count("<tr>") == len(wc.training_graph("lenet5").units) + 1


def test_an_axis_of_a_sweep_is_the_column_of_its_name() -> None:
    axes = {"memory": ["hbm2"], "core.global_buffer": ["5 MiB", "10 MiB"], "choice.normalization_passes": [1, 2]}
    lines = [f"{json.dumps(name)} = {json.dumps(values)}" for name, values in axes.items()]
    frame = wc.explore("\n".join(['name = "x"', 'workload = "lenet5"', "[axes]", *lines]))
    assert set(axes) < set(frame.columns)
    assert set(frame["core.global_buffer"]) == {5 << 20, 10 << 20}
