"""A running sweep: points that the store lacks are evaluated, and their outcomes stored one by one.

Points and the keys of their tasks are all that is kept in memory; results stay in the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from wavecore.errors import FileError, InputError
from wavecore.sweep.dispatch import Executor
from wavecore.sweep.judgement import Judgement, judge, on_fronts
from wavecore.sweep.search import bred_points
from wavecore.sweep.space import Point, assignment
from wavecore.sweep.spec import SweepSpec
from wavecore.sweep.store import ResultStore
from wavecore.sweep.table import Result
from wavecore.sweep.task import Outcome, Task

POINTS_A_LOOKUP = 32
POINTS_A_READING = 500
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Tally:
    """Progress of a sweep, in points.

    ``points`` are all there will be (optuna may find fewer), ``evaluated`` those that were not in the store, and
    ``best`` is the best value of the first objective so far.  ``damaged`` were in the store and had to be evaluated
    again.
    """

    points: int
    done: int = 0
    failed: int = 0
    evaluated: int = 0
    damaged: int = 0
    seconds: float = 0.0
    best: float | None = None


Watch = Callable[[Tally], None]
"""A function that is called after every result."""

Forget = Literal["nothing", "failures", "all"]


class SweepRun:
    """A sweep: `run` evaluates it, then `results` yields its results."""

    def __init__(self, spec: SweepSpec, listed: list[Point], store: ResultStore, *, forget: Forget = "nothing") -> None:
        """Take the `space.listed_points`; what the store has of them is used, but for what is to be forgotten."""
        self.spec = spec
        self._store = store
        self._forget = forget
        self.watch: Watch = lambda tally: None
        if spec.search.method == "optuna":
            self._source: Iterable[Point | None] = bred_points(spec, self._judged)
            self.tally = Tally(spec.search.points)
        else:
            self._source = listed
            self.tally = Tally(len(listed))
        self._keys: dict[Point, str] = {}
        self._seen: set[str] = set()
        self._indescribable: dict[Point, Outcome] = {}
        self._under_way: dict[str, list[Point]] = {}
        self._elsewhere: dict[str, tuple[Task, list[Point]]] = {}
        self._started = time.perf_counter()

    def run(self, executor: Executor) -> None:
        """Evaluate what the store lacks and no other sweep is evaluating, and wait for what others are at.

        After an interruption all that was finished is in the store.
        """
        with self._store.at_work(), closing(_generator(executor(self._tasks()))) as outcomes:
            for outcome in outcomes:
                self._store.put(outcome)
                for point in self._under_way.pop(outcome.key):
                    self._count(point, outcome, evaluated=True)
        self.tally.points, self.tally.damaged = len(self._keys), len(self._store.damaged)

    def results(self) -> Iterator[Result]:
        """Yield all results in the order of the points."""
        listed = list(self._keys)
        judgements = [judge(self.spec, point, outcome) for point, outcome in self._outcomes(listed)]
        fronts = on_fronts(self.spec, listed, judgements)
        for (point, outcome), judgement, pareto in zip(self._outcomes(listed), judgements, fronts, strict=True):
            yield Result(point, outcome, judgement, pareto)

    def _tasks(self) -> Iterator[Task | None]:
        """Yield the tasks of all points that are not in the store; None where the search waits for one under way."""
        waiting: list[Point] = []
        for point in self._source:
            if point is not None:
                waiting.append(point)
                if len(waiting) < POINTS_A_LOOKUP:
                    continue
            yield from self._missing(waiting)
            waiting = []
            if point is None:
                yield from self._awaited()
        yield from self._missing(waiting)
        while self._elsewhere:
            yield from self._awaited()

    def _awaited(self) -> Iterator[Task | None]:
        """Wait for an outcome, of this sweep or of another; yield the tasks of points that others have given up."""
        stored = self._store.get(self._elsewhere)
        for key, (task, points) in list(self._elsewhere.items()):
            if key not in stored and self._store.claim(key) != "mine":
                continue
            del self._elsewhere[key]
            if key in stored:
                for point in points:
                    self._count(point, stored[key])
            else:
                self._under_way[key] = points
                yield task
        if self._under_way:
            yield None
        elif self._elsewhere:
            time.sleep(POLL_SECONDS)

    def _missing(self, listed: Sequence[Point]) -> Iterator[Task]:
        """Yield the tasks of points that the store lacks, each task once; count the other points as done."""
        tasks = [task for point in listed if (task := self._describe(point)) is not None]
        keys = [task.key for task in tasks]
        self._forget_some(keys)
        stored = self._store.get(keys)
        by_key = {task.key: task for task in tasks}
        for point in listed:
            key = self._keys[point]
            if outcome := self._indescribable.get(point) or stored.get(key):
                self._count(point, outcome)
            elif key in self._under_way:
                self._under_way[key].append(point)
            elif key in self._elsewhere:
                self._elsewhere[key][1].append(point)
            elif self._store.claim(key) == "mine":
                self._under_way[key] = [point]
                yield by_key[key]
            else:
                self._elsewhere[key] = by_key[key], [point]

    def _forget_some(self, keys: Sequence[str]) -> None:
        """Remove from the store what ``forget`` says, but never what this run has added."""
        old = [key for key in keys if key not in self._seen]
        self._seen.update(keys)
        if self._forget == "all":
            self._store.forget(old)
        elif self._forget == "failures":
            self._store.forget_failed(old)

    def _describe(self, point: Point) -> Task | None:
        """Return the task of a point; if it has none, remember why and return None."""
        try:
            task = assignment(self.spec, point).task()
        except InputError as error:
            self._indescribable[point] = Outcome(key="", metrics=None, error=error.message, seconds=0.0)
            self._keys[point] = ""
            return None
        self._keys[point] = task.key
        return task

    def _count(self, point: Point, outcome: Outcome, *, evaluated: bool = False) -> None:
        tally, judgement, first = self.tally, judge(self.spec, point, outcome), self.spec.objectives[0]
        tally.done += 1
        tally.failed += outcome.metrics is None
        tally.evaluated += evaluated
        tally.seconds = time.perf_counter() - self._started
        if judgement.feasible:
            better = max if first.maximize else min
            tally.best = judgement.goals[0] if tally.best is None else better(tally.best, judgement.goals[0])
        self.watch(tally)

    def _judged(self, listed: Sequence[Point]) -> list[Judgement] | None:
        """Return the judgements of points; None as long as one of them is not finished."""
        open_keys = self._under_way.keys() | self._elsewhere.keys()
        if any(point not in self._keys or self._keys[point] in open_keys for point in listed):
            return None
        return [judge(self.spec, point, outcome) for point, outcome in self._outcomes(listed)]

    def _outcomes(self, listed: Sequence[Point]) -> Iterator[tuple[Point, Outcome]]:
        """Yield finished points with their outcomes, read from the store in batches."""
        for first in range(0, len(listed), POINTS_A_READING):
            some = listed[first : first + POINTS_A_READING]
            stored = self._store.get({self._keys[point] for point in some})
            for point in some:
                outcome = self._indescribable.get(point) or stored.get(self._keys[point])
                if outcome is None:
                    what = "was damaged, or changed by another process, while the sweep ran"
                    raise FileError(str(self._store.path), what, "the same command again")
                yield point, outcome


def _generator(outcomes: Iterator[Outcome]) -> Any:
    """Yield the same outcomes from a generator, which can be closed and then closes theirs."""
    yield from outcomes
