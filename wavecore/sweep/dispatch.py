"""What all executors share: the supply of tasks, how long points take, and points whose process died."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wavecore.errors import InvariantError
from wavecore.sweep.task import Outcome, Task

Tasks = Iterable[Task | None]
"""Tasks in the order in which they are to be begun.

An executor takes them one by one, only a few more than it can work on, so that they may depend on earlier outcomes.
``None`` means that no task is known until another outcome has been yielded: a search waits for its generation.
"""

EvaluateTask = Callable[[Task], Outcome]
"""A function from a task to its outcome.  An exception that it raises ends the sweep."""

Executor = Callable[[Tasks], Iterator[Outcome]]
"""A function that yields one outcome for each task, in the order in which they are finished.

Closing the iterator drops the tasks that are under way.
"""

ATTEMPTS = 3  # one death may be chance or another program's doing; after three in a row the point is blamed

_WEIGHT = 0.2  # of the newest point in the mean


@dataclass(slots=True)
class Attempt:
    """A task, and the number of processes that have died over it."""

    task: Task
    deaths: int = 0

    def failure(self, how: str) -> Outcome:
        """Return the outcome of a task that cannot be finished."""
        error = f"worker process: {how}; try: fewer at a time, if memory has run out"
        return Outcome(key=self.task.key, metrics=None, error=error, seconds=0.0)


class Feed:
    """The tasks of a sweep: first those that were handed back, then new ones."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = iter(tasks)
        self._returned: deque[Attempt] = deque()
        self._exhausted = False

    @property
    def ended(self) -> bool:
        """Whether there is and will be nothing to take, but for what is handed back."""
        return self._exhausted and not self._returned

    def take(self, count: int) -> list[Attempt]:
        """Return at most ``count`` tasks: fewer at the end, and where a search waits for outcomes."""
        taken: list[Attempt] = []
        while len(taken) < count and (attempt := self._next()) is not None:
            taken.append(attempt)
        return taken

    def hand_back(self, attempts: Iterable[Attempt]) -> None:
        """Let ``attempts`` be the next to be taken, in their order."""
        self._returned.extendleft(reversed(list(attempts)))

    def check_idle(self) -> None:
        """Raise `InvariantError` if tasks are still to come when none is under way."""
        if not self.ended:
            raise InvariantError("sweep", "the search waits for an outcome, and no point is under way")

    def _next(self) -> Attempt | None:
        if self._returned:
            return self._returned.popleft()
        if self._exhausted:
            return None
        try:
            task = next(self._tasks)
        except StopIteration:
            self._exhausted = True
            return None
        return None if task is None else Attempt(task)


class PointDuration:
    """A running estimate of how long a point takes: an exponential mean of the finished ones."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def add(self, outcome: Outcome) -> None:
        """Add the duration of a finished point."""
        self._seconds += _WEIGHT * (outcome.seconds - self._seconds) if self._seconds else outcome.seconds

    def points_in(self, seconds: float, most: int) -> int:
        """Return how many points fit into ``seconds``: 0 to ``most``, and 0 before the first outcome."""
        if not self._seconds:
            return 0
        return min(int(seconds / self._seconds), most)
