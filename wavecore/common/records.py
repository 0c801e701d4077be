"""Building frozen dataclasses from the plain values of a JSON file; a missing or unknown key is an error."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from wavecore.errors import InputError, nearest

LONGEST = 40
LARGEST = 1 << 63
AGAIN = "making it again with this version"

_NOUNS: Mapping[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def build(kind: Any, value: object, where: str) -> Any:
    """Build a value of type ``kind``: a dataclass, a tuple, a mapping from texts, an enum, or a plain type.

    Numbers must be finite and not negative.  Raises `InputError`, located at ``where`` and the path from there, for
    a key that is missing or unknown and a value of another type.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**_members(kind, value, where))
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return tuple(build(item, each, f"{where}[{at}]") for at, each in enumerate(_checked(value, list, where)))
    if get_origin(kind) in (Mapping, dict):
        item = get_args(kind)[1]
        return {key: build(item, each, f"{where}.{key}") for key, each in _checked(value, dict, where).items()}
    if isinstance(kind, types.UnionType):
        return None if value is None else build(get_args(kind)[0], value, where)
    if get_origin(kind) is Literal:
        return _one_of(get_args(kind), value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(_one_of([member.value for member in kind], value, where))
    return value if kind is Any else _plain(kind, value, where)


@cache
def types_of(kind: type) -> Mapping[str, Any]:
    """Return the fields of a dataclass and their types."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


def _members(kind: type, value: object, where: str) -> dict[str, Any]:
    hints = types_of(kind)
    given = _checked(value, dict, where)
    check_keys(given, hints, where)
    return {name: build(hint, given[name], f"{where}.{name}") for name, hint in hints.items()}


def check_keys(given: Mapping[str, Any], allowed: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` at the first key that is missing or not allowed."""
    for name in allowed:
        if name not in given:
            raise InputError(where, f"has no {name!r}: it is incomplete, or of another version", AGAIN)
    for name in given:
        if name not in allowed:
            close = nearest(name, allowed, 1)
            raise InputError(where, f"has an unknown key {name!r}", close[0] if close else AGAIN)


def _checked(value: object, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise InputError(where, f"is {_shown(value)}, not {'a list' if kind is list else 'an object'}", AGAIN)
    return value


def _one_of(allowed: Sequence[str], value: object, where: str) -> Any:
    if value not in allowed:
        raise InputError(where, f"is {_shown(value)}, not one of {', '.join(allowed)}", AGAIN)
    return value


def _plain(kind: type, value: object, where: str) -> Any:
    right = isinstance(value, (int, float) if kind is float else kind)
    if not right or (isinstance(value, bool) and kind is not bool):
        raise InputError(where, f"is {_shown(value)}, not {_NOUNS[kind]}", AGAIN)
    if isinstance(value, (int, float)) and not 0 <= value < LARGEST:
        raise InputError(where, f"is {value}, and cannot be", AGAIN)
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(where, f"is {_shown(value)}, which is half a character", AGAIN)
    return kind(value)


def _shown(value: object) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
