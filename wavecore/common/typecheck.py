"""Whether a value has the types that its annotations state: what a type checker cannot see of a caller's value."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from wavecore.errors import InputError


class TypeProblem(NamedTuple):
    """The first part of a value that is of another type: its ``path`` from the value, and ``what`` is wrong."""

    path: str
    what: str


def require(value: object, kinds: type | tuple[type, ...], argument: str, hint: str) -> None:
    """Raise `InputError`, which names the ``argument``, unless a caller's value is of one of the ``kinds``."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise InputError(argument, f"is of type {type(value).__name__}, and must be of type {wanted}", hint)


Check = Callable[[Any], TypeProblem | None]


def type_problem(value: object, hint: Any) -> TypeProblem | None:
    """Return the first part of ``value`` that is not of the type ``hint``; None if all of it is.

    Looks into dataclasses, tuples, frozen sets and mappings.  Hints other than these, classes and unions, such as
    callables, are taken to hold.
    """
    return _check_of(hint)(value)


@cache
def _check_of(hint: Any) -> Check:
    """Return the function that checks a value against ``hint``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, arguments)
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return _items(tuple, arguments[0])
    if origin is tuple:
        return _fixed(tuple(map(_check_of, arguments)))
    if origin is frozenset:
        return _items(frozenset, arguments[0])
    if origin is Mapping:
        return _mapping(*arguments)
    if hint is None or isinstance(hint, type):
        return _class(type(None) if hint is None else hint)
    return lambda value: None


def _class(kind: type) -> Check:
    accepted: Any = (int, float) if kind is float else kind

    def check(value: Any) -> TypeProblem | None:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind in (int, float)):
            return TypeProblem("", f"is {_described(value)}, not {_noun(kind)}")
        return _fields_problem(value) if is_dataclass(value) else None

    return check


def _fields_problem(value: Any) -> TypeProblem | None:
    kind: Any = type(value)
    for name, check in _field_checks(kind):
        problem = check(getattr(value, name))
        if problem is not None:
            return TypeProblem(f".{name}{problem.path}", problem.what)
    return None


@cache
def _field_checks(kind: Any) -> tuple[tuple[str, Check], ...]:
    """Return a check for each field of a dataclass."""
    hints = get_type_hints(kind)
    return tuple((each.name, _check_of(hints[each.name])) for each in fields(kind))


def _union(hint: Any, arguments: tuple[Any, ...]) -> Check:
    checks = tuple(map(_check_of, arguments))
    nouns = " or ".join(_noun(get_origin(each) or each) for each in arguments)

    def check(value: Any) -> TypeProblem | None:
        problems = [each(value) for each in checks]
        if None in problems:
            return None
        inside = [problem for problem in problems if problem and problem.path]
        return inside[0] if inside else TypeProblem("", f"is {_described(value)}, not {nouns}")

    return check


def _all_plain(values: Iterable[Any], hint: Any) -> bool:
    """Whether all values are of exactly the class ``hint``, which has no fields to look into: the usual case, fast."""
    return isinstance(hint, type) and not is_dataclass(hint) and set(map(type, values)) <= {hint}


def _items(kind: type, hint: Any) -> Check:
    item = _check_of(hint)

    def check(value: Any) -> TypeProblem | None:
        if not isinstance(value, kind):
            return TypeProblem("", f"is {_described(value)}, not {_noun(kind)}")
        items: Iterable[Any] = value  # type: ignore[assignment]
        if _all_plain(items, hint):
            return None
        for index, each in enumerate(items):
            problem = item(each)
            if problem is not None:
                return TypeProblem(f"[{index}]{problem.path}", problem.what)
        return None

    return check


def _fixed(items: tuple[Check, ...]) -> Check:
    def check(value: Any) -> TypeProblem | None:
        if not isinstance(value, tuple) or len(value) != len(items):
            return TypeProblem("", f"is {_described(value)}, not a tuple of {len(items)}")
        for index, (each, item) in enumerate(zip(value, items, strict=True)):
            problem = item(each)
            if problem is not None:
                return TypeProblem(f"[{index}]{problem.path}", problem.what)
        return None

    return check


def _mapping(key_hint: Any, item_hint: Any) -> Check:
    key, item = _check_of(key_hint), _check_of(item_hint)

    def check(value: Any) -> TypeProblem | None:
        if not isinstance(value, Mapping):
            return TypeProblem("", f"is {_described(value)}, not a mapping")
        if _all_plain(value, key_hint) and _all_plain(value.values(), item_hint):
            return None
        for name, each in value.items():
            problem = key(name) or item(each)
            if problem is not None:
                return TypeProblem(f"[{name!r}]{problem.path}", problem.what)
        return None

    return check


_NOUNS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    tuple: "a tuple",
    frozenset: "a frozenset",
    type(None): "None",
    None: "None",
}


def _noun(kind: Any) -> str:
    """Return the name of a type as a message shows it."""
    name = getattr(kind, "__name__", str(kind))
    return _NOUNS.get(kind, f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}")


def _described(value: object) -> str:
    """Return what a value is, with the value itself where that is short."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float, str)):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:40]}..."
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"
