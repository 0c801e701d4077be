"""Sweeps on a real Dask cluster of two worker processes, which are killed while they work."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from builders import machine
from fakework import alive, broken, deadly, echo, noted, notes, numbered, pids

from wavecore.errors import InputError, InvariantError
from wavecore.sweep import cluster as module
from wavecore.sweep.cluster import dask_cluster
from wavecore.sweep.pool import local_pool
from wavecore.sweep.task import Outcome, make_task


@contextmanager
def two_workers() -> Iterator[Any]:
    """Two worker processes that are started again when they die.

    A LocalCluster looks again 15 seconds after each death, and gives a worker up for good that it does not find: on a
    busy machine one may then still be starting, or have died anew.
    """
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    patient = import_module("dask").config.set({"distributed.deploy.lost-worker-timeout": "1 hour"})
    with patient, distributed.LocalCluster(**options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    with two_workers() as cluster:
        yield cluster


@pytest.fixture
def own_dask() -> Iterator[Any]:
    """A cluster to kill workers of, so that no other test waits until they have been started again."""
    with two_workers() as cluster:
        yield cluster


def keys(outcomes: list[Outcome]) -> list[int]:
    return sorted(int(outcome.key) for outcome in outcomes)


def test_every_task_comes_back_once(dask: Any) -> None:
    with dask_cluster(dask.scheduler_address, echo) as executor:
        assert keys(list(executor(numbered(range(2000))))) == list(range(2000))
        assert list(executor([])) == []


def test_real_points_are_those_of_this_machine(dask: Any) -> None:
    tasks = [
        make_task("resnet18", schedule, machine(), options={"image": 32}, batch=batch)
        for batch in (4, 8)
        for schedule in ("baseline", "mbs2")
    ]
    with dask_cluster(dask.scheduler_address) as executor:
        found = {outcome.key: outcome.metrics for outcome in executor(tasks)}
    with local_pool(1) as executor:
        assert found == {outcome.key: outcome.metrics for outcome in executor(tasks)}
    assert len(found) == len(tasks)
    assert all(found.values())


def test_workers_that_are_killed_while_they_work(own_dask: Any, tmp_path: Path) -> None:
    outcomes = []
    with dask_cluster(own_dask.scheduler_address, noted) as executor:
        for outcome in executor(numbered(range(400), tmp_path)):
            outcomes.append(outcome)
            if len(outcomes) in (40, 200):
                os.kill(next(filter(alive, pids(tmp_path))), signal.SIGKILL)
    assert keys(outcomes) == list(range(400))
    assert not [outcome.error for outcome in outcomes if outcome.error]
    assert len(pids(tmp_path)) >= 3


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up(own_dask: Any, tmp_path: Path) -> None:
    with dask_cluster(own_dask.scheduler_address, deadly) as executor:
        outcomes = {outcome.key: outcome for outcome in executor(numbered(range(10), tmp_path))}
    assert outcomes.pop("7").error == (
        "worker process: died in each of 4 attempts at this point alone; try: fewer at a time, if memory has run out"
    )
    assert sorted(outcomes) == sorted("012345689")
    assert [outcome.error for outcome in outcomes.values()] == [None] * 9
    assert set(notes(tmp_path, "killed")) == {"7"}


def test_a_search_may_wait(dask: Any) -> None:
    told: list[str] = []

    def search() -> Iterator[Any]:
        yield from numbered(range(5))
        while len(told) < 5:
            yield None
        yield from numbered(range(5, 8))

    with dask_cluster(dask.scheduler_address, echo) as executor:
        for outcome in executor(search()):
            told.append(outcome.key)
        assert sorted(told) == list("01234567")
        with pytest.raises(InvariantError):
            list(executor(chain(numbered([1]), repeat(None))))


def test_what_work_raises_ends_the_sweep(dask: Any) -> None:
    with dask_cluster(dask.scheduler_address, broken) as executor, pytest.raises(ZeroDivisionError, match="task 5"):
        list(executor(numbered([5])))


def test_workers_without_the_package(dask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "from fakework import echo\ndef work(task):\n    return echo(task)\n"
    (tmp_path / "only_here.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    work = import_module("only_here").work
    with dask_cluster(dask.scheduler_address, work) as executor, pytest.raises(InputError) as caught:
        list(executor(numbered([1])))
    assert str(caught.value) == (
        f"--cluster {dask.scheduler_address}: a worker cannot import only_here; "
        "try: installing wavecore and its plugins there too"
    )


def test_stopping_early(dask: Any, tmp_path: Path) -> None:
    with dask_cluster(dask.scheduler_address, noted) as executor:
        outcomes = executor(numbered(range(5000), tmp_path))
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert keys(list(executor(numbered([3], tmp_path)))) == [3]
    assert len(notes(tmp_path, "done")) < 1000


def message(address: str) -> str:
    with pytest.raises(InputError) as caught, dask_cluster(address):
        pass
    return str(caught.value).removeprefix(f"--cluster {address}: ")


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        assert message(address) == (
            "no scheduler answers there within 1 seconds; try: dask scheduler, and the address that it prints"
        )


def test_something_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_say_something_else, args=(server,), daemon=True).start()
        said = message(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    assert said.startswith("something else than a scheduler of Dask answers there (")
    assert said.endswith("; try: dask scheduler, and the address that it prints")


def _say_something_else(server: socket.socket) -> None:
    while True:
        try:
            connection = server.accept()[0]
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("nonsense", "is no address (missing port number in address 'nonsense')"),
        ("ftp://x:1", "is no address (unknown address scheme 'ftp'"),
        ("tcp://127.0.0.1:port", "is no address (invalid literal for int() with base 10: 'port')"),
    ],
)
def test_no_address(address: str, what: str) -> None:
    pytest.importorskip("distributed")
    said = message(address)
    assert said.startswith(what)
    assert said.endswith("; try: tcp://HOST:8786, as dask scheduler prints it")


def test_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", processes=False) as cluster:
        said = message(cluster.scheduler_address)
    assert said == "the scheduler has no workers after 1 seconds; try: dask worker"


def test_other_versions(dask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = dask.scheduler.versions()
    found = {"client": versions, "scheduler": versions, "workers": {"tcp://there:1": _older(versions)}}
    monkeypatch.setattr("distributed.Client.get_versions", lambda self: found)
    ours = versions["packages"]["distributed"]
    assert message(dask.scheduler_address) == (
        f"tcp://there:1 has distributed 2020.1.0, and this process {ours}; try: the same versions everywhere"
    )


def _older(versions: Any) -> Any:
    return {**versions, "packages": {**versions["packages"], "distributed": "2020.1.0"}}


def test_the_scheduler_dies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0", processes=False) as cluster:
        address = cluster.scheduler_address
        with dask_cluster(address, noted) as executor, pytest.raises(InputError) as caught:
            for _ in executor(numbered(range(100000), tmp_path)):
                if len(notes(tmp_path, "done")) > 50:
                    cluster.close()
    assert str(caught.value) == (
        f"--cluster {address}: the cluster is lost: its scheduler has gone; "
        "try: the same command again: what was finished is kept"
    )
