"""Does the memo know what it was told, and forget in time?"""

from __future__ import annotations

import pytest

from wavecore.common import memo
from wavecore.common.memo import Memo


def test_a_result_is_made_once() -> None:
    made: list[int] = []
    known = Memo()
    for _ in range(3):
        assert known.recall("kind", 1, lambda: made.append(1) or "result") == "result"
    assert made == [1]


def test_kinds_do_not_mix() -> None:
    known = Memo()
    assert [known.recall(kind, 1, lambda kind=kind: kind) for kind in ("a", "b", "a")] == ["a", "b", "a"]
    assert repr(known) == "<Memo 1 a, 1 b>"
    assert (len(known), repr(Memo())) == (2, "<Memo empty>")


def test_nothing_is_a_result_too() -> None:
    made: list[int] = []
    known = Memo()
    for _ in range(2):
        assert known.recall("kind", 1, lambda: made.append(1)) is None
    assert made == [1]


def test_a_full_kind_forgets_its_older_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memo.LIMITS, "kind", 4)
    known = Memo()
    for key in range(5):
        known.recall("kind", key, lambda key=key: key)
    assert len(known) == 3
    assert [known.recall("kind", key, lambda: "again") for key in (2, 3, 4, 0)] == [2, 3, 4, "again"]


def test_a_failure_is_not_remembered() -> None:
    known = Memo()
    with pytest.raises(ZeroDivisionError):
        known.recall("kind", 1, lambda: 1 // 0)
    assert known.recall("kind", 1, lambda: 5) == 5
