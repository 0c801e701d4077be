"""What follows from a value and was worked out before, kept for the next design point, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

LIMIT = 4096
LIMITS = {
    "program": 64,
    "placement": 1024,
    "body": 1024,
    "operation": 1 << 14,
    "held": 1 << 14,
    "site": 1 << 15,
    "draft": 1 << 15,
    "work": 1 << 15,
    "command": 1 << 15,
}


class Memo:
    """Results by kind and key.

    A kind that is full forgets its older half, so that ten thousand design points in one process need no more
    memory than a few hundred do.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, dict[Hashable, Any]] = {}

    def recall(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result under ``key``, made by ``make`` when it is not there."""
        known = self._kinds.setdefault(kind, {})
        if key in known:
            return known[key]
        made = make()
        if len(known) >= LIMITS.get(kind, LIMIT):
            for old in list(known)[: len(known) // 2]:
                del known[old]
        known[key] = made
        return made

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def __repr__(self) -> str:
        return f"<Memo {', '.join(f'{len(known)} {kind}' for kind, known in self._kinds.items()) or 'empty'}>"
