"""Does the memo know what it was told, and forget in time?"""

from __future__ import annotations

import pytest

from wavecore.common.memo import Memo, remembered


class Owner:
    """A value with a memory, and a list of the calls that were made in earnest."""

    def __init__(self) -> None:
        self.memory = Memo()
        self.calls: list[object] = []


@remembered()
def total(owner: Owner, first: int, second: int = 0) -> int:
    """Return the sum, and note that it was computed."""
    owner.calls.append((first, second))
    return first + second


@remembered(key=lambda number, note: number)
def noted(owner: Owner, number: int, note: str) -> str:
    """Return the note; the number alone is the key."""
    return f"{number}: {note}"


@remembered(key=id)
def first_of(owner: Owner, item: list[int]) -> int:
    """Return the first element of a list, which cannot be a key itself."""
    return item[0]


@remembered(limit=4)
def bounded(owner: Owner, number: int) -> int:
    """Return the number."""
    return number


def test_a_function_runs_once_for_equal_arguments_and_for_each_owner() -> None:
    one, other = Owner(), Owner()
    assert [total(one, 1, 2), total(one, 1, 2), total(one, 2, 1), total(other, 1, second=2)] == [3, 3, 3, 3]
    assert (one.calls, other.calls) == ([(1, 2), (2, 1)], [(1, 2)])


def test_only_the_key_tells_calls_apart() -> None:
    owner = Owner()
    assert [noted(owner, 1, "a"), noted(owner, 1, "b"), noted(owner, 2, "b")] == ["1: a", "1: a", "2: b"]


def test_two_functions_share_no_results() -> None:
    owner = Owner()
    assert (total(owner, 7), bounded(owner, 7), len(owner.memory)) == (7, 7, 2)


def test_a_key_may_be_an_identity_because_arguments_are_kept() -> None:
    owner = Owner()
    assert [first_of(owner, [number]) for number in range(100)] == list(range(100))


def test_a_function_forgets_its_older_half_at_its_limit() -> None:
    owner = Owner()
    for number in range(5):
        bounded(owner, number)
    assert len(owner.memory) == 3


def test_a_function_keeps_its_name_and_docstring() -> None:
    assert (total.__name__, total.__doc__) == ("total", "Return the sum, and note that it was computed.")


@remembered()
def nothing(owner: Owner) -> None:
    """Note that the function ran, and return nothing."""
    owner.calls.append("nothing")


@remembered()
def failing(owner: Owner) -> int:
    """Fail at the first call."""
    owner.calls.append("failing")
    return 1 // (len(owner.calls) - 1)


def test_nothing_is_a_result_too() -> None:
    owner = Owner()
    for _ in range(2):
        nothing(owner)
    assert owner.calls == ["nothing"]


def test_a_failure_is_not_remembered() -> None:
    owner = Owner()
    with pytest.raises(ZeroDivisionError):
        failing(owner)
    assert failing(owner) == 1


def test_a_memory_tells_what_it_knows() -> None:
    owner = Owner()
    assert (len(owner.memory), repr(owner.memory)) == (0, "<Memo empty>")
    total(owner, 1)
    total(owner, 2)
    bounded(owner, 1)
    assert (len(owner.memory), repr(owner.memory)) == (3, f"<Memo 2 {__name__}.total, 1 {__name__}.bounded>")
