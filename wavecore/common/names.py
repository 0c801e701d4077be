"""Enumerations of names."""

from __future__ import annotations

from enum import StrEnum


class Name(StrEnum):
    """An enumeration of names; its members hash as strings do, several times faster than `Enum` does by itself."""

    __hash__ = str.__hash__
