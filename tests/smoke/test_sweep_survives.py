"""A sweep that is killed, shares its store or runs out of disk loses nothing: with real processes and real disks."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakework import notes, started

from wavecore.errors import FileError
from wavecore.sweep.pool import AHEAD_SECONDS
from wavecore.sweep.store import ResultStore, open_store
from wavecore.sweep.task import Outcome

COUNT, JOBS = 200, 2
KEYS = [str(number) for number in range(10000)]


def outcome(key: str) -> Outcome:
    return Outcome(key=key, metrics={f"figure.{number}": number / 7 for number in range(40)}, error=None, seconds=0.1)


def fill(store: ResultStore) -> tuple[int, str]:
    """Put outcomes until that fails; return how many went, and what was said."""
    for done, key in enumerate(KEYS):
        try:
            store.put(outcome(key))
        except FileError as error:
            return done, str(error)
    raise AssertionError("the disk is endless")


def is_whole(path: Path) -> bool:
    with sqlite3.connect(path) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return bool(answer == "ok")


def stored(folder: Path) -> set[str]:
    with open_store(folder / "store") as store:
        return set(store.get(KEYS))


def done_by(sweep: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    """Wait until there are so many notes, or the sweep has ended."""
    while len(notes(folder, "done")) < count and sweep.poll() is None:
        time.sleep(0.001)


def test_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    chance = random.Random(4)
    kills = 0
    while True:
        kept, before = stored(tmp_path), len(notes(tmp_path, "done"))
        sweep = started(f"sweep(folder, {COUNT}, {JOBS})", tmp_path)
        if kills < 4:
            done_by(sweep, tmp_path, before + chance.randrange(1, COUNT // 5))
            time.sleep(chance.random() * 0.01)
            sweep.kill()
        code = sweep.wait()
        assert kept.isdisjoint(notes(tmp_path, "done")[before:])
        if not code:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills == 4
    assert stored(tmp_path) == set(KEYS[:COUNT])
    # Only what had not been reported when the sweep was killed: what each worker had been given.
    assert len(notes(tmp_path, "done")) - COUNT <= kills * JOBS * (1 + AHEAD_SECONDS / 0.005)
    assert is_whole(tmp_path / "store")


def test_killed_while_a_store_is_made(tmp_path: Path) -> None:
    chance = random.Random(7)
    for _ in range(4):
        maker = started("make_stores(folder)", tmp_path)
        while not (tmp_path / "0").exists() and maker.poll() is None:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
        maker.kill()
        maker.wait()
        for path in [path for path in tmp_path.iterdir() if path.name.isdigit()]:
            with open_store(path) as store:
                store.put(outcome("2"))
            path.unlink()


def test_sweeps_share_a_store(tmp_path: Path) -> None:
    sweeps = [started(f"sweep(folder, 400, 1, {work})", tmp_path) for work in ("echo", "noted", "echo")]
    assert [sweep.wait(60) for sweep in sweeps] == [0, 0, 0]
    assert stored(tmp_path) == set(KEYS[:400])
    assert is_whole(tmp_path / "store")


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A small disk of its own."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    mount = subprocess.run(command, capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


ROOT = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a disk")


@ROOT
def test_a_full_disk(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "400k") as folder:
        with open_store(folder / "store") as store:
            done, said = fill(store)
            assert set(store.get(KEYS)) == set(KEYS[:done])
        hint = "making room and the same command again: what was finished is kept"
        assert said == f"{folder / 'store'}: the disk is full; try: {hint}"
        assert 10 < done < 1000
        assert stored(folder) == set(KEYS[:done])
        remount(folder, "size=4m")
        with open_store(folder / "store") as store:
            store.put(*map(outcome, KEYS[:200]))
        assert stored(folder) == set(KEYS[:200])
        assert is_whole(folder / "store")


def test_a_limit_on_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_store(tmp_path / "store") as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            done, said = fill(store)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    hint = "a look at the disk and its quota: what was finished is kept"
    assert said == f"{tmp_path / 'store'}: cannot be read or written; try: {hint}"
    assert 10 < done < 1000
    assert stored(tmp_path) == set(KEYS[:done])
    assert is_whole(tmp_path / "store")


@ROOT
def test_a_read_only_disk(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "4m") as folder:
        with open_store(folder / "store") as store:
            store.put(outcome("1"))
        before = (folder / "store").read_bytes()
        remount(folder, "ro")
        for name in ("store", "new"):
            with pytest.raises(FileError) as caught, open_store(folder / name):
                pass
            assert str(caught.value) == (
                f"{folder / name}: is read-only; try: a file and a folder that you may write to"
            )
        with pytest.raises(FileError) as caught, open_store(folder / "new" / "store"):
            pass
        assert "cannot be written (Read-only file system)" in str(caught.value)
        remount(folder, "rw")
        assert (folder / "store").read_bytes() == before
        assert stored(folder) == {"1"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_file(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.put(outcome("1"))
    for path in (tmp_path / "store", tmp_path):
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
        with pytest.raises(FileError, match=r"is read-only; try: a file and a folder that you may write to"):
            stored(tmp_path)
        path.chmod(mode)
    assert stored(tmp_path) == {"1"}
