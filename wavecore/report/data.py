"""The data of a report: runs read from files and folders, grouped by network, each with a label of its own."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from wavecore.common.files import read_file
from wavecore.common.records import build
from wavecore.errors import FileError, InputError
from wavecore.hardware.specs import Accelerator
from wavecore.pictures.palette import COLOURS
from wavecore.plan.footprints import LayerFootprint, parse_footprints
from wavecore.report.sweeps import POINTS, SUMMARY, SweepTable, parse_points, parse_summary
from wavecore.results.run import LayerRow, Run, from_dict

RUN, FOOTPRINTS, OCCUPANCY, SPEC = "run.json", "footprints.csv", "occupancy.csv", "spec.toml"
OCCUPANCY_COLUMNS = ["cycle", "core", "used_bytes"]
HINT = "a folder of wavecore run --out, a file of wavecore run --json, or a folder of wavecore sweep --out"
FOLDER = "it needs the folder that wavecore run --out writes."

OWN_REFERENCE = "the run of baseline (or else the first run) on the same machine with the same engine"

Occupancy = Mapping[int, tuple[tuple[int, int], ...]]
"""By core, from which cycle on how many bytes of its buffer are taken."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A run, where it was read, and its ``label``: its schedule, and what differs from other runs of its network.

    A bare file has no ``footprints``; those, and ``occupancy``, of folders of earlier versions may be missing too.
    """

    run: Run
    accelerator: Accelerator
    source: str
    label: str = ""
    footprints: tuple[LayerFootprint, ...] = ()
    occupancy: Occupancy | None = None

    @property
    def batch_per_core(self) -> int:
        """Samples of a step on one core."""
        return self.run.batch // self.accelerator.chip.cores

    def by_layer(self, layers: Sequence[str], value: Callable[[LayerRow], float]) -> tuple[float, ...]:
        """Return a value of each layer, summed over its phases."""
        sums = dict.fromkeys(layers, 0.0)
        for row in self.run.rows:
            sums[row.name] += value(row)
        return tuple(sums.values())


@dataclass(frozen=True, kw_only=True)
class WorkloadRuns:
    """All runs of one network, the known schedules in their order, then the others; ``key`` is for names of files."""

    title: str
    runs: tuple[Shown, ...]
    key: str = ""
    compared_with: Shown | None = None

    def reference(self, shown: Shown) -> Shown:
        """Return the run that the ratios of ``shown`` are to.

        It is ``compared_with``, or among the runs of the same machine and engine the first of `baseline`, or else the
        first: figures of different machines or engines have no common reference.
        """
        if self.compared_with is not None:
            return self.compared_with
        alike = [each for each in self.runs if _conditions(each) == _conditions(shown)]
        return next((each for each in alike if each.run.schedule == "baseline"), alike[0])

    @property
    def reference_name(self) -> str:
        """What ratios are to: the label of a run, or the rule if runs have several references."""
        labels = {self.reference(shown).label for shown in self.runs}
        return OWN_REFERENCE if len(labels) > 1 else labels.pop()

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the network in order."""
        return tuple(dict.fromkeys(row.name for row in self.runs[0].run.rows))


@dataclass(frozen=True, kw_only=True)
class Report:
    """The data of a report: runs by network, and sweeps."""

    cases: tuple[WorkloadRuns, ...]
    sweeps: tuple[SweepTable, ...] = ()


def _conditions(shown: Shown) -> tuple[Accelerator, str]:
    """Return what two runs must share so that a ratio of theirs is one of schedules."""
    return shown.accelerator, shown.run.engine


def left_out(case: WorkloadRuns, drawn: Sequence[Shown], reason: str) -> tuple[str, ...]:
    """Return a note that says which runs of a network a picture leaves out, and why; none if it shows all."""
    missing = [shown.label for shown in case.runs if shown not in drawn]
    if not missing:
        return ()
    return (f"Not drawn: {'; '.join(missing)}. {reason}" if drawn else reason,)


def load(paths: Sequence[Path]) -> Report:
    """Read runs and sweeps from files and folders; a folder may be that of one, or hold such folders.

    Raises `FileError` for a path that holds none or cannot be read, `InputError` for a file that is not what
    its name says.
    """
    found = [each for path in _unrolled(paths) for each in _read(path)]
    used: set[str] = set()
    return Report(
        cases=tuple(cases(each for each in found if isinstance(each, Shown))),
        sweeps=tuple(
            replace(each, key=_key(each.summary.name, used)) for each in found if isinstance(each, SweepTable)
        ),
    )


def cases_of_command(runs: Iterable[Run]) -> tuple[WorkloadRuns, ...]:
    """Put the runs of one command together by network, in their order, each network's compared with its first."""
    found = cases([_of_run(run, "") for run in runs], rank=lambda shown: 0)
    return tuple(replace(case, compared_with=case.runs[0]) for case in found)


def cases(runs: Iterable[Shown], rank: Callable[[Shown], int] | None = None) -> Iterator[WorkloadRuns]:
    """Put runs together by network, in the order in which the networks come, and label them.

    Those of a network are sorted by ``rank``, by default in the order of the known schedules.
    """
    by_network: dict[tuple[str, str], list[Shown]] = {}
    for shown in runs:
        network = shown.run.workload, shown.run.manifest.hashes.get("workload", "")
        by_network.setdefault(network, []).append(shown)
    names = [name for name, _ in by_network]
    used: set[str] = set()
    for (name, _), found in by_network.items():
        title = name if names.count(name) == 1 else _told_apart(name, found[0].run)
        yield WorkloadRuns(title=title, runs=labelled(sorted(found, key=rank or _rank)), key=_key(title, used))


def labelled(runs: Sequence[Shown]) -> tuple[Shown, ...]:
    """Label runs of one network by schedule and by whatever else differs between them, if need be by path."""
    traits = [_traits(shown.run) for shown in runs]
    varying = [at for at in range(1, len(traits[0])) if len({each[at] for each in traits}) > 1]
    labels = [", ".join([each[0], *(each[at] for at in varying if each[at])]) for each in traits]
    for name in (lambda source: Path(source).name, str):
        doubled = {label for label in labels if labels.count(label) > 1}
        labels = [
            f"{label} ({name(shown.source)})" if label in doubled else label
            for shown, label in zip(runs, labels, strict=True)
        ]
    return tuple(replace(shown, label=label) for shown, label in zip(runs, labels, strict=True))


def _traits(run: Run) -> tuple[str, ...]:
    """Return the properties that can differ between runs of one network, the schedule first."""
    settings = run.manifest.settings
    lists = (settings.get(key) for key in ("set", "choices"))
    return (
        run.schedule,
        run.memory,
        run.accelerator,
        f"{run.batch} samples",
        *(", ".join(map(str, given)) if isinstance(given, list) else "" for given in lists),
        f"{run.engine} engine",
    )


def _told_apart(name: str, run: Run) -> str:
    """Return a network's name with its options, for use where another has the same name."""
    options = run.manifest.settings.get("options")
    given = ", ".join(f"{key}={value}" for key, value in options.items()) if isinstance(options, dict) else ""
    return f"{name} ({given or run.manifest.hashes.get('workload', '')[:8]})"


def _key(title: str, used: set[str]) -> str:
    """Return a name that every file system accepts and that is not in ``used``, and add it there."""
    plain = re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-")[:40] or "network"
    key = next(key for at in count(1) if (key := plain if at == 1 else f"{plain}-{at}") not in used)
    used.add(key)
    return key


def _rank(shown: Shown) -> int:
    known = list(COLOURS)
    return known.index(shown.run.schedule) if shown.run.schedule in known else len(known)


def _unrolled(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield every file and folder of runs, each once.  Raises `FileError` for a path that is neither."""
    seen: set[Path] = set()
    for path in paths:
        for found in _runs_at(path):
            if found.resolve() not in seen:
                seen.add(found.resolve())
                yield found


def _runs_at(path: Path) -> list[Path]:
    try:
        if path.is_file() or _holds(path):
            return [path]
        if not path.exists():
            raise FileError(str(path), "there is no such file or folder", HINT)
        inside = sorted(filter(_holds, path.iterdir()))
    except OSError as error:
        raise FileError(str(path), f"cannot be read ({error.strerror})", HINT) from error
    if not inside:
        raise FileError(str(path), "holds no run and no sweep", HINT)
    return inside


def _holds(folder: Path) -> bool:
    """Whether a folder is that of a run or of a sweep."""
    return any((folder / name).exists() for name in (RUN, SPEC, POINTS))


def _read(path: Path) -> Sequence[Shown | SweepTable]:
    """Return the runs of a file, or the run or sweep of a folder."""
    if path.is_file():
        content = _json(path)
        if isinstance(content, list):
            if not content:
                raise FileError(str(path), "is an empty list of runs", HINT)
            return [_shown(each, f"{path}[{at}]") for at, each in enumerate(content)]
        return [_shown(content, str(path))]
    return [_run(path) if (path / RUN).exists() else _sweep(path)]


def _run(folder: Path) -> Shown:
    """Return the run of a folder, with its tables."""
    if not (folder / "manifest.json").exists():
        raise FileError(str(folder), "has no manifest.json: the run was not finished", "making the run again")
    shown = _shown(_json(folder / RUN), str(folder / RUN))
    footprints, occupancy = folder / FOOTPRINTS, folder / OCCUPANCY
    return replace(
        shown,
        source=str(folder),
        footprints=parse_footprints(_text(footprints), str(footprints)) if footprints.exists() else (),
        occupancy=parse_occupancy(_text(occupancy), str(occupancy)) if occupancy.exists() else None,
    )


def _sweep(folder: Path) -> SweepTable:
    points, about = folder / POINTS, folder / SUMMARY
    for file in (points, about):
        if not file.exists():
            what = f"has no {file.name}: the sweep was not finished"
            raise FileError(str(folder), what, "the same wavecore sweep again, which goes on where it stopped")
    summary = parse_summary(_json(about), str(about))
    return SweepTable(summary=summary, rows=parse_points(_text(points), summary, str(points)), source=str(folder))


def _shown(value: object, where: str) -> Shown:
    return _of_run(from_dict(value, where), where)


def _of_run(run: Run, where: str) -> Shown:
    accelerator = build(Accelerator, run.manifest.machine, f"{where}: manifest.machine")
    return Shown(run=run, accelerator=accelerator, source=where)


def _text(path: Path) -> str:
    try:
        return read_file(path, hint=HINT).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileError(str(path), f"is not a text file (byte {error.start} is not UTF-8)", HINT) from error


def _json(path: Path) -> Any:
    text = _text(path)
    if not text.strip():
        raise FileError(str(path), "is empty", HINT)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if not text[error.pos :].strip() or text.rstrip()[-1] not in "}]":
            raise FileError(str(path), "ends too early: it was cut off", "making the run again") from error
        raise FileError(f"{path}:{error.lineno}", f"is not JSON: {error.msg}", HINT) from error
    except (RecursionError, ValueError) as error:  # nested thousands deep, or an integer of thousands of digits
        raise FileError(str(path), "is no JSON that a run could be", HINT) from error


def parse_occupancy(text: str, where: str) -> Occupancy:
    """Read a table of (cycle, core, used_bytes); `InputError`, located at ``where``:LINE, for anything else."""
    reader = csv.reader(text.splitlines())
    if next(reader, []) != OCCUPANCY_COLUMNS:
        raise InputError(f"{where}:1", "is no table of occupancy", f"the columns {','.join(OCCUPANCY_COLUMNS)}")
    found: dict[int, list[tuple[int, int]]] = {}
    for cells in reader:
        try:
            cycle, core, used = map(int, cells)
        except ValueError as error:
            raise InputError(
                f"{where}:{reader.line_num}", f"{','.join(cells)!r} is no occupancy", "making the run again"
            ) from error
        found.setdefault(core, []).append((cycle, used))
    return {core: tuple(steps) for core, steps in sorted(found.items())}
