"""A stable name for the content of any immutable value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass


def content_hash(value: object) -> str:
    """Return the SHA-256 of a tree of frozen dataclasses, tuples, mappings, sets, str, int, float, bool and None.

    Equal trees hash alike in every process; class and field names count, the order of a mapping or a set does not.
    Raises TypeError for anything else.
    """
    digest = hashlib.sha256()
    for piece in _encode(value):
        digest.update(piece)
    return digest.hexdigest()


def _encode(value: object) -> Iterator[bytes]:
    """Yield an encoding in which no tree is the beginning of another."""
    if value is None or isinstance(value, bool):
        yield f"{value};".encode()
    elif isinstance(value, int):
        yield f"i{int(value):x};".encode()
    elif isinstance(value, float):
        yield f"f{float(value).hex()};".encode()
    elif isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        yield f"s{len(text)}:".encode() + text
    elif isinstance(value, (tuple, list)):
        yield f"t{len(value)}:".encode()
        for item in value:
            yield from _encode(item)
    elif isinstance(value, (frozenset, set)):
        yield f"e{len(value)}:".encode()
        yield from sorted(b"".join(_encode(item)) for item in value)
    elif isinstance(value, Mapping):
        yield f"m{len(value)}:".encode()
        yield from sorted(b"".join((*_encode(key), *_encode(item))) for key, item in value.items())
    elif is_dataclass(value) and not isinstance(value, type):
        yield f"c{type(value).__qualname__}:".encode()
        yield from _encode({each.name: getattr(value, each.name) for each in fields(value)})
    else:
        raise TypeError(f"cannot hash a {type(value).__name__}: {value!r}")
