"""A design point: its key says all that determines the result, and its evaluation is that of `simulate`."""

from __future__ import annotations

import math
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from builders import machine
from onnx_models import classifier
from sweep_specs import parsed

from wavecore.errors import ConfigError, FileError, InputError, NameLookupError, SpaceError
from wavecore.importers.onnx import import_onnx
from wavecore.importers.topology import topology_workload
from wavecore.plan.model import Choices
from wavecore.results import words
from wavecore.simulation import simulate
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile
from wavecore.sweep import task as module
from wavecore.sweep.space import assignment, listed_points
from wavecore.sweep.task import SCALARS, Task, evaluate, make_task, model_version, source_hash

ROOT = Path(__file__).parents[2]
HASH = "from wavecore.sweep.task import source_hash; print(source_hash('wavecore'))"
TOPOLOGY = (
    "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\na,8,8,3,3,3,5,1,\n"
)


def small(**changes: Any) -> Task:
    """A point that takes milliseconds."""
    options = {"image": 32, **changes.pop("options", {})}
    return make_task("resnet18", **{"schedule": "mbs2", "accelerator": machine(), **changes}, options=options)


def test_outcome_is_the_run() -> None:
    outcome = evaluate(small(batch=8))
    run = simulate(module.workload("resnet18", image=32), "mbs2", machine(), batch=8, engine="analytic")
    found = outcome.metrics or {}
    assert (outcome.error, found["group_count"]) == (None, len(run.groups))
    assert found["step_cycles"] == run.step_cycles
    assert found["dram_bytes.total"] == run.dram_bytes.total
    assert found["dram_bytes.optimizer"] == run.dram_bytes.optimizer
    assert found["global_buffer_bytes.peak"] == run.global_buffer_bytes.peak
    assert found["energy_joules.static"] == run.energy_joules.static
    assert outcome.seconds > 0


def test_metrics_are_those_that_are_explained() -> None:
    assert list(evaluate(small()).metrics or {}) == list(SCALARS)
    assert all(words.explain(name) for name in SCALARS)
    assert {"step_seconds", "stall_cycles.dram", "energy_joules.total"} <= set(SCALARS)


def test_same_point_same_result_after_others() -> None:
    first = evaluate(small())
    evaluate(small(schedule="baseline", batch=4))
    evaluate(small(accelerator=machine("core.global_buffer=5 MiB")))
    assert evaluate(small()).metrics == first.metrics


def test_points_travel() -> None:
    task = small()
    assert pickle.loads(pickle.dumps(task)) == task
    outcome = evaluate(task)
    assert pickle.loads(pickle.dumps(outcome)) == outcome


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"classes": 10}},
        {"options": {"width": 0.5}},
        {"schedule": "mbs1"},
        {"accelerator": machine("core.global_buffer=5 MiB")},
        {"accelerator": machine("memory=lpddr4")},
        {"accelerator": machine("energy.mac=2 pJ")},
        {"choices": Choices(normalization_passes=1)},
        {"batch": 8},
        {"engine": "event"},
    ],
)
def test_whatever_changes_the_result_changes_the_key(changes: dict[str, Any]) -> None:
    assert small(**changes).key != small().key


def test_a_point_has_one_key_however_it_is_written() -> None:
    written = make_task("resnet50", "mbs2", machine(), options={"width": 1, "image": 224}, batch=64)
    assert written == make_task("resnet50", "mbs2", machine())
    assert make_task("alexnet", "mbs2", machine()).batch == 128


def test_keys_are_those_of_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = small().key
    monkeypatch.setattr(module, "model_version", lambda: "0.2.0+0000")
    assert small().key != before


def test_sources_that_can_change_a_result_are_in_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_plugin"
    (package / "nets").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "nets" / "one.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_hash("a_plugin")
    (package / "nets" / "one.py").write_text("x = 2\n", encoding="utf-8")
    source_hash.cache_clear()
    assert source_hash("a_plugin") != before


def test_the_whole_model_is_hashed_and_the_command_line_is_not() -> None:
    names = {name for name, _ in module._sources("wavecore")}
    assert {"wavecore/plan/traffic.py", "wavecore/engines/analytic.py", "wavecore/network/layers/merge.py"} <= names
    assert {"wavecore/sweep/task.py", "wavecore/workloads/resnet.py", "wavecore/schedules/mbs.py"} <= names
    for immaterial in ("/cli/", "/pictures/", "sweep/store.py", "common/files.py"):
        assert not [name for name in names if immaterial in name]


def test_the_package_of_a_partial_is_that_of_its_function() -> None:
    """Not functools, whose source differs from Python to Python."""
    assert module._package(partial(partial(machine, 1), 2)) == machine.__module__.partition(".")[0]


def test_an_installed_package_has_the_version_of_its_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel has workloads and schedules inside wavecore's folder, a checkout beside it."""
    names = {name for name, _ in module._sources("wavecore")}
    shutil.copytree(Path(module.__file__).parent.parent, tmp_path / "wavecore")
    for inner in ("workloads", "schedules"):
        spec = find_spec(f"wavecore.{inner}")
        assert spec is not None and spec.submodule_search_locations
        shutil.copytree(spec.submodule_search_locations[0], tmp_path / "wavecore" / inner, dirs_exist_ok=True)

    def installed(name: str) -> SimpleNamespace:
        return SimpleNamespace(submodule_search_locations=[str(tmp_path.joinpath(*name.split(".")))])

    monkeypatch.setattr(module, "find_spec", installed)
    found = list(module._sources("wavecore"))
    assert {name for name, _ in found} == names
    assert len(found) == len(names) and all(path.is_relative_to(tmp_path) for _, path in found)


def test_a_workload_from_elsewhere_counts_with_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = small().key
    info = replace(module.workload_info("resnet18"), build=lambda: None)
    info.build.__module__ = "builders"
    monkeypatch.setattr(module, "workload_info", lambda name: info)
    assert small().key != ours


def test_failures_are_recorded() -> None:
    tiny = machine("core.global_buffer=64 KiB", "array.rows=8", "array.columns=8", "array.tile_rows=8")
    outcome = evaluate(small(accelerator=tiny, options={"image": 224}))
    with pytest.raises(SpaceError) as caught:
        simulate(module.workload("resnet18"), "mbs2", tiny, engine="analytic")
    assert (outcome.metrics, outcome.error) == (None, caught.value.message)
    uneven = evaluate(small(batch=63))
    assert uneven.error == "batch: 63 samples do not split evenly over 2 cores; try: 62 or 64"


def test_bugs_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a\n  b")

    monkeypatch.setattr(module, "totals_of", fail)
    assert evaluate(small()).error == r"KeyError: 'a\n b'"


def test_a_figure_that_is_no_number_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    run = simulate(module.workload("resnet18", image=32), "mbs2", machine(), engine="analytic")
    monkeypatch.setattr(module, "totals_of", lambda *_, **__: replace(run, step_seconds=math.inf))
    assert evaluate(small()).error == "step_seconds: is inf, not a finite number"


def test_another_wavecore_refuses() -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(replace(small(), version="0.0.9+1234"))
    assert f"has wavecore {model_version()}, and the sweep was begun with 0.0.9+1234; try: " in str(caught.value)


def test_topologies_travel_as_text(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(TOPOLOGY, encoding="utf-8")
    task = make_task(str(path), "baseline", machine())
    expected = simulate(topology_workload(path), "baseline", machine(), engine="analytic")
    path.unlink()
    assert (evaluate(task).metrics or {})["step_cycles"] == expected.step_cycles
    assert task.batch == 64


def test_the_key_of_a_topology_is_its_name_and_text(tmp_path: Path) -> None:
    keys = []
    for place, more in (("one/net.csv", ""), ("two/net.csv", ""), ("net.csv", "b,4,4,1,1,5,2,1,\n")):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(TOPOLOGY + more, encoding="utf-8")
        keys.append(make_task(str(path), "baseline", machine()).key)
    assert keys[0] == keys[1] != keys[2]


def test_wrong_names_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(NameLookupError):
        make_task("resnet5O", "mbs2", machine())
    with pytest.raises(NameLookupError):
        make_task("resnet50", "mbs3", machine())
    with pytest.raises(NameLookupError):
        make_task("resnet50", "mbs2", machine(), options={"imgae": 2})
    with pytest.raises(FileError):
        make_task(str(tmp_path / "none.csv"), "mbs2", machine())
    with pytest.raises(InputError, match="says all sizes itself"):
        make_task("net.csv", "mbs2", machine(), options={"image": 2})


def test_the_same_source_is_the_same_version_however_it_is_installed(tmp_path: Path) -> None:
    """A wheel has workloads and schedules inside of wavecore, and one made elsewhere may have other ends of lines."""
    built = tmp_path / "wavecore"
    shutil.copytree(ROOT / "wavecore", built, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("workloads", "schedules"):
        shutil.copytree(ROOT / folder, built / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in built.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    def version() -> str:
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {HASH}"]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.strip()

    assert version() == source_hash("wavecore")
    (built / "workloads/lenet.py").write_text("x = 1\n")
    assert version() != source_hash("wavecore")


def test_an_onnx_model_is_a_workload_of_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(classifier(), path)
    task = make_task(str(path), "mbs2", machine(), batch=8)
    outcome = evaluate(task)
    run = simulate(import_onnx(path).graph, "mbs2", machine(), batch=8, engine="analytic")
    assert (outcome.error, (outcome.metrics or {})["step_cycles"]) == (None, run.step_cycles)
    spec = parsed("[axes]\nbatch = [2, 4]\n", head='name = "s"\nworkload = "net.onnx"\n', folder=tmp_path)
    assert [assignment(spec, point).task().batch for point in listed_points(spec)] == [2, 4]
    onnx.save(classifier(), path)
    path.write_bytes(path.read_bytes() + b"\x32\x01x")  # a field more: the model's description
    assert make_task(str(path), "mbs2", machine(), batch=8).key != task.key
    module._training.cache_clear()
    assert "has changed since the sweep began" in (evaluate(task).error or "")
    with pytest.raises(InputError, match="says all sizes itself"):
        make_task(str(path), "mbs2", machine(), options={"image": 32})


def test_a_sparsity_profile_is_an_axis_of_a_sweep(tmp_path: Path) -> None:
    text = 'schema = "wavecore.profile/1"\nname = "p"\nsource = "s"\n[layers.conv1]\nkept_outputs = 10\n'
    (tmp_path / "p.toml").write_text(text)
    spec = parsed('[axes]\nsparsity = ["none", "p.toml"]\n', head='name = "s"\nworkload = "lenet5"\n', folder=tmp_path)
    dense, pruned = (evaluate(assignment(spec, point).task()).metrics or {} for point in listed_points(spec))
    graph = apply_profile(module.workload("lenet5"), load_profile(tmp_path / "p.toml"))
    assert pruned["macs"] == simulate(graph, "mbs2", engine="analytic").macs < dense["macs"]
    task = make_task("lenet5", "mbs2", machine(), sparsity=str(tmp_path / "p.toml"))
    assert task.key != make_task("lenet5", "mbs2", machine()).key
    (tmp_path / "p.toml").write_text(text.replace("10", "11"))
    module._training.cache_clear()
    assert "has changed since the sweep began" in (evaluate(task).error or "")
    with pytest.raises(ConfigError, match="is no profile"):
        parsed('[axes]\nsparsity = ["none", "p"]\n')
