"""The public names of the package are what they should be, and loading it loads nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wavecore as wc
from wavecore.results.metrics import RUN_METRICS as METRICS

PARTS = ("schema", "groups.", "packed.", "layers.", "manifest.")
NAMES = {
    "Accelerator", "Group", "InputError", "InvariantError", "LayerGraph", "LayerSparsity", "ModelNote", "Network",
    "Plan", "Profile", "Residency", "Run", "Schedule", "Totals", "TrainingGraph", "WavecoreError", "Workload",
    "__version__", "apply_profile", "energy_report", "evaluate", "explore", "from_onnx", "from_torch",
    "load_accelerator", "load_plan", "load_profile", "make_plan", "plan_text", "save_plan", "save_profile",
    "schedule_names", "simulate", "table", "to_dict", "training_graph", "workload", "workload_names",
}  # fmt: skip


def test_the_public_names() -> None:
    assert set(wc.__all__) == NAMES
    assert set(dir(wc)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_each_is_there(name: str) -> None:
    assert getattr(wc, name).__name__ == name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(wc.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == NAMES


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'wavecore' has no attribute 'simulat'"):
        wc.simulat  # noqa: B018


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
