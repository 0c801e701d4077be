"""Remember what a function returned, so that the next design point does not compute it again.

A function of a value that has a `Memo` (a training graph, say) is marked by one line, and reads as what it computes::

    @remembered(key=lambda plan, accelerator: (id(plan), accelerator.core.global_buffer_bytes))
    def plan_traffic(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Moved: ...
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

LIMIT = 4096


class Memo:
    """Results by kind and key, at most ``limit`` of each kind.

    A kind that is full forgets its older half, so that ten thousand design points in one process need no more
    memory than a few hundred do.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, dict[Hashable, Any]] = {}

    def recall(self, kind: str, key: Hashable, make: Callable[[], Any], limit: int = LIMIT) -> Any:
        """Return the result under ``key``; call ``make`` for it when there is none yet."""
        known = self._kinds.setdefault(kind, {})
        if key in known:
            return known[key]
        made = make()
        if len(known) >= limit:
            for old in list(known)[: len(known) // 2]:
                del known[old]
        known[key] = made
        return made

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def __repr__(self) -> str:
        return f"<Memo {', '.join(f'{len(known)} {kind}' for kind, known in self._kinds.items()) or 'empty'}>"


class HasMemo(Protocol):
    """A value that keeps results which follow from it."""

    @property
    def memory(self) -> Memo:
        """The results."""
        ...


Owner = TypeVar("Owner", bound=HasMemo)
P = ParamSpec("P")
R = TypeVar("R")


def remembered(
    *, key: Callable[..., Hashable] | None = None, limit: int = LIMIT
) -> Callable[[Callable[Concatenate[Owner, P], R]], Callable[Concatenate[Owner, P], R]]:
    """Mark a function whose results its first argument remembers.

    ``key`` maps the other arguments to what the result depends on; without it they are the key themselves.  The memory
    keeps the arguments alive, so that a key may hold their ids.
    """

    def mark(function: Callable[Concatenate[Owner, P], R]) -> Callable[Concatenate[Owner, P], R]:
        kind = f"{function.__module__}.{function.__qualname__}"

        @wraps(function)
        def recall(owner: Owner, /, *args: P.args, **options: P.kwargs) -> R:
            if key is None:
                whole = (*args, *options.items())
                result: R = owner.memory.recall(kind, whole, lambda: function(owner, *args, **options), limit)
                return result
            found: tuple[R, object, object] = owner.memory.recall(
                kind, key(*args, **options), lambda: (function(owner, *args, **options), args, options), limit
            )
            return found[0]

        return recall

    return mark
