"""TOML files, read so that errors can name the file and the line."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavecore.common.files import read_file
from wavecore.errors import ConfigError, FileError, InputError

LARGEST_FILE_BYTES = 1 << 20


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


def as_path(path: str | Path) -> Path:
    """Return ``path`` as a Path; `InputError` for a value of another type."""
    if not isinstance(path, str | Path):
        raise InputError("path", f"is {path!r}, not a path", '"FILE"')
    return Path(path)


def read_document(path: str | Path) -> Document:
    """Read a user's file.

    Raises `FileError` if it is missing, empty or no readable text, and `ConfigError` if it is not TOML.
    """
    path = as_path(path)
    return parse_document(str(path), read_content(path, ".toml"), folder=path.parent, by_user=True)


def read_content(path: Path, suffix: str) -> bytes:
    """Read at most one byte more than is allowed of a user's file; `FileError` if it is missing or unreadable."""
    return read_file(path, LARGEST_FILE_BYTES, folder_hint=f"the path of a {suffix} file in it")


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
