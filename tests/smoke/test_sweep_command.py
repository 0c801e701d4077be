"""Does ``wavecore sweep`` do its work: examples, files, options, and going on after it was killed or stopped?"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.sweep import cluster
from wavecore.sweep.dispatch import Executor
from wavecore.sweep.folder import FIGURE, PARQUET, POINTS, SPEC, STORE, SUMMARY
from wavecore.sweep.pool import local_pool
from wavecore.sweep.table import read_csv

Says = Callable[..., tuple[str, str]]

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "examples" / "sweeps").glob("*.toml"))
LONG = """\
name = "long"
workload = "resnet18"
[base]
option.image = 32
[axes]
batch = { from = 2, to = 12, step = 2 }
core.global_buffer = { from = "1 MiB", to = "4 MiB", factor = 2 }
schedule = ["baseline", "mbs2"]
[search]
method = "grid"
"""
OPTUNA = LONG.replace('"grid"', '"optuna"\npoints = 24\npopulation = 8')


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Run a command that must succeed in a folder of its own; return its stdout and its stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[str, str]:
        assert main(words) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    return call


def reduced(text: str) -> str:
    """An example on a small network, with a few points where the example searches."""
    text = text.replace('"resnet50"', '"resnet18"').replace("points = 120", "points = 8").replace("= 24", "= 4")
    base = "[base]\noption.image = 32\n"
    return text.replace("[base]\n", base) if "[base]" in text else text.replace("[axes]\n", f"{base}[axes]\n")


def start(*words: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "wavecore", "sweep", *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def stored(path: Path) -> int:
    """How many points a store has, of whatever state it is in."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            count = int(connection.execute("SELECT count(*) FROM outcomes").fetchone()[0])
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return count


def wait_for(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    while stored(path) < count and process.poll() is None:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()


def test_there_are_examples() -> None:
    names = {"array_shape", "buffer_memory", "chip_search", "cores_buffer", "mini_batch", "vector_lanes"}
    assert {path.stem for path in EXAMPLES} == names


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_right_and_runs_on_a_small_network(path: Path, says: Says) -> None:
    assert says("check", str(path)) == (f"{path}: ok, a sweep\n", "")
    assert 'workload = "resnet50"\n' in path.read_text()
    Path("s.toml").write_text(reduced(path.read_text()))
    out, err = says("sweep", "s.toml", "--jobs", "1", "--out", "out")
    assert ("Pareto front of" in out or ": best " in out) and " 0 failed" in err
    assert {each.name for each in Path("out").iterdir()} == {SPEC, STORE, POINTS, FIGURE, SUMMARY}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_its_figure(path: Path) -> None:
    figure = ROOT / "docs" / "figures" / f"sweep_{path.stem}.png"
    assert 10_000 < figure.stat().st_size < 150_000


def test_what_a_sweep_says_and_writes(says: Says) -> None:
    Path("s.toml").write_text(LONG)
    out, err = says("sweep", "s.toml", "--jobs", "2", "--plot", "front.svg", "--parquet")
    folder = Path("long-sweep")
    assert {each.name for each in folder.iterdir()} == {SPEC, STORE, POINTS, PARQUET, SUMMARY}
    assert (folder / SPEC).read_text() == LONG
    assert Path("front.svg").read_text().startswith("<?xml")
    table = read_csv(folder / POINTS)
    front = int(table["pareto"].sum())
    lines = err.splitlines()
    assert lines[0] == "written to front.svg"
    assert re.fullmatch(
        rf"36 points: 36 feasible, 0 failed, {front} on the Pareto front; "
        r"36 evaluated in \d+\.\d s, [\d,]+\.\d a second",
        lines[1],
    )
    assert lines[2:] == ["written to long-sweep/points.csv"]
    assert out.splitlines()[0].strip() == "long: Pareto front of step time and energy"


def test_json_is_the_summary_and_nothing_else(says: Says) -> None:
    Path("s.toml").write_text(LONG)
    out, _ = says("sweep", "s.toml", "--jobs", "1", "--json")
    told = json.loads(out)
    assert told == json.loads(Path("long-sweep", SUMMARY).read_text())
    assert (told["schema"], told["points"], told["evaluated"]) == ("wavecore.sweep/1", 36, 36)
    assert {row["schedule"] for row in told["front"]} == {"mbs2"}


def test_the_same_command_again_evaluates_nothing(says: Says) -> None:
    Path("s.toml").write_text(LONG)
    says("sweep", "s.toml", "--jobs", "1")
    table = Path("long-sweep", POINTS).read_bytes()
    _, err = says("sweep", "s.toml", "--jobs", "1")
    assert err.splitlines()[0].startswith("going on with long-sweep/store.sqlite: points that this version has")
    assert "0 evaluated, 36 were finished before" in err
    assert Path("long-sweep", POINTS).read_bytes() == table
    _, err = says("sweep", "s.toml", "--jobs", "1", "--fresh")
    assert "36 evaluated" in err and "going on" not in err


def test_fresh_leaves_the_points_of_other_sweeps_alone(says: Says) -> None:
    Path("s.toml").write_text(LONG)
    Path("t.toml").write_text(LONG.replace('"long"', '"other"').replace("to = 12", "to = 4"))
    says("sweep", "s.toml", "--jobs", "1", "--store", "shared.sqlite")
    _, err = says("sweep", "t.toml", "--jobs", "1", "--store", "shared.sqlite")
    assert "0 evaluated, 12 were finished before" in err
    says("sweep", "t.toml", "--jobs", "1", "--store", "shared.sqlite", "--fresh")
    assert stored(Path("shared.sqlite")) == 36
    assert not Path("long-sweep", STORE).exists()


def test_failures_are_tried_again_when_asked(says: Says) -> None:
    Path("s.toml").write_text(LONG.replace("from = 2", "from = 3").replace("step = 2", "step = 1"))
    _, err = says("sweep", "s.toml", "--jobs", "1")
    assert "30 failed" in err
    _, err = says("sweep", "s.toml", "--jobs", "1")
    assert "0 evaluated" in err
    _, err = says("sweep", "s.toml", "--jobs", "1", "--retry-failed")
    assert "30 evaluated" in err and "30 were finished before" in err


@pytest.mark.parametrize("text", [LONG, OPTUNA], ids=["grid", "optuna"])
def test_the_table_does_not_depend_on_the_workers(text: str, says: Says) -> None:
    Path("s.toml").write_text(text)
    for jobs in ("1", "3"):
        says("sweep", "s.toml", "--jobs", jobs, "--out", jobs)
    assert Path("1", POINTS).read_bytes() == Path("3", POINTS).read_bytes()


def test_a_cluster_does_the_same(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a cluster works is tested elsewhere; here it is one process that answers to an address."""
    asked: list[str] = []

    def pretended(address: str) -> AbstractContextManager[Executor]:
        asked.append(address)
        return local_pool(1)

    monkeypatch.setattr(cluster, "dask_cluster", pretended)
    Path("s.toml").write_text(LONG.replace("to = 12", "to = 2"))
    says("sweep", "s.toml", "--cluster", "tcp://host:8786", "--out", "far")
    says("sweep", "s.toml", "--jobs", "1", "--out", "near")
    assert asked == ["tcp://host:8786"]
    assert Path("far", POINTS).read_bytes() == Path("near", POINTS).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("text", [LONG, OPTUNA], ids=["grid", "optuna"])
def test_killed_again_and_again_it_ends_with_the_same_table(text: str, says: Says, tmp_path: Path) -> None:
    Path("s.toml").write_text(text)
    says("sweep", "s.toml", "--jobs", "1", "--out", "whole")
    points, store = len(read_csv(Path("whole", POINTS))), tmp_path / "killed" / STORE
    for count in (4, 12):
        process = start("s.toml", "--jobs", "2", "--out", "killed", folder=tmp_path)
        wait_for(store, count, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not Path("killed", POINTS).exists()
    before = stored(store)
    out, _ = says("sweep", "s.toml", "--jobs", "2", "--out", "killed", "--json")
    assert 12 <= before < points
    assert json.loads(out)["evaluated"] == points - before
    assert Path("killed", POINTS).read_bytes() == Path("whole", POINTS).read_bytes()


@pytest.mark.slow
def test_stopped_by_the_user_it_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(LONG)
    process = start("s.toml", "--jobs", "2", folder=tmp_path)
    store = tmp_path / "long-sweep" / STORE
    wait_for(store, 5, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    told = re.fullmatch(
        r"(\d+) of 36 points are finished and in long-sweep/store\.sqlite; the same command goes on from there\n"
        r"stopped\n",
        err,
    )
    assert told is not None, err
    assert stored(store) >= 5
    assert stored(store) - int(told[1]) in (0, 1)  # the signal may fall between storing and counting
