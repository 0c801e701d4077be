"""The store gives back what was put there, exactly, and never harms a file."""

from __future__ import annotations

import json
import math
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from wavecore.errors import FileError
from wavecore.sweep import store as module
from wavecore.sweep.store import VERSION, ResultStore, on_network, open_store
from wavecore.sweep.task import Outcome

METRICS = {"step_cycles": 1 << 80, "step_seconds": 0.1 + 0.2, "tiny": 5e-324, "memory": "hbm2 \ud800", "zero": -0.0}


def outcome(key: str, **changes: Any) -> Outcome:
    return Outcome(**{"key": key, "metrics": METRICS, "error": None, "seconds": 0.1, **changes})


def failure(key: str) -> Outcome:
    return outcome(key, metrics=None, error="KeyError: '\ud800\0'")


def test_outcomes_come_back_exactly(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"), failure("b"))
    with open_store(tmp_path / "s") as store:
        found = store.get(["b", "a", "c"])
    assert found == {"a": outcome("a"), "b": failure("b")}
    assert math.copysign(1, found["a"].metrics["zero"]) == -1  # type: ignore[index, arg-type]


def test_many_keys_at_once(tmp_path: Path) -> None:
    keys = [str(number) for number in range(2500)]
    with open_store(tmp_path / "s") as store:
        store.put(*map(outcome, keys))
        assert set(store.get(keys[:1200])) == set(keys[:1200])
        assert store.get([]) == {}
        assert store.forget(keys[:2000]) == 2000
        assert len(store.get(keys)) == 500


def test_a_result_stays_and_a_failure_gives_way(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"))
        store.put(failure("a"), outcome("a", seconds=9.0))
        assert store.get("a") == {"a": outcome("a")}
        store.put(failure("b"))
        store.put(outcome("b"))
        assert store.get("b") == {"b": outcome("b")}


def test_failures_are_forgotten_when_asked(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"), failure("b"), failure("c"))
        assert store.forget_failed(["a", "b"]) == 1
        assert set(store.get(["a", "b", "c"])) == {"a", "c"}


def test_all_or_none(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        with pytest.raises(ValueError, match="JSON compliant"):
            store.put(outcome("a"), outcome("b", metrics={"x": math.nan}))
        with pytest.raises(FileError, match="CHECK constraint failed"):
            store.put(outcome("a"), outcome("b", metrics=None))
        assert store.get(["a", "b"]) == {}
        store.put(outcome("a"))


def test_rows_are_strict_json(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"))
    with sqlite3.connect(tmp_path / "s") as connection:
        (text,) = connection.execute("SELECT metrics FROM outcomes").fetchone()
    connection.close()
    assert json.loads(text, parse_constant=pytest.fail) == METRICS


def test_a_store_is_one_file_when_it_is_closed(tmp_path: Path) -> None:
    with open_store(tmp_path / "new" / "folder" / "s") as store:
        store.put(outcome("a"))
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["s"]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"))
        assert "a" in store.get("a")


def journal(store: ResultStore) -> tuple[str, int]:
    """The journal's kind, and how much is synchronized: 1 normal, 2 full."""
    mode, synchronous = (
        store.connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")
    )
    return mode[0], synchronous[0]


def test_a_log_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path / "s") as store:
        assert journal(store) == ("wal", 1)
        store.put(outcome("a"))
    monkeypatch.setattr(module, "on_network", lambda _: True)
    with open_store(tmp_path / "s") as store:
        assert journal(store) == ("truncate", 2)
        store.put(outcome("b"))
        assert set(store.get("ab")) == {"a", "b"}


def test_a_journal_where_a_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_journal = module._set_journal

    def refuse(connection: sqlite3.Connection, mode: str) -> str:
        if mode == "WAL":
            raise sqlite3.OperationalError("locking protocol")
        return set_journal(connection, mode)

    monkeypatch.setattr(module, "_set_journal", refuse)
    with open_store(tmp_path / "s") as store:
        assert journal(store) == ("truncate", 2)
        store.put(outcome("a"))
        assert set(store.get("ab")) == {"a"}


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/home/me/s", False),
        ("/home/shared/a/s", True),
        ("/data/my files/s", True),
        ("/data/my", False),
        ("/mnt/remote/s", True),
        ("/mnt/disk/s", False),
    ],
)
def test_network_file_systems(tmp_path: Path, path: str, network: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        "server:/home /home/shared nfs4 rw,vers=4.2 0 0\n"
        "//server/x /data/my\\040files cifs rw 0 0\n"
        "me@there:/ /mnt/remote fuse.sshfs rw 0 0\n"
        "/dev/sdb1 /mnt/disk fuseblk rw 0 0\n",
        encoding="utf-8",
    )
    assert on_network(Path(path), mounts) is network
    assert on_network(Path(path), tmp_path / "none") is False


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "database") as connection:
        connection.execute("CREATE TABLE outcomes (a)")
    connection.close()
    (tmp_path / "text").write_text("hello\n", encoding="utf-8")
    (tmp_path / "long").write_text("hello\n" * 1000, encoding="utf-8")
    with open_store(tmp_path / "newer"):
        pass
    with sqlite3.connect(tmp_path / "newer") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    for path in sorted(tmp_path.iterdir()):
        before = path.read_bytes()
        with pytest.raises(FileError), open_store(path):
            pass
        assert path.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"database", "text", "long", "newer"}


def test_damage_is_said_and_the_rest_still_read(tmp_path: Path) -> None:
    keys = [str(number) for number in range(100, 400)]
    with open_store(tmp_path / "s") as store:
        store.put(*map(outcome, keys))
    content = bytearray((tmp_path / "s").read_bytes())
    content[-4096:] = b"\x55" * 4096
    (tmp_path / "s").write_bytes(content)
    with open_store(tmp_path / "s") as store:
        with pytest.raises(FileError, match="is damaged"):
            store.get(keys)
        assert sum(1 for key in keys if _readable(store, key)) > 200


def _readable(store: ResultStore, key: str) -> bool:
    try:
        return bool(store.get([key]))
    except FileError:
        return False


def test_a_copy_is_a_store(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"))
    shutil.copy(tmp_path / "s", tmp_path / "copy")
    with open_store(tmp_path / "copy") as store:
        assert store.get("a") == {"a": outcome("a")}


def test_a_row_that_disk_or_copy_has_changed_counts_as_not_finished(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.put(outcome("a"), outcome("b"), failure("c"))
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("UPDATE outcomes SET metrics = replace(metrics, '4', '5') WHERE key = 'a'")
        connection.execute("UPDATE outcomes SET error = cast(x'22ff22' AS TEXT) WHERE key = 'c'")
    connection.close()
    with open_store(tmp_path / "s") as store:
        assert store.get("abc") == {"b": outcome("b")}
        assert store.damaged == {"a", "c"}
        store.put(outcome("a"))
        assert store.get("abc") == {"a": outcome("a"), "b": outcome("b")}


def test_flipped_bits_give_right_figures_or_a_message(tmp_path: Path) -> None:
    chance, keys = random.Random(5), [str(number) for number in range(40)]
    with open_store(tmp_path / "s") as store:
        store.put(*(outcome(key, metrics={"step_seconds": float(key)}) for key in keys))
    whole, other = (tmp_path / "s").read_bytes(), 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 4))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (tmp_path / "s").write_bytes(content)
        try:
            with open_store(tmp_path / "s") as store:
                found = store.get(keys)
        except FileError:
            continue
        for key, each in found.items():
            assert each == outcome(key, metrics={"step_seconds": float(key)})
        other += len(found) < len(keys)
    assert other > 20
