"""Do equal values hash alike everywhere, and different ones apart?"""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecore.common.hashing import content_hash

atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
trees = st.recursive(
    atoms, lambda inner: st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=6
)


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True)
class Pixel:
    x: int
    y: int = 0


def encoded_type(value: Any) -> Any:
    """A value in which Python's ``==`` tells 1, 1.0, True, 0.0 and -0.0 apart."""
    if isinstance(value, tuple):
        return tuple(map(encoded_type, value))
    if isinstance(value, dict):
        return {key: encoded_type(item) for key, item in value.items()}
    return type(value), repr(value)


@given(trees, trees)
def test_hashes_are_equal_exactly_where_values_are(left: Any, right: Any) -> None:
    same = encoded_type(left) == encoded_type(right)
    assert (content_hash(left) == content_hash(right)) == same


def test_order_counts_in_a_tuple_and_nowhere_else() -> None:
    assert content_hash((1, 2)) != content_hash((2, 1))
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash(frozenset("abc")) == content_hash({"c", "b", "a"})


@pytest.mark.parametrize(
    ("left", "right"),
    [(("ab", "c"), ("a", "bc")), ((1, (2,)), ((1, 2),)), ({}, ()), (None, "None"), ("1", 1), ({"a"}, ("a",))],
)
def test_boundaries_count(left: object, right: object) -> None:
    assert content_hash(left) != content_hash(right)


def test_class_and_field_names_count() -> None:
    assert content_hash(Point(1)) == content_hash(Point(1, 0))
    assert len({content_hash(value) for value in (Point(1), Pixel(1), Point(0, 1), {"x": 1, "y": 0})}) == 4


@pytest.mark.parametrize("value", [object(), Point, b"bytes", 1j])
def test_what_has_no_stable_content_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"^cannot hash a "):
        content_hash((value,))


def test_hash_seeds_do_not_matter() -> None:
    code = "from wavecore.common.hashing import content_hash as h; print(h(({'a', 'b', 'c'}, {'x': 1, 'y': 2})))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {content_hash(({"a", "b", "c"}, {"x": 1, "y": 2}))}
