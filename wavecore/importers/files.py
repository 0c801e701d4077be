"""Read an ONNX file without trusting it: which fields are skipped, which files are refused, and the limits.

Weights are not needed: their bytes are skipped, and files of external data are never opened.  The rest of the file
must be small (`LARGEST_STRUCTURE_BYTES`); only that is parsed.  The wire format is protobuf's:
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from wavecore.common.files import check_readable, reading
from wavecore.errors import FileError

LARGEST_FILE_BYTES = 2 << 30  # protobuf's own limit; larger models store their weights as external data
LARGEST_STRUCTURE_BYTES = 16 << 20
LARGEST_CONSTANT_BYTES = 32 << 10  # constants up to this size are kept: shapes, limits, axes
MOST_FIELDS = 1 << 18

WEIGHTS = (".safetensors", ".npz", ".h5")
PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin")
NO_PICKLE = "wavecore.from_torch(module, example_input) in Python, or torch.onnx.export(...) to an .onnx file"

Fields = Mapping[int, Any]

_KEEP, _SMALL = "keep", "keep if small"
_TENSOR: Fields = {1: _KEEP, 2: _KEEP, 8: _KEEP, 13: _KEEP, 14: _KEEP} | dict.fromkeys((4, 5, 7, 9, 10, 11), _SMALL)
_ATTRIBUTE: Fields = {1: _KEEP, 2: _KEEP, 3: _KEEP, 4: _KEEP, 5: _TENSOR, 7: _KEEP, 8: _KEEP, 9: _KEEP, 20: _KEEP}
_NODE: Fields = {1: _KEEP, 2: _KEEP, 3: _KEEP, 4: _KEEP, 5: _ATTRIBUTE, 7: _KEEP, 9: _KEEP}
_GRAPH: Fields = {1: _NODE, 2: _KEEP, 5: _TENSOR, 11: _KEEP, 12: _KEEP}
_MODEL: Fields = {7: _GRAPH}
"""The fields of onnx.proto that are kept, by field number.  Subgraphs, functions, comments and the types of inner
values are skipped; a tensor's elements are kept if they have at most `LARGEST_CONSTANT_BYTES`."""

_HINT = "the path of an .onnx file"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def read_structure(path: str | Path) -> tuple[bytes, str]:
    """Return the encoded model of an ONNX file without its weights, and the file's SHA-256.

    Raises `FileError` for a file that cannot be read, is not an ONNX file by its suffix or its first bytes, is
    truncated, or exceeds a limit.
    """
    where = str(path)
    refuse_suffix(where)
    check_readable(Path(path), hint=_HINT)
    with reading(Path(path), hint=_HINT):
        size = Path(path).stat().st_size
        _check_size(where, size)
        with Path(path).open("rb") as file:
            _check_magic(where, file.read(4))
            file.seek(0)
            structure = _Stripper(where, file).message(0, size, _MODEL)
            file.seek(0)
            return structure, hashlib.file_digest(file, "sha256").hexdigest()


def refuse_suffix(where: str) -> None:
    """Raise `FileError` for a pickle, which is never opened, and for a file that holds weights but no network."""
    suffix = Path(where).suffix.lower()
    if suffix in PICKLES:
        raise FileError(where, "may be a pickle, which can run any code when it is read; it is never opened", NO_PICKLE)
    if suffix in WEIGHTS:
        raise FileError(where, f"{suffix} files hold weights but no network", NO_PICKLE)


def _check_size(where: str, size: int) -> None:
    if not size:
        raise FileError(where, "is empty", "an .onnx file")
    if size > LARGEST_FILE_BYTES:
        what = f"has {size} bytes, more than the limit of {LARGEST_FILE_BYTES}"
        raise FileError(where, what, "weights as external data, or torch.onnx.export(..., export_params=False)")


def _check_magic(where: str, first: bytes) -> None:
    if first.startswith(b"PK\x03\x04") or first[:1] == b"\x80":
        raise FileError(where, "is a checkpoint or a pickle by its first bytes, not an ONNX file", NO_PICKLE)


class _Stripper:
    """Copies a protobuf message field by field and leaves out the fields that are not needed."""

    def __init__(self, where: str, file: BinaryIO) -> None:
        self.where = where
        self.file = file
        self.kept = 0
        self.seen = 0

    def message(self, start: int, end: int, fields: Fields) -> bytes:
        """Return the message between two positions of the file, reduced to the given ``fields``."""
        self.file.seek(start)
        position, parts = start, []
        while position < end:
            self.seen += 1
            if self.seen > MOST_FIELDS:
                raise FileError(self.where, f"has more than {MOST_FIELDS} fields", "a smaller model")
            begin = position
            key, position = self._varint(position, end)
            number, wire = key >> 3, key & 7
            length, position = self._length(wire, position, end)
            if length > end - position:
                raise self._broken(begin)
            wanted = fields.get(number)
            if wire == _BYTES and isinstance(wanted, Mapping):
                parts.append(_tagged(key, self.message(position, position + length, wanted)))
            elif wanted == _KEEP or (wanted == _SMALL and length <= LARGEST_CONSTANT_BYTES):
                parts.append(self._copy(begin, position + length))
            position += length
            self.file.seek(position)
        return b"".join(parts)

    def _length(self, wire: int, position: int, end: int) -> tuple[int, int]:
        """Return the length in bytes of a field's value, and the position at which the value begins."""
        if wire == _BYTES:
            return self._varint(position, end)
        if wire == _VARINT:
            return self._varint(position, end)[1] - position, position
        if wire in (_FIXED32, _FIXED64):
            return 4 if wire == _FIXED32 else 8, position
        raise self._broken(position)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """Return the varint at ``position``, and the position behind it; `FileError` if it does not end in time."""
        self.file.seek(position)
        value = 0
        for index, byte in enumerate(self.file.read(min(_LONGEST_VARINT, end - position))):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value, position + index + 1
        raise self._broken(position)

    def _copy(self, start: int, end: int) -> bytes:
        self.kept += end - start
        if self.kept > LARGEST_STRUCTURE_BYTES:
            what = f"has more than {LARGEST_STRUCTURE_BYTES} bytes besides its weights"
            raise FileError(self.where, what, "a smaller model, with weights as initializers")
        self.file.seek(start)
        return self.file.read(end - start)

    def _broken(self, position: int) -> FileError:
        what = f"is truncated or not an ONNX file: the data at byte {position} cannot be decoded"
        return FileError(self.where, what, "the complete file; onnx.checker gives details")


def _tagged(key: int, content: bytes) -> bytes:
    return _encoded(key) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    """Return a number as a varint."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))


def _leads_inside(folder: Path, location: str) -> bool:
    """Return whether a path stays in a folder after following its links; False if they cannot be followed."""
    try:
        return (folder / location).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a path that is too long, or links that form a cycle
        return False


def check_external(where: str, tensor: str, location: str) -> None:
    """Raise `FileError` if a tensor's external data lie outside the model's folder (none are opened in any case)."""
    folder = Path(where).parent
    parts = PurePosixPath(location.replace("\\", "/"))
    escapes = parts.is_absolute() or PureWindowsPath(location).drive or ".." in parts.parts or "\0" in location
    if escapes or not _leads_inside(folder, location):
        what = f"tensor {tensor} has its data outside the model's folder, at {location[:80]!r}"
        raise FileError(where, what, "external data in the model's folder")
