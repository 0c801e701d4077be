"""One run, one folder: ``manifest.json``, ``run.json``, ``layers.csv``, ``plan.toml``, and tables for its pictures.

A folder that is missing or holds none of these files takes the run; one that already holds a run is left as it
is, and the run goes to the first free of ``DIR-2``, ``DIR-3``, ...  Files are written beside their place and moved
there when all are complete, ``manifest.json`` last, so that a folder with a manifest is a whole run.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import Any

from wavecore.errors import FileError
from wavecore.plan.files import plan_text
from wavecore.plan.model import Plan
from wavecore.results.run import LayerRow, Run, to_dict

MANIFEST_SCHEMA = "wavecore.manifest/1"
FILES = ("run.json", "layers.csv", "plan.toml", "manifest.json")
TABLES = ("footprints.csv", "occupancy.csv")  # what pictures of a run need, where it was worked out

Write = Callable[[Run, Plan, Mapping[str, str]], Path]


@contextmanager
def run_folder(path: Path) -> Iterator[Write]:
    """Make sure that a run can be written to ``path`` before it is made; yield the function that does.

    The function takes the run, its plan and the texts of further tables by name (of `TABLES`), and returns the
    folder that it wrote.  Raises `FileError` at once if nothing can be written there.  If the block fails, nothing
    is left behind.
    """
    with staged_folder(path, (*TABLES, *FILES)) as (staging, publish):

        def write(run: Run, plan: Plan, tables: Mapping[str, str]) -> Path:
            try:
                for name, text in {**tables, **run_files(run, plan)}.items():
                    (staging / name).write_text(text, encoding="utf-8", newline="\n")
            except OSError as error:
                raise _unwritable(path, error) from error
            return publish()

        yield write


@contextmanager
def staged_folder(
    path: Path, names: Sequence[str], *, replace: bool = False
) -> Iterator[tuple[Path, Callable[[], Path]]]:
    """Make sure that files of these ``names`` can be written to ``path``; yield where to write, and what ends it.

    The files are written into an empty folder; the function moves them, in the order of ``names``, to the first of
    DIR, DIR-2, ... that holds none of them, or with ``replace`` to DIR itself, and returns where they are.
    Raises `FileError` at once if nothing can be written there.  If the block fails, nothing is left behind.
    """
    target = path.expanduser().absolute()
    staging = _staging(target, path, names)

    def publish() -> Path:
        try:
            folder = target if replace else _free(target, names)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / names[-1]).unlink(missing_ok=True)  # while files of two kinds are mixed the folder is not whole
            for name in names:
                if (staging / name).exists():
                    (staging / name).replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        return _shown(folder)

    try:
        yield staging, publish
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def run_files(run: Run, plan: Plan) -> dict[str, str]:
    """Text of every file of a run's folder, by name."""
    manifest = {
        "schema": MANIFEST_SCHEMA,
        **{key: getattr(run, key) for key in ("workload", "schedule", "accelerator", "memory", "engine", "batch")},
        **asdict(run.manifest),
    }
    texts = {"run.json": json_text(to_dict(run)), "layers.csv": layers_csv(run), "plan.toml": plan_text(plan)}
    return {**texts, "manifest.json": json_text(manifest)}


def json_text(value: Any) -> str:
    """Strict JSON, indented, with a newline at its end; ValueError for a number that is not finite."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def layers_csv(run: Run) -> str:
    """Print the rows as CSV: the columns of `LayerRow`, fused layers with spaces between them."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in fields(LayerRow))
    for row in run.rows:
        values = asdict(row)
        writer.writerow({**values, "fused": " ".join(values["fused"])}.values())
    return text.getvalue()


def write_file(path: Path, text: str) -> None:
    """Write a file, whole or not at all; `FileError` if it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def writable_file(path: Path, *, replace: bool = False) -> None:
    """Raise `FileError` if a file cannot be written at ``path``, or is there and may not be replaced."""
    if path.is_dir():
        raise FileError(str(path), "is a folder, not a file", "the path of a file in it")
    if path.exists() and not replace:
        raise FileError(str(path), "exists already", "--force to replace it, or another name")
    probe = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _staging(target: Path, path: Path, names: Collection[str]) -> Path:
    """Make an empty folder where the files will go, or in the nearest folder above it that exists."""
    if target.exists() and not target.is_dir():
        raise FileError(str(path), "is a file, not a folder", "the path of a folder")
    try:
        folder = _free(target, names)
        home = next(each for each in (folder, *folder.parents) if each.exists())
        if not home.is_dir():
            raise FileError(str(path), f"{home} is a file, not a folder", "the path of a folder")
        staging = home / f".wavecore-{os.getpid()}-{os.urandom(4).hex()}"
        staging.mkdir()
    except OSError as error:
        raise _unwritable(path, error) from error
    return staging


def _shown(folder: Path) -> Path:
    """A folder as it is named to people: from where they are, if it is below."""
    with suppress(ValueError):
        return folder.relative_to(Path.cwd())
    return folder


def _free(target: Path, names: Collection[str]) -> Path:
    """The first of DIR, DIR-2, DIR-3, ... that holds no file of these names."""
    number = 1
    while True:
        folder = target if number == 1 else target.with_name(f"{target.name}-{number}")
        if not folder.exists() or (folder.is_dir() and not any((folder / name).exists() for name in names)):
            return folder
        number += 1


def _unwritable(path: Path, error: OSError) -> FileError:
    return FileError(str(path), f"cannot be written ({error.strerror})", "a folder that you may write to")
