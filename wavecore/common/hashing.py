"""A stable name for the content of any immutable value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass


def content_hash(value: object) -> str:
    """Return the SHA-256 of a tree of frozen dataclasses, tuples, mappings, sets, str, int, float, bool and None.

    Equal trees hash alike in every process; class and field names count, the order of a mapping or a set does not.
    Raises TypeError for anything else.
    """
    return hashlib.sha256(_encode(value)).hexdigest()


def _encode(value: object) -> bytes:
    """Return an encoding in which no tree is the beginning of another."""
    if value is None or isinstance(value, bool):
        return f"{value};".encode()
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"s%d:%b" % (len(text), text)
    if isinstance(value, int):
        return f"i{int(value):x};".encode()
    if isinstance(value, float):
        return f"f{float(value).hex()};".encode()
    return _encode_many(value)


def _encode_many(value: object) -> bytes:
    if isinstance(value, (tuple, list)):
        return b"t%d:%b" % (len(value), b"".join(map(_encode, value)))
    if isinstance(value, (frozenset, set)):
        return b"e%d:%b" % (len(value), b"".join(sorted(map(_encode, value))))
    if isinstance(value, Mapping):
        items = sorted(_encode(key) + _encode(item) for key, item in value.items())
        return b"m%d:%b" % (len(value), b"".join(items))
    if is_dataclass(value) and not isinstance(value, type):
        content = {each.name: getattr(value, each.name) for each in fields(value)}
        return b"c%b:%b" % (type(value).__qualname__.encode(), _encode_many(content))
    raise TypeError(f"cannot hash a {type(value).__name__}: {value!r}")
