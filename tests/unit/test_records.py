"""Plain values back to dataclasses: nothing missing, nothing unknown, nothing of another type."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from wavecore.common.records import build
from wavecore.errors import InputError
from wavecore.training.operations import Phase


@dataclass(frozen=True)
class Inner:
    count: int
    share: float


@dataclass(frozen=True)
class Outer:
    name: str
    phase: Phase
    kind: Literal["skewed", "global"]
    ready: bool
    inner: tuple[Inner, ...]
    texts: Mapping[str, str]
    rest: Mapping[str, Any]
    maybe: Inner | None


WHOLE = Outer("x", Phase.UPDATE, "skewed", True, (Inner(1, 0.5), Inner(2, 1.0)), {"a": "b"}, {"c": [1]}, None)


def plain() -> dict[str, Any]:
    return {**asdict(WHOLE), "inner": [asdict(each) for each in WHOLE.inner]}


def test_it_comes_back_whole() -> None:
    assert build(Outer, plain(), "x") == WHOLE


def test_a_whole_number_is_a_number_too() -> None:
    assert build(Inner, {"count": 1, "share": 2}, "x") == Inner(1, 2.0)
    assert type(build(Inner, {"count": 1, "share": 2}, "x").share) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner": [{"count": 1.5, "share": 1}]}, "x.inner[0].count: is 1.5, not a whole number"),
        ({"inner": [{"count": True, "share": 1}]}, "x.inner[0].count: is true, not a whole number"),
        ({"inner": [{"count": -1, "share": 1}]}, "x.inner[0].count: is -1, and cannot be"),
        ({"inner": [{"count": 10**30, "share": 1}]}, f"x.inner[0].count: is {10**30}, and cannot be"),
        ({"inner": [{"count": 1, "share": float("nan")}]}, "x.inner[0].share: is nan, and cannot be"),
        ({"inner": {}}, "x.inner: is an object, not a list"),
        ({"inner": None}, "x.inner: is null, not a list"),
        ({"inner": [1]}, "x.inner[0]: is 1, not an object"),
        ({"name": 1}, "x.name: is 1, not a text"),
        ({"name": "\ud800"}, 'x.name: is "\\ud800", which is half a character'),
        ({"ready": 1}, "x.ready: is 1, not true or false"),
        ({"phase": "sideways"}, 'x.phase: is "sideways", not one of forward, data_gradient, weight_gradient, update'),
        ({"phase": ["forward"]}, "x.phase: is a list, not one of forward, data_gradient, weight_gradient, update"),
        ({"kind": "other"}, 'x.kind: is "other", not one of skewed, global'),
        ({"texts": {"a": "b" * 100}, "rest": 3}, "x.rest: is 3, not an object"),
        ({"name": ["b" * 100]}, "x.name: is a list, not a text"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Outer, plain() | changes, "x")
    assert caught.value.message == f"{message}; try: making it again with this version"


def test_a_long_value_is_cut() -> None:
    with pytest.raises(InputError) as caught:
        build(int, "b" * 100, "x")
    assert caught.value.what == f'is "{"b" * 39}..., not a whole number'


def test_a_missing_key_is_named() -> None:
    given = plain()
    del given["phase"]
    with pytest.raises(InputError, match=r"^x: has no 'phase': it is incomplete, or of another version; try: making"):
        build(Outer, given, "x")


def test_an_unknown_key_has_its_nearest_name() -> None:
    with pytest.raises(InputError, match=r"^x: has an unknown key 'fase'; try: phase$"):
        build(Outer, plain() | {"fase": 1}, "x")
