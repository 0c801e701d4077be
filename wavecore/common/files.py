"""Files and folders that are written whole or not at all.

Everything is written beside its place and moved there when it is complete, so that neither a failure nor Ctrl-C leaves
a part of it behind; what a killed process leaves is removed by the next one that writes there (`common.staging`).
What the operating system refuses becomes a `FileError` that names the path and the reason.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from wavecore.common.staging import hidden_path
from wavecore.errors import FileError

ANOTHER_PATH = "another path"
WRITABLE_FOLDER = "a folder that you may write to"
ANY_FOLDER = "the path of a folder"


def is_onnx(name: str) -> bool:
    """Return whether a workload is the path of an ONNX model."""
    return name.lower().endswith(".onnx")


def is_topology(name: str) -> bool:
    """Return whether a workload is the path of a SCALE-Sim topology."""
    return name.lower().endswith(".csv")


def is_plan(schedule: str) -> bool:
    """Return whether a schedule is the path of a plan and not a name."""
    return schedule.lower().endswith(".toml") or "/" in schedule


@contextmanager
def file_errors(path: Path, *, hint: str = ANOTHER_PATH) -> Iterator[None]:
    """Raise what the operating system refuses in the block as a `FileError` about ``path``, with ``hint`` as advice."""
    try:
        yield
    except OSError as error:
        raise FileError(str(path), f"cannot be written ({error.strerror or error})", hint) from error


@contextmanager
def reading(path: Path, *, hint: str = "") -> Iterator[None]:
    """Raise what keeps a file from being read in the block as a `FileError` about ``path``, with ``hint`` as advice."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileError(str(path), "there is no such file", hint) from error
    except OSError as error:
        raise FileError(str(path), f"cannot be read ({error.strerror or error})", hint) from error
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise FileError(repr(str(path)), "cannot be the path of a file", hint) from error


def check_readable(path: Path, *, hint: str = "", folder_hint: str = "") -> None:
    """Raise `FileError` unless ``path`` is a regular file; nothing is opened, for a pipe would be waited for."""
    with reading(path, hint=hint):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FileError(str(path), "is a folder, not a file", folder_hint or hint)
    if not stat.S_ISREG(mode):
        raise FileError(str(path), "is not a regular file", hint)


def read_file(path: Path, most_bytes: int = -1, *, hint: str = "", folder_hint: str = "") -> bytes:
    """Return the content of a regular file, at most one byte more than ``most_bytes``; `FileError` if it has none."""
    check_readable(path, hint=hint, folder_hint=folder_hint)
    with reading(path, hint=hint), path.open("rb") as stream:
        return stream.read(-1 if most_bytes < 0 else most_bytes + 1)


@contextmanager
def staged_file(path: Path, *, hint: str = ANOTHER_PATH) -> Iterator[Path]:
    """Yield a path to write to, which becomes the file ``path`` when the block ends.

    It is hidden, in the same folder and of the same suffix.  If the block fails, the staged file is removed and what
    was at ``path`` stays.  A link stays a link: the file that it names is written.  Raises `FileError`, with ``hint``
    as the advice, if ``path`` is no regular file or the operating system refuses anything in the block.
    """
    _check_regular(path, hint)
    staged = _beside(path)
    with file_errors(path, hint=hint):
        try:
            yield staged
            staged.replace(os.path.realpath(path))
        finally:
            staged.unlink(missing_ok=True)


@contextmanager
def staged_text(path: Path, *, encoding: str = "utf-8", hint: str = ANOTHER_PATH) -> Iterator[TextIO]:
    """Yield a text stream that becomes the file ``path`` when the block ends, as `staged_file` says."""
    with staged_file(path, hint=hint) as staged, staged.open("w", encoding=encoding, newline="\n") as stream:
        yield stream


def write_file(path: Path, text: str, *, hint: str = WRITABLE_FOLDER) -> None:
    """Write a text to a file, as `staged_file` says."""
    with staged_text(path, hint=hint) as stream:
        stream.write(text)


def writable_file(path: Path, *, replace: bool = False) -> None:
    """Raise `FileError` if a file cannot be written at ``path``, or exists and may not be replaced."""
    _check_regular(path, "the path of a file in it" if path.is_dir() else ANOTHER_PATH)
    if path.exists() and not replace:
        raise FileError(str(path), "exists already", "--force to replace it, or another name")
    probe = _beside(path)
    with file_errors(path, hint=WRITABLE_FOLDER):
        probe.touch()
        probe.unlink()


@contextmanager
def staged_folder(
    path: Path, names: Sequence[str], *, replace: bool = False
) -> Iterator[tuple[Path, Callable[[], Path]]]:
    """Yield an empty folder to write files of these ``names`` into, and the function that publishes them.

    The function moves the files, in the order of ``names``, to the first of DIR, DIR-2, DIR-3, ... that holds none of
    them, or with ``replace`` to DIR itself, and returns that folder.  The last file is the sign of a whole folder.
    Raises `FileError` at once if nothing can be written there.  If the block fails, nothing is left behind.
    """
    target = expanded(path)
    staging = _staging(target, path, names)

    def publish() -> Path:
        with file_errors(path, hint=WRITABLE_FOLDER):
            folder = target if replace else _free(target, names)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / names[-1]).unlink(missing_ok=True)  # while old and new files are mixed the folder is not whole
            for name in names:
                if (staging / name).exists():
                    (staging / name).replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
        return _shown(folder)

    try:
        yield staging, publish
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def expanded(path: Path) -> Path:
    """Return an absolute path, with the home folder for ``~``; a user who is not known stays a name."""
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 (pathlib raises for an unknown user)


def _beside(path: Path) -> Path:
    """Return the path of a hidden file of this process, of the same suffix, in the folder of the file that is meant."""
    target = Path(os.path.realpath(path))
    return hidden_path(target.parent, target.suffix)


def _check_regular(path: Path, hint: str) -> None:
    if path.exists() and not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not a regular file"
        raise FileError(str(path), what, hint)


def _staging(target: Path, path: Path, names: Collection[str]) -> Path:
    """Make an empty folder where the files will go, or in the nearest folder above it that exists."""
    if target.exists() and not target.is_dir():
        raise FileError(str(path), "is a file, not a folder", ANY_FOLDER)
    with file_errors(path, hint=WRITABLE_FOLDER):
        folder = _free(target, names)
        home = next(each for each in (folder, *folder.parents) if each.exists())
        if not home.is_dir():
            raise FileError(str(path), f"{home} is a file, not a folder", ANY_FOLDER)
        staging = hidden_path(home)
        staging.mkdir()
    return staging


def _shown(folder: Path) -> Path:
    """Return a folder as it is named to people: relative to the working directory if it is below it."""
    with suppress(ValueError):
        return folder.relative_to(Path.cwd())
    return folder


def _free(target: Path, names: Collection[str]) -> Path:
    """Return the first of DIR, DIR-2, DIR-3, ... that holds no file of these names."""
    number = 1
    while True:
        folder = target if number == 1 else target.with_name(f"{target.name}-{number}")
        if not folder.exists() or (folder.is_dir() and not any((folder / name).exists() for name in names)):
            return folder
        number += 1
