"""Executors on this machine: every task comes back once, whatever happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
from builders import machine
from fakework import (
    alive,
    broken,
    deadly,
    deadly_once,
    echo,
    endless,
    noted,
    notes,
    numbered,
    pids,
    started,
    talkative,
)

from wavecore.errors import InvariantError, WavecoreError
from wavecore.sweep import pool as module
from wavecore.sweep.dispatch import Feed, PointDuration
from wavecore.sweep.pool import local_pool
from wavecore.sweep.task import Outcome, Task, make_task

JOBS = pytest.mark.parametrize("jobs", [1, 2])


def keys(outcomes: Iterator[Outcome]) -> list[int]:
    return sorted(int(outcome.key) for outcome in outcomes)


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@JOBS
def test_every_task_comes_back_once(jobs: int) -> None:
    with local_pool(jobs, echo) as executor:
        assert keys(executor(numbered(range(500)))) == list(range(500))
        assert keys(executor(numbered(range(3)))) == [0, 1, 2]
        assert keys(executor([])) == []


@JOBS
def test_real_points_are_the_same_for_any_number_of_workers(jobs: int) -> None:
    tasks = [
        make_task("resnet18", schedule, machine(f"core.global_buffer={size} MiB"), options={"image": 32}, batch=8)
        for size in (1, 2)
        for schedule in ("baseline", "mbs2")
    ]
    with local_pool(jobs) as executor:
        found = {outcome.key: outcome.metrics for outcome in executor(tasks)}
    with local_pool(1) as executor:
        assert found == {outcome.key: outcome.metrics for outcome in executor(reversed(tasks))}
    assert all(found.values())


@JOBS
def test_tasks_are_pulled_as_they_are_wanted(jobs: int) -> None:
    pulled = 0

    def tasks() -> Iterator[Task]:
        nonlocal pulled
        for task in numbered(range(10000)):
            pulled += 1
            yield task

    with local_pool(jobs, echo) as executor:
        outcomes = executor(tasks())
        assert pulled == 0
        for _ in range(10):
            next(outcomes)
        assert pulled <= 10 + jobs * (1 + module.MOST_AHEAD)


@JOBS
def test_a_search_may_wait_for_its_generation(jobs: int) -> None:
    told: list[int] = []

    def search() -> Iterator[Task | None]:
        for generation in range(3):
            yield from numbered(range(10 * generation, 10 * generation + 10))
            while len(told) < 10 * generation + 10:
                yield None
            assert sorted(told) == list(range(10 * generation + 10))

    with local_pool(jobs, echo) as executor:
        for outcome in executor(search()):
            told.append(int(outcome.key))
    assert len(told) == 30


@JOBS
def test_a_search_that_waits_for_nothing_is_wrong(jobs: int) -> None:
    with local_pool(jobs, echo) as executor, pytest.raises(InvariantError) as caught:
        list(executor(chain(numbered([1]), repeat(None))))
    assert str(caught.value) == "sweep: the search waits for an outcome, and no point is under way"


def test_tasks_of_workers_that_die_are_done_by_others(tmp_path: Path) -> None:
    with local_pool(2, deadly_once) as executor:
        outcomes = list(executor(numbered(range(30), tmp_path)))
    assert keys(iter(outcomes)) == list(range(30))
    assert not [outcome.error for outcome in outcomes if outcome.error]
    assert sorted(notes(tmp_path, "killed")) == ["17", "27", "7"]
    assert sorted(map(int, notes(tmp_path, "done"))) == list(range(30))


def test_a_task_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    with local_pool(2, deadly) as executor:
        outcomes = {outcome.key: outcome for outcome in executor(numbered(range(10), tmp_path))}
    assert outcomes.pop("7").error == (
        "worker process: was killed by SIGKILL in each of 3 attempts at this point; "
        "try: fewer at a time, if memory has run out"
    )
    assert sorted(outcomes) == sorted("012345689")
    assert [outcome.error for outcome in outcomes.values()] == [None] * 9
    assert notes(tmp_path, "killed") == ["7", "7", "7"]


def test_workers_that_are_killed_at_random(tmp_path: Path) -> None:
    found = []
    with local_pool(2, noted) as executor:
        for outcome in executor(numbered(range(100), tmp_path)):
            found.append(outcome)
            if len(found) in (20, 50):
                os.kill(next(filter(alive, pids(tmp_path))), signal.SIGKILL)
    assert keys(iter(found)) == list(range(100))
    assert not [outcome.error for outcome in found if outcome.error]


def test_what_work_raises_ends_the_sweep() -> None:
    for jobs in (1, 2):
        with local_pool(jobs, broken) as executor, pytest.raises(ZeroDivisionError, match="task 5"):
            list(executor(numbered([5])))


def test_prints_do_not_get_between_pickles(capfd: pytest.CaptureFixture[str]) -> None:
    with local_pool(2, talkative) as executor:
        assert keys(executor(numbered(range(4)))) == [0, 1, 2, 3]
    assert capfd.readouterr().out == ""


def test_workers_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_START", "raise SystemExit(3)")
    with local_pool(2, echo) as executor, pytest.raises(WavecoreError) as caught:
        list(executor(numbered(range(9))))
    assert str(caught.value) == (
        "worker process: ended with exit code 3 before it could begin, 3 times in a row; "
        "try: --jobs 1, which works in the main process"
    )


def test_leaving_early_leaves_nobody_behind(tmp_path: Path) -> None:
    with local_pool(2, endless) as executor:
        outcomes = executor(numbered(range(9), tmp_path))
        assert next(outcomes).key == "0"
        assert within(30, lambda: len(pids(tmp_path)) == 2)
    assert not any(map(alive, pids(tmp_path)))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_sweep(tmp_path: Path, end: signal.Signals) -> None:
    sweep = started("sweep(folder, 9, 2, endless)", tmp_path)
    assert within(30, lambda: len(pids(tmp_path)) == 2)
    sweep.send_signal(end)
    sweep.wait(10)
    assert within(5, lambda: not any(map(alive, pids(tmp_path))))


def test_stopped_sweeps_go_on_with_other_tasks() -> None:
    with local_pool(2, echo) as executor:
        outcomes = executor(numbered(range(1000)))
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert keys(executor(numbered(range(2000, 2010)))) == list(range(2000, 2010))


def test_feed_takes_back_what_it_gave() -> None:
    feed = Feed(numbered(range(4)))
    first = feed.take(3)
    feed.hand_back(first[1:])
    assert not feed.ended
    assert [attempt.task.key for attempt in feed.take(9)] == ["1", "2", "3"]
    assert feed.ended
    assert feed.take(1) == []


def test_pace_follows_the_points() -> None:
    duration = PointDuration()
    assert duration.points_in(1.0, 9) == 0
    duration.add(_took(0.01))
    assert (duration.points_in(0.05, 9), duration.points_in(1.0, 9)) == (5, 9)
    for _ in range(50):
        duration.add(_took(2.0))
    assert duration.points_in(1.0, 9) == 0
    assert duration.points_in(10.0, 9) == 5


def _took(seconds: float) -> Outcome:
    return Outcome(key="", metrics=None, error="", seconds=seconds)


def test_a_worker_whose_parent_has_died_says_nothing() -> None:
    """Before it was told what to do, and in the middle of a request."""
    for request in (b"", b"\x80\x05\x95"):
        worker = subprocess.run(
            [sys.executable, "-c", module._START, *sys.path],
            input=request,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (worker.returncode, worker.stderr) == (0, b"")
