"""Does the check of types find the first part of a value that is not what its annotation states?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from wavecore.common.names import Name
from wavecore.common.typecheck import type_problem


class Colour(Name):
    """A name out of two."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    """A part of a whole."""

    size: int
    share: float = 1.0


@dataclass(frozen=True)
class Whole:
    """Everything that the check looks into."""

    name: str
    parts: tuple[Part, ...] = ()
    pair: tuple[int, str] = (1, "a")
    colours: Mapping[str, Colour] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    size: int | tuple[int, int] = 1
    rest: Part | None = None
    call: Callable[[], None] = print


def test_right_values() -> None:
    whole = Whole("x", (Part(1), Part(2, 3)), (2, "b"), {"a": Colour.RED}, frozenset("ab"), (3, 4), Part(5))
    assert type_problem(whole, Whole) is None


@pytest.mark.parametrize(
    ("fields", "path", "what"),
    [
        ({"name": 3}, ".name", "is 3, not a text"),
        ({"name": None}, ".name", "is None, not a text"),
        ({"parts": [Part(1)]}, ".parts", "is a list, not a tuple"),
        ({"parts": (Part(1), 2)}, ".parts[1]", "is 2, not a Part"),
        ({"parts": (Part(1), Part("2"))}, ".parts[1].size", "is '2', not a whole number"),
        ({"parts": (Part(True),)}, ".parts[0].size", "is True, not a whole number"),
        ({"parts": (Part(1, "x"),)}, ".parts[0].share", "is 'x', not a number"),
        ({"pair": (1,)}, ".pair", "is a tuple, not a tuple of 2"),
        ({"pair": (1, 2)}, ".pair[1]", "is 2, not a text"),
        ({"colours": [1]}, ".colours", "is a list, not a mapping"),
        ({"colours": {"a": "red"}}, ".colours['a']", "is 'red', not a Colour"),
        ({"colours": {1: Colour.RED}}, ".colours[1]", "is 1, not a text"),
        ({"names": {"a"}}, ".names", "is a set, not a frozenset"),
        ({"names": frozenset({1})}, ".names[0]", "is 1, not a text"),
        ({"size": 1.5}, ".size", "is 1.5, not a whole number or a tuple"),
        ({"size": (1, "2")}, ".size[1]", "is '2', not a whole number"),
        ({"rest": Part("1")}, ".rest.size", "is '1', not a whole number"),
        ({"rest": "x" * 99}, ".rest", f"is '{'x' * 39}..., not a Part or None"),
    ],
)
def test_wrong_values(fields: dict[str, Any], path: str, what: str) -> None:
    assert type_problem(Whole(**{"name": "x", **fields}), Whole) == (path, what)
