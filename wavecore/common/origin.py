"""The file of a user's own network, kept in what is made for it: its path and what was in it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wavecore.common.files import file_errors
from wavecore.common.toml import toml_string

KEY = "workload_file"
HINT = 'workload_file = { path = "net.onnx", sha256 = "64 digits" }'


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file by its ``path``, in a document relative to that document's folder, and the SHA-256 of its content."""

    path: str
    sha256: str

    def moved(self, old: Path, new: Path) -> SourceFile:
        """Return the same file as it is named from another folder; an absolute path stays."""
        if os.path.isabs(self.path):  # noqa: PTH117 (a path of any system, as text)
            return self
        try:
            return replace(self, path=Path(os.path.relpath(old / self.path, new)).as_posix())
        except ValueError:  # on another drive
            return replace(self, path=str((old / self.path).absolute()))

    @property
    def toml(self) -> str:
        """The entry of a document, in one line."""
        return f"{KEY} = {{ path = {toml_string(self.path)}, sha256 = {toml_string(self.sha256)} }}"


def source_file(path: str) -> SourceFile:
    """Return the file at a path; `FileError` if it cannot be read."""
    with file_errors(Path(path)), Path(path).open("rb") as stream:
        return SourceFile(path, hashlib.file_digest(stream, "sha256").hexdigest())


def read_source_file(value: Any) -> SourceFile | None:
    """Return the file that a document's entry under `KEY` describes; None if it does not describe one."""
    if not isinstance(value, dict) or value.keys() != {"path", "sha256"}:
        return None
    path, sha256 = value["path"], value["sha256"]
    if not (isinstance(path, str) and path and isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)):
        return None
    return SourceFile(path, sha256)
