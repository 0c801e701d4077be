"""Sweeps on this machine: worker processes, each at the end of a pipe.

A worker is a new interpreter that runs `wavecore.sweep.worker`.  A forked process would inherit the locks of threads;
multiprocessing's other methods run the user's script once more, which then needs an ``if __name__ == "__main__"``
guard.  Workers start side by side, when there is work for them, and import what they need before their first point.

A worker gets as many tasks ahead as take `AHEAD_SECONDS`, so that it never waits for the next one, and sends every
outcome back at once.  It works on them in order, so when it dies, the first unanswered task is the one it died over.
A worker ends when its pipe ends, so none is left behind, however this process ends.

loky does not do this: a worker that dies fails every task that is queued or running on any worker, without saying which
one killed it, and workers live on when the main process is killed.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue

from wavecore.errors import InputError, WavecoreError
from wavecore.sweep.dispatch import ATTEMPTS, Attempt, EvaluateTask, Executor, Feed, PointDuration, Tasks
from wavecore.sweep.task import Outcome, evaluate

__all__ = ["Executor", "Tasks", "local_pool"]

AHEAD_SECONDS = 0.05
MOST_AHEAD = 64
GRACE_SECONDS = 5.0

# The terminal's Ctrl-C reaches all processes; it is this one that stops the others.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = sys.argv[1:]
from wavecore.sweep.worker import main
main()
"""


@contextmanager
def local_pool(jobs: int, work: EvaluateTask = evaluate) -> Iterator[Executor]:
    """Yield an executor of ``jobs`` processes; with one job, tasks run in this process.

    A task whose worker dies is tried `ATTEMPTS` times; then its outcome is an error.  ``work`` is a function that a new
    interpreter can import.  Raises `InputError` if ``jobs`` is less than 1.  The executor raises what ``work`` raises,
    and `WavecoreError` if workers die before they can begin.
    """
    if jobs < 1:
        raise InputError("jobs", f"{jobs} is less than one process", "1 or more")
    if jobs == 1:
        yield lambda tasks: _run_here(tasks, work)
        return
    pool = _Pool(jobs, work)
    try:
        yield pool.run
    finally:
        pool.close()


def _run_here(tasks: Tasks, work: EvaluateTask) -> Iterator[Outcome]:
    feed = Feed(tasks)
    while attempts := feed.take(1):
        yield work(attempts[0].task)
    feed.check_idle()


@dataclass(frozen=True, slots=True)
class _Death:
    """The end of a worker, with its exit code."""

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        names = {each.value: each.name for each in signal.Signals}
        return f"was killed by {names.get(-self.exit_code, f'signal {-self.exit_code}')}"


_Inbox = SimpleQueue[tuple["_Worker", object]]


class _Worker:
    """A process, the tasks that it has, and the thread that reads its replies.

    Its messages come to ``inbox`` as (worker, message): None when it is ready, outcomes, exceptions, and its `_Death`.
    """

    def __init__(self, work: EvaluateTask, inbox: _Inbox) -> None:
        command = [sys.executable, "-c", _START, *map(str, sys.path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._inbox = inbox
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._send(work)
        self.attempts: deque[Attempt] = deque()
        self.ready = False

    def hand(self, attempts: list[Attempt]) -> None:
        """Give the worker more tasks."""
        self.attempts.extend(attempts)
        self._send([attempt.task for attempt in attempts])

    def leave(self) -> None:
        """Tell the worker to stop, by closing its standard input."""
        with suppress(BrokenPipeError):
            self._requests.close()

    def wait(self) -> None:
        """Wait until the worker has stopped; kill it after `GRACE_SECONDS`."""
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._listener.join()
        self._replies.close()

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # it has died; its listener will report that
            self._requests.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
            self._requests.flush()

    def _listen(self) -> None:
        try:
            while True:
                self._inbox.put((self, pickle.load(self._replies)))
        except (EOFError, pickle.UnpicklingError):  # the last reply may be cut off
            self._inbox.put((self, _Death(self._process.wait())))
        except Exception as error:  # a reply that this process cannot read
            self._inbox.put((self, error))


class _Pool:
    """The workers, and the queue of their messages."""

    def __init__(self, jobs: int, work: EvaluateTask) -> None:
        self._jobs = jobs
        self._work = work
        self._inbox: _Inbox = SimpleQueue()
        self._pace = PointDuration()
        self._failed_starts = 0
        self._workers: list[_Worker] = []

    def run(self, tasks: Tasks) -> Iterator[Outcome]:
        """Yield the outcomes of tasks, as an `Executor` does."""
        feed = Feed(tasks)
        try:
            while self._hand_out(feed):
                outcome = self._hear(feed)
                if outcome is not None:
                    yield outcome
            feed.check_idle()
        finally:
            self._dismiss([worker for worker in self._workers if worker.attempts])

    def close(self) -> None:
        """Stop all workers."""
        self._dismiss(self._workers)

    def _hand_out(self, feed: Feed) -> bool:
        """Give every worker enough to do, and start workers if there is more; return whether anything is under way."""
        most = 1 + self._pace.points_in(AHEAD_SECONDS, MOST_AHEAD)
        for worker in sorted(self._workers, key=lambda worker: len(worker.attempts)):
            lacking = most - len(worker.attempts)
            if 2 * lacking >= most and (attempts := feed.take(lacking)):
                worker.hand(attempts)
        while len(self._workers) < self._jobs and (attempts := feed.take(1)):
            worker = _Worker(self._work, self._inbox)
            self._workers.append(worker)
            worker.hand(attempts)
        return any(worker.attempts for worker in self._workers)

    def _hear(self, feed: Feed) -> Outcome | None:
        """Wait for a message of a worker; return the outcome, if it is one."""
        worker, message = self._inbox.get()
        if worker not in self._workers:
            return None
        if isinstance(message, Exception):
            raise message
        if isinstance(message, _Death):
            return self._bury(worker, message, feed)
        if isinstance(message, Outcome):
            worker.attempts.popleft()
            self._pace.add(message)
            return message
        worker.ready, self._failed_starts = True, 0
        return None

    def _bury(self, worker: _Worker, death: _Death, feed: Feed) -> Outcome | None:
        """Give the tasks of a dead worker to others; return a failure if its first task has had all its attempts."""
        self._dismiss([worker])
        failure = None
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts == ATTEMPTS:
                what = f"{death} before it could begin, {ATTEMPTS} times in a row"
                raise WavecoreError("worker process", what, "--jobs 1, which works in the main process")
        elif worker.attempts:
            suspect = worker.attempts[0]
            suspect.deaths += 1
            if suspect.deaths == ATTEMPTS:
                failure = worker.attempts.popleft().failure(f"{death} in each of {ATTEMPTS} attempts at this point")
        feed.hand_back(worker.attempts)
        return failure

    def _dismiss(self, workers: list[_Worker]) -> None:
        """Stop ``workers``, and forget them."""
        for worker in workers:
            worker.leave()
        for worker in workers:
            worker.wait()
        self._workers = [worker for worker in self._workers if worker not in workers]
