"""YAML files of users, read so that every value knows its line.

ruamel.yaml cuts the text into events, and they are put together here: texts, lists and mappings, and nothing
else.  No tag makes an object, no alias makes a small file large, no depth is unbounded, and two equal keys are an
error.  Texts are not turned into numbers, so that it cannot matter which of YAML's versions would read ``1e-9`` as one;
only YAML 1.2's null, plain, comes out as None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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
    builder = _TreeBuilder(label)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except YAMLError as error:
        raise _not_yaml(label, error) from error
    if builder.root is None:
        raise ConfigError(label, "holds no YAML document")
    return builder.root


def _not_yaml(label: str, error: Any) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    where = f"{label}:{mark.line + 1}" if mark is not None else label
    problem = getattr(error, "problem", None) or str(error).split("\n", maxsplit=1)[0]
    return ConfigError(where, f"not YAML: {problem}")


@dataclass(slots=True)
class _TreeBuilder:
    """Puts events together; ``open`` are the collections not yet ended, ``keys`` what waits for a value in each."""

    label: str
    root: YamlNode | None = None
    open: list[YamlNode] = field(default_factory=list)
    keys: list[tuple[str, int] | None] = field(default_factory=list)

    def take(self, event: Any) -> None:
        """Add one event."""
        kind, line = type(event).__name__, event.start_mark.line + 1
        if kind == "AliasEvent":
            raise self._error(line, f"aliases (*{event.anchor}) are not read", "writing out what it stands for")
        if tag := getattr(event, "tag", None):
            raise self._error(line, f"tags ({tag}) are not read", "the value without it")
        if kind == "DocumentStartEvent" and self.root is not None:
            raise self._error(line, "a second document begins", "one document in a file")
        if kind == "ScalarEvent":
            plain_null = event.implicit[0] and event.value in NULLS
            self._add(YamlNode(None if plain_null else event.value, line))
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin(YamlNode({} if kind.startswith("Mapping") else [], line))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.open.pop()
            self.keys.pop()

    def _begin(self, node: YamlNode) -> None:
        if len(self.open) == DEEPEST:
            raise self._error(node.line, f"is nested more than {DEEPEST} deep")
        self._add(node)
        self.open.append(node)
        self.keys.append(None)

    def _add(self, node: YamlNode) -> None:
        """Put a value where it belongs: it is the root, an item, a key, or the value of the last key."""
        if not self.open:
            self.root = node
            return
        holder = self.open[-1].value
        if isinstance(holder, list):
            holder.append(node)
        elif isinstance(holder, dict):
            key, self.keys[-1] = self.keys[-1], None
            if key is None:
                self.keys[-1] = self._key(node, holder)
            else:
                name, line = key  # of a value that is left out, ruamel.yaml gives the line after it
                holder[name] = node if node.value is not None else YamlNode(None, line)

    def _key(self, node: YamlNode, holder: dict[str, YamlNode]) -> tuple[str, int]:
        if not isinstance(node.value, str):
            raise self._error(node.line, "a key is not a text")
        if node.value in holder:
            first = holder[node.value].line
            raise self._error(node.line, f"{node.value!r} is there twice, first in line {first}", "each key once")
        return node.value, node.line

    def _error(self, line: int, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.label}:{line}", what, hint)


def items(node: YamlNode) -> Iterator[tuple[str, YamlNode]]:
    """The keys and values of a mapping; nothing of any other value."""
    yield from node.value.items() if isinstance(node.value, dict) else ()
