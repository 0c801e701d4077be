"""The whole message when a sweep's store or its processes cannot be used."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.errors import FileError, InputError
from wavecore.sweep import store as module
from wavecore.sweep.cluster import dask_cluster
from wavecore.sweep.pool import local_pool
from wavecore.sweep.store import VERSION, open_store
from wavecore.sweep.task import Outcome

RESULT = Outcome(key="a", metrics={"x": 1}, error=None, seconds=0.1)


def message(path: Path) -> str:
    with pytest.raises(FileError) as caught, open_store(path):
        pass
    return str(caught.value).replace(f"{path.parent}/", "")


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert message(tmp_path / "folder") == "folder: is a folder, not a file; try: the path of a file in it"
    with pytest.raises(FileError) as caught, open_store(tmp_path / "file" / "s"):
        pass
    said = str(caught.value).replace(f"{tmp_path}/", "")
    assert said == "file/s: file is a file, not a folder; try: a path through folders"


def test_text(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("workload = 'resnet50'", encoding="utf-8")
    assert message(tmp_path / "s") == "s: is no store of a sweep; try: another file"


def test_other_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("CREATE TABLE outcomes (a)")
    connection.close()
    assert message(tmp_path / "s") == "s: is a database of something else, no store of a sweep; try: another file"


@pytest.mark.parametrize(("change", "age"), [(1, "a newer"), (-1, "an older")])
def test_another_layout(tmp_path: Path, change: int, age: str) -> None:
    with open_store(tmp_path / "s"):
        pass
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + change}")
    connection.close()
    assert message(tmp_path / "s") == (
        f"s: is a store of layout {VERSION + change}, made by {age} wavecore; this one knows layout {VERSION}; "
        f"try: {age} wavecore, or another file"
    )


def test_truncated(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(*(Outcome(key=str(key), metrics={"x": "y" * 999}, error=None, seconds=0.1) for key in range(99)))
    content = (tmp_path / "s").read_bytes()
    (tmp_path / "s").write_bytes(content[: len(content) // 2])
    assert message(tmp_path / "s") == "s: is damaged; try: another file, or the backup of this one"


def test_not_json(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.connection.execute("INSERT INTO outcomes VALUES ('a', '{', NULL, 0, x'00')")
        assert store.get("a") == {}
        assert store.damaged == {"a"}


def test_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    with open_store(tmp_path / "s") as store:
        store.connection.execute("BEGIN IMMEDIATE")
        said = message(tmp_path / "s")
    assert said == "s: was locked by another process for 60 seconds; try: ending that process"


def test_deleted(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        (tmp_path / "s").unlink()
        with pytest.raises(FileError) as caught:
            store.put(RESULT)
    assert str(caught.value) == (
        f"{tmp_path / 's'}: was deleted or replaced while a sweep was writing to it; try: the same command again"
    )


def test_no_jobs() -> None:
    with pytest.raises(InputError) as caught, local_pool(0):
        pass
    assert str(caught.value) == "jobs: 0 is less than one process; try: 1 or more"


def test_no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError) as caught, dask_cluster("tcp://127.0.0.1:8786"):
        pass
    assert str(caught.value) == (
        '--cluster tcp://127.0.0.1:8786: dask and distributed are not installed; try: pip install "wavecore[cluster]"'
    )


def test_a_cluster_that_is_not_there_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    Path("s.toml").write_text('name = "s"\nworkload = "lenet5"\n[axes]\nmemory = ["hbm2"]\n', encoding="utf-8")
    for _ in range(2):
        assert main(["sweep", "s.toml", "--cluster", "tcp://127.0.0.1:8786", "--out", "made"]) == 2
        assert "going on" not in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]
