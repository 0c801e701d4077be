"""One run, one folder: whole or not at all, and nothing that was there is lost."""

import csv
import json
import math
from pathlib import Path

import pytest

from wavecore.common.files import writable_file
from wavecore.errors import FileError
from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload
from wavecore.plan.files import load_plan
from wavecore.plan.model import Plan
from wavecore.results.folder import FILES, json_text, layers_csv, run_folder
from wavecore.results.run import Run, to_dict
from wavecore.simulation import make_plan, simulate
from wavecore.training.unroll import training_graph

MACHINE = load_accelerator()
GRAPH = workload("resnet18", image=32)
TRAINING = training_graph(GRAPH)


@pytest.fixture(scope="module")
def made() -> tuple[Run, Plan]:
    plan = make_plan(TRAINING, "mbs2", MACHINE, 2)
    return simulate(TRAINING, plan, MACHINE, engine="analytic"), plan


def put(path: Path, made: tuple[Run, Plan]) -> Path:
    with run_folder(path) as write:
        return write(*made, {"footprints.csv": "layer\n"})


def test_a_missing_folder_is_made_with_its_parents(tmp_path: Path, made: tuple[Run, Plan]) -> None:
    folder = put(tmp_path / "a" / "b", made)
    assert folder == tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "footprints.csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_files_say_what_the_run_says(tmp_path: Path, made: tuple[Run, Plan]) -> None:
    folder = put(tmp_path / "run", made)
    run, plan = made
    assert json.loads((folder / "run.json").read_text()) == json.loads(json_text(to_dict(run)))
    assert load_plan(folder / "plan.toml", TRAINING, graph=GRAPH) == plan
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema"] == "wavecore.manifest/1"
    assert manifest["hashes"] == dict(run.manifest.hashes)


def test_rows_of_the_csv_add_up(made: tuple[Run, Plan]) -> None:
    run, _ = made
    rows = list(csv.DictReader(layers_csv(run).splitlines()))
    assert sum(int(row["cycles"]) for row in rows) == run.step_cycles
    assert sum(int(row["dram_read_bytes"]) for row in rows) == run.dram_bytes.read
    assert rows[0]["fused"] == " ".join(run.rows[0].fused)


def test_a_second_run_goes_beside_the_first(tmp_path: Path, made: tuple[Run, Plan]) -> None:
    first = put(tmp_path / "run", made)
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    assert put(tmp_path / "run", made) == tmp_path / "run-2"
    assert put(tmp_path / "run", made) == tmp_path / "run-3"
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_a_folder_with_other_files_takes_the_run(tmp_path: Path, made: tuple[Run, Plan]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert put(tmp_path, made) == tmp_path
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "footprints.csv", "notes.txt"}


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), run_folder(tmp_path / "run"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, what in ((file, "is a file, not a folder"), (file / "run", f"{file} is a file, not a folder")):
        with pytest.raises(FileError) as caught, run_folder(path):
            pass
        assert caught.value.message == f"{path}: {what}; try: the path of a folder"


def test_json_is_strict() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"x": math.nan})


def test_a_file_that_exists_is_replaced_only_if_told(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    writable_file(file)
    assert not file.exists()
    file.write_text("mine")
    with pytest.raises(FileError, match="exists already; try: --force to replace it, or another name"):
        writable_file(file)
    writable_file(file, replace=True)
    assert file.read_text() == "mine"
