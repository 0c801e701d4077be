"""Two sweeps on one store share the points; one that is dead keeps none of them."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_specs import SMALL, parsed

from wavecore.common.staging import system_name
from wavecore.sweep import run as module
from wavecore.sweep.dispatch import Tasks
from wavecore.sweep.run import SweepRun
from wavecore.sweep.space import listed_points
from wavecore.sweep.store import open_store
from wavecore.sweep.task import Outcome, evaluate

AXES = SMALL + '[axes]\nbatch = [2, 4, 8]\nschedule = ["baseline", "il", "mbs2"]\n'
OPTUNA = '[search]\nmethod = "optuna"\npoints = 12\npopulation = 4\n'


class Counted:
    """An executor that counts what it evaluates, and takes its time."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()

    def __call__(self, tasks: Tasks) -> Iterator[Outcome]:
        for task in tasks:
            if task is not None:
                time.sleep(0.02)
                self.keys[task.key] += 1
                yield evaluate(task)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


def swept(path: Path, text: str, counted: Counted, found: list[object]) -> None:
    with open_store(path) as store:
        spec = parsed(text)
        sweep = SweepRun(spec, listed_points(spec), store)
        sweep.run(counted)
        found.append([(each.point, each.outcome.metrics) for each in sweep.results()])


@pytest.mark.parametrize("text", [AXES, AXES + OPTUNA], ids=["grid", "optuna"])
def test_sweeps_that_share_a_store_evaluate_each_point_once(tmp_path: Path, text: str) -> None:
    counts, found = [Counted(), Counted()], list[object]()
    sweeps = [threading.Thread(target=swept, args=(tmp_path / "s", text, each, found)) for each in counts]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join(60)
    assert set((counts[0].keys + counts[1].keys).values()) == {1}
    assert all(each.keys for each in counts), "both have worked"
    assert len(found) == 2
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("system", "pid", "beat_in", "taken"),
    [
        (system_name(), 999_999_999, 10.0, True),  # has died
        (system_name(), os.getpid(), -3600.0, True),  # has not said a word for an hour
        ("another", 1, -3600.0, True),
        ("another", 1, "x", True),
        ("another", 1, 10.0, False),
        (system_name(), os.getpid(), 10.0, False),
    ],
    ids=("dead", "silent here", "silent elsewhere", "damaged", "at work elsewhere", "at work here"),
)
def test_only_a_sweep_at_work_holds_its_points(
    tmp_path: Path, system: str, pid: int, beat_in: float | str, taken: bool
) -> None:
    beat = beat_in if isinstance(beat_in, str) else time.time() + beat_in
    with open_store(tmp_path / "s") as store:
        with sqlite3.connect(tmp_path / "s") as other:
            other.execute("INSERT INTO sweeps VALUES ('x', ?, ?, ?)", (system, pid, beat))
            other.execute("INSERT INTO claims VALUES ('a', 'x')")
        other.close()
        assert store.claim("a") == ("mine" if taken else "elsewhere")


def test_claims_end_with_the_sweep(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store, open_store(tmp_path / "s") as other:
        with store.at_work():
            assert (store.claim("a"), store.claim("b")) == ("mine", "mine")
            assert (other.claim("a"), other.claim("b")) == ("elsewhere", "elsewhere")
            store.put(Outcome(key="b", metrics={}, error=None, seconds=0.1))
            assert other.claim("b") == "finished"
        assert other.claim("a") == "mine"
