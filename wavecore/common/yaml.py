"""YAML files of users, read so that every value knows its line.

ruamel.yaml cuts the text into events, which are put together here to texts, lists and mappings, and nothing else. Its
own ``compose`` is not used: it resolves aliases, so that a small file can become a large one, does not tell a tag of
the file from a type that it has guessed, accepts two equal keys, and raises RecursionError for deep nesting. Here
tags, aliases, two equal keys and nesting beyond `DEEPEST` are errors. Texts are not turned into numbers, because
versions of YAML differ on whether ``1e-9`` is one; only YAML 1.2's plain null comes out as None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavecore.common.toml import decode, read_content
from wavecore.errors import ConfigError, InputError

DEEPEST = 32
NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A value of a YAML file, and the line (from 1) on which it begins."""

    value: str | list[YamlNode] | dict[str, YamlNode] | None
    line: int


def read_yaml(path: Path) -> YamlNode:
    """Read a file that holds one document.

    Raises `FileError` if it is missing, empty, over 1 MiB or no text, `ConfigError`, located at the line, if it is
    not YAML or uses what is not read, and `InputError` if ruamel.yaml is not installed.
    """
    label = str(path)
    return parse_yaml(label, decode(label, read_content(path, ".yaml"), "a smaller file"))


def parse_yaml(label: str, text: str) -> YamlNode:
    """Read the text of a file that messages call ``label``.  Raises the errors of `read_yaml`."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise InputError(label, "reading YAML needs ruamel.yaml", 'pip install "wavecore[accelergy]"') from None
    try:
        root = _TreeReader(label, YAML(typ="safe", pure=True).parse(text)).document()
    except YAMLError as error:
        raise _not_yaml(label, error) from error
    if root is None:
        raise ConfigError(label, "holds no YAML document")
    return root


def _not_yaml(label: str, error: Any) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    where = f"{label}:{mark.line + 1}" if mark is not None else label
    problem = getattr(error, "problem", None) or str(error).split("\n", maxsplit=1)[0]
    return ConfigError(where, f"not YAML: {problem}")


@dataclass(frozen=True, slots=True)
class _TreeReader:
    """Puts ruamel.yaml's events together to values: one level of its recursion is one level of nesting."""

    label: str
    events: Iterator[Any]

    def document(self) -> YamlNode | None:
        """Return the value of the only document, None if there is none."""
        root = None
        for event in self.events:
            if _kind(event) == "DocumentStart" and root is not None:
                raise self._error(_line(event), "a second document begins", "one document in a file")
            if _kind(event) not in _AROUND_VALUES:
                root = self._value(event, 0)
        return root

    def _value(self, event: Any, depth: int) -> YamlNode:
        """Return the value that begins with ``event``, inside ``depth`` lists and mappings."""
        kind, line = _kind(event), _line(event)
        if kind == "Alias":
            raise self._error(line, f"aliases (*{event.anchor}) are not read", "writing out what it stands for")
        if event.tag:
            raise self._error(line, f"tags ({event.tag}) are not read", "the value without it")
        if kind == "Scalar":
            plain_null = event.implicit[0] and event.value in NULLS
            return YamlNode(None if plain_null else event.value, line)
        if depth == DEEPEST:
            raise self._error(line, f"is nested more than {DEEPEST} deep")
        if kind == "SequenceStart":
            return YamlNode([self._value(item, depth + 1) for item in self._until("SequenceEnd")], line)
        return YamlNode(self._mapping(depth + 1), line)

    def _mapping(self, depth: int) -> dict[str, YamlNode]:
        found: dict[str, YamlNode] = {}
        for event in self._until("MappingEnd"):
            key = self._value(event, depth)
            if not isinstance(key.value, str):
                raise self._error(key.line, "a key is not a text")
            if key.value in found:
                what = f"{key.value!r} is there twice, first in line {found[key.value].line}"
                raise self._error(key.line, what, "each key once")
            value = self._value(next(self.events), depth)
            # Of a value that is left out, ruamel.yaml gives the line after it.
            found[key.value] = value if value.value is not None else YamlNode(None, key.line)
        return found

    def _until(self, end: str) -> Iterator[Any]:
        """Yield events up to the one that ends this list or mapping."""
        while _kind(event := next(self.events)) != end:
            yield event

    def _error(self, line: int, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.label}:{line}", what, hint)


_AROUND_VALUES = ("StreamStart", "DocumentStart", "DocumentEnd", "StreamEnd")


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def items(node: YamlNode) -> Iterator[tuple[str, YamlNode]]:
    """Yield the keys and values of a mapping; nothing for any other value."""
    yield from node.value.items() if isinstance(node.value, dict) else ()
