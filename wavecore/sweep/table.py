"""The tidy table of a sweep: one row per point, in the order of the points, the same for any number of workers.

Columns: `IDENTITY`, every other axis (a field of the machine with its unit: ``core.global_buffer_bytes``), every
numeric metric by its name in ``wavecore list metrics``, ``feasible``, ``pareto`` and ``error``.  A point that failed
has an error and no metrics.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wavecore.common.files import staged_file, staged_text
from wavecore.common.text import csv_cells, from_csv
from wavecore.errors import InputError
from wavecore.sweep.judgement import Judgement
from wavecore.sweep.parameters import IDENTITY
from wavecore.sweep.sections import FIGURES
from wavecore.sweep.space import Point, assignment
from wavecore.sweep.spec import SweepSpec
from wavecore.sweep.task import Outcome

if TYPE_CHECKING:
    import pandas as pd

LAST = ("feasible", "pareto", "error")
_HINT = "making room and the same command again: every finished point is in the store"

CellValue = int | float | str | bool | None
Record = dict[str, CellValue]


@dataclass(frozen=True, slots=True)
class Result:
    """A point with its outcome, its judgement, and whether it is on the Pareto front."""

    point: Point
    outcome: Outcome
    judgement: Judgement
    pareto: bool


def columns(spec: SweepSpec) -> list[str]:
    """Return the columns of a sweep's table, in their order."""
    axes = [axis.parameter.column for axis in spec.axes]
    return [*IDENTITY, *(column for column in axes if column not in IDENTITY), *FIGURES, *LAST]


def record(spec: SweepSpec, result: Result) -> Record:
    """Return one row of the table, by column."""
    values = assignment(spec, result.point)
    metrics = result.outcome.metrics or _described(spec, result.point)
    cells: Record = {name: values.get(name, metrics.get(name)) for name in IDENTITY}
    cells |= {axis.parameter.column: values[axis.name] for axis in spec.axes}
    cells |= {name: metrics.get(name) for name in FIGURES}
    return cells | {
        "feasible": result.judgement.feasible,
        "pareto": result.pareto,
        "error": result.judgement.error or None,
    }


def _described(spec: SweepSpec, point: Point) -> Record:
    """Return memory and mini-batch of a point that failed; nothing if it does not even make a task."""
    try:
        task = assignment(spec, point).task()
    except InputError:
        return {}
    return {"memory": task.accelerator.memory.name, "batch": task.batch}


def write_csv(spec: SweepSpec, results: Iterator[Result], path: Path) -> None:
    """Write the table, whole or not at all; `FileError` if it cannot be written."""
    names = columns(spec)
    with staged_text(path, hint=_HINT) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        for result in results:
            cells = record(spec, result)
            writer.writerow(csv_cells([_text(cells[name]) for name in names]))


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that `write_csv` has written: numbers, flags and texts as they were."""
    import pandas as pd

    texts = {name: "string" for name in (*IDENTITY, "error") if name != "batch"}
    table = pd.read_csv(path, dtype=texts)
    for name in table.columns.intersection([*texts]):
        table[name] = table[name].map(from_csv, na_action="ignore")
    return table


def check_parquet() -> None:
    """Raise `InputError` if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise InputError("--parquet", "pyarrow is not installed", 'pip install "wavecore[parquet]"')


def write_parquet(table: Path, path: Path) -> None:
    """Write a table of `write_csv` as Parquet, whole or not at all."""
    check_parquet()
    with staged_file(path, hint=_HINT) as staged:
        read_csv(table).to_parquet(staged, engine="pyarrow", index=False)


def _text(cell: CellValue) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)
