"""Machine descriptions in TOML, registered or a user's, read so that errors can name the file and the line.

Ours lie in ``presets/accelerators``, ``presets/memories`` and ``presets/energy``.  Another package adds a
folder with such folders through an entry point of the group ``wavecore.presets``: the path of the folder.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from wavecore.errors import ConfigError, FileError, unknown_name

Kind = Literal["accelerators", "memories", "energy"]

ENTRY_POINTS = "wavecore.presets"

LARGEST_FILE_BYTES = 1 << 20

_NOUNS: dict[Kind, str] = {"accelerators": "accelerator", "memories": "memory", "energy": "energy table"}

_HEADER = re.compile(r"\s*\[+([^\[\]]+)\]+\s*(?:#.*)?$")
_ENTRY = re.compile(r"\s*([\w.\"' -]+?)\s*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A TOML file that has been read.

    ``label`` is what messages call it, ``folder`` what the paths in it start from, and ``by_user`` says that
    it is not a registered preset.
    """

    label: str
    text: str
    data: dict[str, Any]
    folder: Path
    by_user: bool


def read_document(path: Path) -> Document:
    """Read a user's file.

    Raises `FileError` if it is missing, empty or no readable text, and `ConfigError` if it is not TOML.
    """
    return parse_document(str(path), read_content(path, ".toml"), folder=path.parent, by_user=True)


def read_content(path: Path, suffix: str) -> bytes:
    """Read at most one byte more than is allowed of a user's file; `FileError` if it is missing or unreadable."""
    try:
        if path.is_dir():
            raise FileError(str(path), "is a folder, not a file", f"the path of a {suffix} file in it")
        if not path.exists():
            raise FileError(str(path), "there is no such file")
        if not path.is_file():
            raise FileError(str(path), "is not a regular file")
        with path.open("rb") as stream:
            return stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise FileError(str(path), f"cannot be read ({error.strerror})") from error


def parse_document(label: str, content: bytes, *, folder: Path, by_user: bool) -> Document:
    """Read the bytes of a file.  Raises the errors of `read_document`."""
    text = decode(label, content, "a description in TOML")
    try:
        data = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(label, "is nested too deeply") from error
    except ValueError as error:  # tomllib's own, or an integer of thousands of digits
        raise _not_toml(label, text, error) from error
    return Document(label=label, text=text, data=data, folder=folder, by_user=by_user)


def decode(label: str, content: bytes, wanted: str) -> str:
    """Return the text of a file's bytes; `FileError` if they are too many, none, or no text."""
    if len(content) > LARGEST_FILE_BYTES:
        raise FileError(label, "is larger than 1 MiB", wanted)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(label, f"is not a text file (byte {error.start} is not UTF-8)") from error
    if not text.strip():
        raise FileError(label, "is empty")
    return text


def _not_toml(label: str, text: str, error: ValueError) -> ConfigError:
    position = re.search(r"at line (\d+)", str(error))
    line = position[1] if position else str(text.rstrip("\n").count("\n") + 1)
    repeated = "overwrite" in str(error) or "twice" in str(error)
    return ConfigError(f"{label}:{line}", f"not TOML: {error}", "state each key once" if repeated else "")


def place(document: Document, path: str) -> str:
    """Return ``FILE:LINE: path`` for a dotted key of the document."""
    return f"{document.label}:{line_of(document.text, path)}: {path}"


def line_of(text: str, path: str) -> int:
    """Return the line (from 1) of a dotted key in a TOML text, or of the table that holds it."""
    section, holder = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        header, entry = _HEADER.match(line), _ENTRY.match(line)
        found = header or entry
        if not found:
            continue
        here = re.sub(r"[\"'\s]", "", found[1])
        if header:
            section = here + "."
        else:
            here = section + here
        if here == path:
            return number
        if path.startswith(here + "."):
            holder = number
    return holder


def toml_string(text: str) -> str:
    """Return a basic string of TOML: JSON's escapes are TOML's too, but JSON lets DEL pass."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def registered(kind: Kind) -> dict[str, Traversable]:
    """Map the registered names of a kind to their files.  Raises `ConfigError` if two have one name."""
    found: dict[str, Traversable] = {}
    owners: dict[str, str] = {}
    for owner, root in _roots():
        for name, entry in _presets(root.joinpath(kind)):
            if name in found:
                what = f"{name!r} is registered by both {owners[name]} and {owner}"
                raise ConfigError(f"entry points {ENTRY_POINTS}", what, "another name in one of them")
            found[name], owners[name] = entry, owner
    return found


def open_document(kind: Kind, name: str, where: str, folder: Path) -> Document:
    """Read the registered ``name``, or else the file of that path from ``folder``.

    Raises `NameLookupError`, located at ``where``, if it is neither, and the errors of `read_document`.
    """
    names = registered(kind)
    if name in names:
        label = f"presets/{kind}/{name}.toml"
        return parse_document(label, names[name].read_bytes(), folder=Path(), by_user=False)
    if not (name.endswith(".toml") or "/" in name or os.sep in name):
        raise unknown_name(where, _NOUNS[kind], name, names)
    return read_document(Path(os.path.normpath(folder / name)))


def _presets(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.endswith(".toml"):
            yield entry.name.removesuffix(".toml"), entry


@functools.cache
def _roots() -> tuple[tuple[str, Traversable], ...]:
    """Return the folders of presets, each with the name of what it comes from."""
    from importlib.metadata import entry_points

    roots: list[tuple[str, Traversable]] = [("wavecore", files("wavecore").joinpath("presets"))]
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        where = f"entry point {ENTRY_POINTS}: {point.name} = {point.value!r}"
        try:
            folder = Path(point.load())
        except Exception as problem:  # another package's module may fail in any way at all
            hint = "repairing or uninstalling the package that registers it"
            raise ConfigError(where, f"cannot be loaded: {type(problem).__name__}: {problem}", hint) from problem
        if not folder.is_dir():
            raise ConfigError(where, f"{folder} is not a folder", "the path of a folder of presets")
        roots.append((point.name, folder))
    return tuple(roots)
