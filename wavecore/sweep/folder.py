"""One sweep, one folder.

================  ==========================================================================================
spec.toml         the specification, as it was
store.sqlite      every finished point: what an interrupted sweep goes on from
points.csv        the table (and points.parquet, if asked for), written when all points are finished
figure.png        what [figure] asks for
summary.json      what was swept, how many points there are, the best of them; written last
================  ==========================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wavecore.common.files import write_file
from wavecore.common.hashing import content_hash
from wavecore.errors import FileError, InputError
from wavecore.sweep.run import Tally
from wavecore.sweep.spec import SweepSpec
from wavecore.sweep.table import Record, Result, record
from wavecore.sweep.task import model_version

SCHEMA = "wavecore.sweep/1"
SPEC, STORE, POINTS, PARQUET, FIGURE, SUMMARY = (
    "spec.toml",
    "store.sqlite",
    "points.csv",
    "points.parquet",
    "figure.png",
    "summary.json",
)


@dataclass(slots=True)
class Findings:
    """Counts of the results of each kind, the ``front`` as rows of the table, and the ``errors`` with their numbers."""

    points: int = 0
    failed: int = 0
    feasible: int = 0
    front: list[Record] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def noting(self, spec: SweepSpec, results: Iterable[Result]) -> Iterator[Result]:
        """Yield results unchanged, and count them."""
        for result in results:
            self.points += 1
            self.failed += bool(result.judgement.error)
            self.feasible += result.judgement.feasible
            if result.judgement.error:
                self.errors[result.judgement.error] += 1
            if result.pareto:
                self.front.append(record(spec, result))
            yield result


def default_folder(spec: SweepSpec) -> Path:
    """Return the folder of a sweep without ``--out``: in the working directory, not beside the specification."""
    return Path(f"{spec.name}-sweep")


def claim_folder(folder: Path, spec: SweepSpec) -> bool:
    """Make the folder, or take the one that this sweep already has, and put the specification there.

    Returns whether there is a store to go on from.  Raises `FileError` for a folder that holds another sweep, or
    files of these names that no sweep has written, and for one that cannot be written to.
    """
    hint = "--out with another folder"
    if folder.exists() and not folder.is_dir():
        raise FileError(str(folder), "is a file, not a folder", hint)
    copy = folder / SPEC
    if copy.exists():
        other = _name_in(copy)
        if other != spec.name:
            raise FileError(str(folder), f"holds the sweep {other!r}", hint)
    elif taken := [name for name in (STORE, POINTS, PARQUET, SUMMARY) if (folder / name).exists()]:
        raise FileError(str(folder / taken[0]), "is not of this sweep, for there is no spec.toml beside it", hint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(str(folder), f"cannot be made ({error.strerror})", hint) from error
    write_file(copy, spec.text)
    return (folder / STORE).exists()


def _name_in(copy: Path) -> str:
    from wavecore.common.toml import read_document

    try:
        return str(read_document(copy).data.get("name", ""))
    except InputError:
        return "(unreadable)"


def summary(spec: SweepSpec, found: Findings, tally: Tally) -> dict[str, Any]:
    """Return the summary of a sweep as plain values; the last run evaluated ``evaluated`` points in ``seconds``."""
    return {
        "schema": SCHEMA,
        "name": spec.name,
        "version": model_version(),
        "spec_hash": content_hash(spec.text),
        "fixed": dict(spec.base),
        "axes": [
            {"name": axis.name, "column": axis.parameter.column, "unit": axis.parameter.unit} for axis in spec.axes
        ],
        "objectives": [{"metric": each.metric, "maximize": each.maximize} for each in spec.objectives],
        "per": list(spec.per),
        "search": asdict(spec.search),
        "figure": None if spec.figure is None else asdict(spec.figure),
        "points": found.points,
        "failed": found.failed,
        "feasible": found.feasible,
        "evaluated": tally.evaluated,
        "seconds": tally.seconds,
        "points_per_second": tally.evaluated / tally.seconds if tally.evaluated else 0.0,
        "front": found.front,
    }
