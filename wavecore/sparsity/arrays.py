"""Read named arrays from untrusted ``.npz`` and ``.safetensors`` files, and write ``.npz`` files.

Nothing is unpickled; sizes are checked against the file's, and at most `LARGEST_BYTES` are read.
https://github.com/huggingface/safetensors describes the second format: a length, a JSON header, and the data.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from wavecore.common.files import check_readable, reading, staged_file
from wavecore.errors import FileError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

LARGEST_BYTES = 4 << 30
UNPACKED_BYTES = 256 << 20  # what any archive may unpack to; the largest masks, of 138 million weights, are half of it
UNPACKED_RATIO = (
    32  # times its size that an archive may unpack to beyond that; weights with 2 % nonzero ones shrink as far
)
LARGEST_HEADER_BYTES = 16 << 20
MOST_ARRAYS = 1 << 16
MOST_DIMENSIONS = 8

# Bits of the types of safetensors.  Elements are read as unsigned integers: only zeros matter, and the sign is ignored.
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip


def read_arrays(path: Path) -> dict[str, Array]:
    """Read the arrays of a file in the format of its suffix.

    Arrays of ``.npz`` have their own type; those of ``.safetensors`` are booleans, true for nonzero elements.  Raises
    `FileError` for a file that is missing, truncated, too large or inconsistent.
    """
    check_readable(path)
    with reading(path):
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise FileError(str(path), f"is larger than {LARGEST_BYTES >> 30} GiB")
        if not size:
            raise FileError(str(path), "is empty")
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise FileError(str(path), "has no known suffix", " or ".join(_READERS))
        with path.open("rb") as stream:
            return dict(reader(path, stream, size))


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays, compressed, whole or not at all; `FileError` if they cannot be written."""
    import numpy as np

    with staged_file(path) as staged:
        np.savez_compressed(staged, **arrays)  # type: ignore[arg-type]


def check_size(path: Path, name: str, shape: tuple[int, ...], item_bytes: int, held_bytes: int) -> None:
    """Raise `FileError` unless an array of this shape takes exactly ``held_bytes``, its bytes in the file."""
    wrong = len(shape) > MOST_DIMENSIONS or any(not isinstance(size, int) or size < 0 for size in shape)
    if wrong or math.prod(shape) * item_bytes != held_bytes:
        sizes = "x".join(map(str, shape[:MOST_DIMENSIONS])) or "a scalar"
        what = f"{name[:60]!r} is declared as {sizes} elements of {item_bytes} bytes, but holds {held_bytes} bytes"
        raise FileError(str(path), what, "the complete file: it may be truncated")


def check_unpacked(path: Path, unpacked_bytes: int) -> None:
    """Raise `FileError` if an archive declares to unpack to more than `UNPACKED_BYTES` and its own size explain."""
    most = min(LARGEST_BYTES, UNPACKED_BYTES + UNPACKED_RATIO * path.stat().st_size)
    if unpacked_bytes > most:
        what = f"is {path.stat().st_size:,} bytes, and would unpack to {unpacked_bytes:,}; at most {most:,} are read"
        raise FileError(str(path), what, "a file that is not compressed, of tensors that do not share their data")


def _npz(path: Path, stream: IO[bytes], size: int) -> Iterator[tuple[str, Array]]:
    import numpy as np

    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ARRAYS:
                raise FileError(str(path), f"holds {len(entries)} arrays", f"at most {MOST_ARRAYS}")
            check_unpacked(path, sum(entry.file_size for entry in entries))
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                with archive.open(entry) as member:
                    shape, fortran, dtype = _npy_header(path, name, member)
                    held = entry.file_size - member.tell()
                    check_size(path, name, shape, dtype.itemsize, held)
                    content = member.read(held)
                check_size(path, name, shape, dtype.itemsize, len(content))
                flat: Any = np.frombuffer(content, dtype=dtype)
                yield name, flat.reshape(shape, order="F" if fortran else "C")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise FileError(str(path), "is not a .npz file, or is damaged", "numpy.savez_compressed(...)") from error


def _npy_header(path: Path, name: str, member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether the order is Fortran's, and the type; `FileError` for a type that is not numbers."""
    from numpy.lib import format as npy

    major, _ = npy.read_magic(member)
    read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, fortran, dtype = read(member)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise FileError(str(path), f"{name[:60]!r} holds {dtype}, not numbers", "arrays of numbers or booleans")
    return shape, fortran, dtype


def _safetensors(path: Path, stream: IO[bytes], size: int) -> Iterator[tuple[str, Array]]:
    import numpy as np

    header, start = _safetensors_header(path, stream, size)
    header.pop("__metadata__", None)
    tensors = {name: _safetensors_entry(path, name, entry, size - start) for name, entry in header.items()}
    for name, tensor in tensors.items():
        check_size(path, name, tensor.shape, _BITS[tensor.kind] // 8, tensor.end - tensor.begin)
    _check_apart(path, tensors)
    for name, tensor in tensors.items():
        stream.seek(start + tensor.begin)
        flat: Any = np.frombuffer(stream.read(tensor.end - tensor.begin), dtype=f"<u{_BITS[tensor.kind] // 8}")
        signless = flat << 1 if tensor.kind.startswith(("F", "BF")) else flat  # shift the sign out: minus zero is zero
        yield name, (signless != 0).reshape(tensor.shape)


def _check_apart(path: Path, tensors: Mapping[str, _TensorEntry]) -> None:
    """Raise `FileError` if the data of two tensors overlap."""
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin < end:
            raise FileError(str(path), f"the data of {name[:60]!r} overlap another tensor's", "the complete file")
        end = tensor.end


def _safetensors_header(path: Path, stream: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """Return the header, and the position in bytes at which the data begin."""
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(LARGEST_HEADER_BYTES, size - 8):
        raise FileError(str(path), "is not a .safetensors file, or is truncated", "the complete file")
    try:
        header = json.loads(stream.read(length))
    except (ValueError, RecursionError) as error:
        raise FileError(str(path), "is not a .safetensors file: its header is not JSON", "the complete file") from error
    if not isinstance(header, dict) or len(header) > MOST_ARRAYS:
        raise FileError(str(path), "is not a .safetensors file: its header lists no tensors", "the complete file")
    return header, 8 + length


class _TensorEntry(NamedTuple):
    """A tensor of a header: its type, its shape, and the range of its bytes in the data."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _safetensors_entry(path: Path, name: str, entry: object, room: int) -> _TensorEntry:
    """Return a tensor's entry; `FileError` if it is not complete or exceeds ``room``, the bytes of the data."""
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(str(path), f"its header does not describe {name[:60]!r}", "the complete file") from error
    if kind not in _BITS:
        raise FileError(str(path), f"{name[:60]!r} is of type {str(kind)[:20]!r}", f"one of {', '.join(_BITS)}")
    if not (type(begin) is int and type(end) is int and 0 <= begin <= end <= room):
        raise FileError(str(path), f"{name[:60]!r} lies beyond the end of the file", "the complete file")
    return _TensorEntry(kind, shape, begin, end)


_READERS = {".npz": _npz, ".safetensors": _safetensors}
