"""One run, one folder: ``manifest.json``, ``run.json``, ``layers.csv``, ``plan.toml``, and tables for its pictures.

A folder that is missing or holds none of these files takes the run; one that already holds a run is left as it
is, and the run goes to the first free of ``DIR-2``, ``DIR-3``, ...  Files are written beside their place and moved
there when all are complete, ``manifest.json`` last, so that a folder with a manifest is a whole run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import Any

from wavecore.common.files import WRITABLE_FOLDER, file_errors, staged_folder
from wavecore.common.origin import SourceFile
from wavecore.common.text import csv_cells
from wavecore.plan.files import plan_text
from wavecore.plan.model import Plan
from wavecore.results.run import LayerRow, Run, to_dict

MANIFEST_SCHEMA = "wavecore.manifest/1"
FILES = ("run.json", "layers.csv", "plan.toml", "manifest.json")
TABLES = ("footprints.csv", "occupancy.csv")  # what pictures of a run need, where it was worked out

Write = Callable[[Run, Plan, Mapping[str, str], SourceFile | None], Path]


@contextmanager
def run_folder(path: Path) -> Iterator[Write]:
    """Make sure that a run can be written to ``path`` before it is made; yield the function that does.

    The function takes the run, its plan, the texts of further tables by name (of `TABLES`) and the file that the
    workload was read from, if it was from one, and returns the folder that it wrote.  Raises `FileError` at once if
    nothing can be written there.  If the block fails, nothing is left behind.
    """
    with staged_folder(path, (*TABLES, *FILES)) as (staging, publish):

        def write(run: Run, plan: Plan, tables: Mapping[str, str], source: SourceFile | None = None) -> Path:
            with file_errors(path, hint=WRITABLE_FOLDER):
                source = None if source is None else source.moved(Path(), path)
                for name, text in {**tables, **run_files(run, plan, source)}.items():
                    (staging / name).write_text(text, encoding="utf-8", newline="\n")
            return publish()

        yield write


def run_files(run: Run, plan: Plan, source: SourceFile | None = None) -> dict[str, str]:
    """Return the text of every file of a run's folder, by name; ``source`` is named from that folder."""
    manifest = {
        "schema": MANIFEST_SCHEMA,
        **{key: getattr(run, key) for key in ("workload", "schedule", "accelerator", "memory", "engine", "batch")},
        **asdict(run.manifest),
    }
    texts = {"run.json": json_text(to_dict(run)), "layers.csv": layers_csv(run), "plan.toml": plan_text(plan, source)}
    return {**texts, "manifest.json": json_text(manifest)}


def json_text(value: Any) -> str:
    """Return strict JSON, indented, with a newline at its end.  Raises ValueError for a number that is not finite."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def layers_csv(run: Run) -> str:
    """Return the rows as CSV: the columns of `LayerRow`, fused layers with spaces between them."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in fields(LayerRow))
    for row in run.rows:
        values = asdict(row)
        writer.writerow(csv_cells({**values, "fused": " ".join(values["fused"])}.values()))
    return text.getvalue()
