"""Sweeps on a Dask cluster (extra ``cluster``): any number of machines, which may come and go.

Tasks travel in chunks that take a fraction of a second, since a scheduler spends about a millisecond on each.  Dask
gives the chunks of a worker that died to others.  One over which several have died is taken apart, and its points run
one at a time, when nothing else does, so that only the one that kills workers is blamed.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from wavecore.errors import InputError
from wavecore.sweep.dispatch import Attempt, EvaluateTask, Executor, Feed, PointDuration, Tasks
from wavecore.sweep.task import Outcome, Task, evaluate

CONNECT_SECONDS = 10.0
LOST_SECONDS = 60.0
LOOK_SECONDS = 1.0
CHUNK_SECONDS = 0.25
MOST_IN_A_CHUNK = 256
CHUNKS_A_WORKER = 2  # one under evaluation and one waiting, so that the worker never idles

_SAME = ("python", "dask", "distributed")
_ONE_AT_A_TIME = Lock()  # threads of one process gain nothing: they hold the interpreter's lock in turn


@contextmanager
def dask_cluster(address: str, work: EvaluateTask = evaluate) -> Iterator[Executor]:
    """Yield an executor on the cluster whose scheduler is at ``address``: ``tcp://host:8786``.

    A task over which workers die again and again gets an error as its outcome.  ``work`` is a function that workers can
    import.  Raises `InputError` if dask is not installed, nothing answers there, the versions of Python or dask differ,
    or there are no workers; the executor raises what ``work`` raises, and `InputError` if the cluster is lost.
    """
    where = f"--cluster {address}"
    try:
        from distributed import Client
    except ImportError:
        raise InputError(where, "dask and distributed are not installed", 'pip install "wavecore[cluster]"') from None
    with _quiet(), closing(_connect(where, Client, address)) as client:
        yield lambda tasks: _PendingChunks(client, where, work, tasks).run()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tracebacks that distributed prints: what goes wrong is raised."""
    levels = {logger: logger.level for logger in map(logging.getLogger, ("distributed", "distributed.client"))}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _connect(where: str, kind: Any, address: str) -> Any:
    """Return a client, of distributed's class ``kind``.  Raises `InputError` if the cluster cannot be used."""
    client = kind.__new__(kind)  # in two steps, so that one that fails half-way can be closed
    try:
        client.__init__(address, timeout=CONNECT_SECONDS, set_as_default=False)
        _check_workers(where, client)
    except BaseException as error:
        with suppress(Exception):
            client.close()
        if isinstance(error, InputError) or not isinstance(error, Exception):
            raise
        raise _unreachable(where, error) from error
    return client


def _unreachable(where: str, error: Exception) -> InputError:
    if isinstance(error, ValueError):
        return InputError(where, f"is no address ({error})", "tcp://HOST:8786, as dask scheduler prints it")
    hint = "dask scheduler, and the address that it prints"
    if isinstance(error, OSError):
        return InputError(where, f"no scheduler answers there within {CONNECT_SECONDS:.0f} seconds", hint)
    return InputError(where, f"something else than a scheduler of Dask answers there ({type(error).__name__})", hint)


def _check_workers(where: str, client: Any) -> None:
    """Raise `InputError` if there are no workers, or others than us."""
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    found = client.get_versions()
    if not found["workers"]:
        raise InputError(where, f"the scheduler has no workers after {CONNECT_SECONDS:.0f} seconds", "dask worker")
    here = found["client"]["packages"]
    for other, versions in (("the scheduler", found["scheduler"]), *found["workers"].items()):
        for name in _SAME:
            if versions["packages"][name] != here[name]:
                what = f"{other} has {name} {versions['packages'][name]}, and this process {here[name]}"
                raise InputError(where, what, "the same versions everywhere")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Tasks that a worker evaluates by unpickling them: `pickle.loads` turns a chunk's pickle into its outcomes.

    Dask unpickles whatever function it is given on its way, and a scheduler or a worker without wavecore would break
    off; `pickle.loads` is known everywhere, and an import that fails in it is an error like any other.
    """

    work: EvaluateTask
    tasks: tuple[Task, ...]

    def __reduce__(
        self,
    ) -> tuple[Callable[[EvaluateTask, tuple[Task, ...]], list[Outcome]], tuple[EvaluateTask, tuple[Task, ...]]]:
        return _evaluate, (self.work, self.tasks)


def _evaluate(work: EvaluateTask, tasks: tuple[Task, ...]) -> list[Outcome]:
    """Evaluate a chunk, on a worker."""
    with _ONE_AT_A_TIME:
        return [work(task) for task in tasks]


class _PendingChunks:
    """Chunks of tasks that are under way."""

    def __init__(self, client: Any, where: str, work: EvaluateTask, tasks: Tasks) -> None:
        self._client = client
        self._where = where
        self._work = work
        self._feed = Feed(tasks)
        self._pace = PointDuration()
        self._under_way: dict[str, tuple[Any, list[Attempt]]] = {}
        self._suspects: deque[Attempt] = deque()
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._workers = 0
        self._seen = self._looked = -LOST_SECONDS

    def run(self) -> Iterator[Outcome]:
        """Yield the outcomes of tasks, as an `Executor` does."""
        try:
            while self._submit():
                future = self._next_done()
                yield from self._collect(future, self._under_way.pop(future.key)[1])
            self._feed.check_idle()
        finally:
            with suppress(Exception):  # where the cluster is lost, there is nothing to cancel
                self._client.cancel([future for future, _ in self._under_way.values()])

    def _submit(self) -> bool:
        """Keep the workers supplied; return whether anything is under way."""
        self._look()
        chunk = max(1, self._pace.points_in(CHUNK_SECONDS, MOST_IN_A_CHUNK))
        while len(self._under_way) < CHUNKS_A_WORKER * max(1, self._workers) and (attempts := self._feed.take(chunk)):
            self._start(attempts)
        if not self._under_way and self._suspects:
            self._start([self._suspects.popleft()])
        return bool(self._under_way)

    def _start(self, attempts: list[Attempt]) -> None:
        chunk = _Chunk(self._work, tuple(attempt.task for attempt in attempts))
        future = self._client.submit(pickle.loads, pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL), pure=False)
        self._under_way[future.key] = future, attempts
        future.add_done_callback(self._done.put)

    def _next_done(self) -> Any:
        while True:
            with suppress(Empty):
                return self._done.get(timeout=LOOK_SECONDS)
            self._look()

    def _collect(self, future: Any, attempts: list[Attempt]) -> Iterator[Outcome]:
        """Yield the outcomes of a chunk that has ended."""
        from distributed import KilledWorker

        try:
            outcomes = future.result()
        except KilledWorker as error:
            yield from self._suspect(attempts, error.allowed_failures + 1)
            return
        except (CancelledError, OSError) as error:
            raise self._lost("its scheduler has gone") from error
        except ModuleNotFoundError as error:
            what = f"a worker cannot import {error.name}"
            raise InputError(self._where, what, "installing wavecore and its plugins there too") from error
        for outcome in outcomes:
            self._pace.add(outcome)
            yield outcome

    def _suspect(self, attempts: list[Attempt], deaths: int) -> Iterator[Outcome]:
        """Handle a chunk over which workers have died: run its tasks singly, or give up the one that ran alone."""
        for attempt in attempts:
            if attempt.deaths:
                yield attempt.failure(f"died in each of {deaths} attempts at this point alone")
            else:
                attempt.deaths = deaths
                self._suspects.append(attempt)

    def _look(self) -> None:
        """Count the workers from time to time.  Raises `InputError` if the cluster has gone."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            self._workers = len(self._client.nthreads())
        except OSError as error:
            raise self._lost("its scheduler has gone") from error
        if self._workers:
            self._seen = now
        elif now - self._seen > LOST_SECONDS:
            raise self._lost(f"there has been no worker for {LOST_SECONDS:.0f} seconds")

    def _lost(self, why: str) -> InputError:
        return InputError(
            self._where, f"the cluster is lost: {why}", "the same command again: what was finished is kept"
        )
