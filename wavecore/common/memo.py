"""Remember what a function returned, so that the next design point does not compute it again.

A function of a value that has a `Memo` (a training graph, say) is marked by one line, and reads as what it computes::

    @remembered(key=lambda plan, accelerator: (id(plan), accelerator.core.global_buffer_bytes))
    def plan_traffic(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Moved: ...
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, TypeVar, cast

LIMIT = 4096


class Memo:
    """Results by kind and key, at most ``limit`` of each kind.

    A kind that is full forgets its older half, so that ten thousand design points in one process need no more
    memory than a few hundred do.
    """

    def __init__(self) -> None:
        self._kinds: defaultdict[str, dict[Hashable, Any]] = defaultdict(dict)

    def known(self, kind: str) -> dict[Hashable, Any]:
        """Return the results of a kind by key."""
        return self._kinds[kind]

    def keep(self, kind: str, key: Hashable, result: Any, limit: int = LIMIT) -> Any:
        """Keep a result, at most ``limit`` of its kind, and return it."""
        known = self._kinds[kind]
        if len(known) >= limit:
            for old in list(known)[: len(known) // 2]:
                del known[old]
        known[key] = result
        return result

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def __repr__(self) -> str:
        return f"<Memo {', '.join(f'{len(known)} {kind}' for kind, known in self._kinds.items()) or 'empty'}>"


Function = TypeVar("Function", bound=Callable[..., Any])


def remembered(*, key: Callable[..., Hashable] | None = None, limit: int = LIMIT) -> Callable[[Function], Function]:
    """Mark a function whose results the ``memory`` of its first argument keeps.

    ``key`` maps the other arguments to what the result depends on; without it they are the key themselves.  The memory
    keeps the arguments alive, so that a key may hold their ids.
    """

    def mark(function: Function) -> Function:
        kind = f"{function.__module__}.{function.__qualname__}"

        @wraps(function)
        def recall(owner: Any, /, *args: Any, **options: Any) -> Any:
            memory: Memo = owner.memory
            known = memory.known(kind)
            if key is None:
                given = (*args, *options.items())
                if given in known:
                    return known[given]
                return memory.keep(kind, given, function(owner, *args, **options), limit)
            depends_on = key(*args, **options)
            if depends_on not in known:
                memory.keep(kind, depends_on, (function(owner, *args, **options), args, options), limit)
            return known[depends_on][0]

        return cast(Function, recall)

    return mark
