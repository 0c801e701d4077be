"""The energy report of a run: joules by component, phase and layer, and the constants that they are computed with.

All functions are pure functions of a `results.run.Run`.  Every breakdown sums rows of the run and adds up to the run's
energy, up to the rounding of floats; `energy_report` checks that.  `to_dict` gives the JSON contract (schema
``wavecore.energy/1``), whose keys `metrics.METRICS` defines as ``energy.*``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from math import fsum, isclose
from typing import Any

from wavecore.common import units
from wavecore.common.text import csv_cells
from wavecore.common.typecheck import require
from wavecore.errors import InvariantError
from wavecore.hardware.config import machine_keys
from wavecore.results.energy import EnergyJoules
from wavecore.results.run import ROUNDING, LayerRow, Run
from wavecore.training.operations import Phase

SCHEMA = "wavecore.energy/1"
COMPONENTS = tuple(part.name for part in fields(EnergyJoules))

# The constants of the energy besides those of the energy table: DRAM's, and the factors of leakage.
OTHER_CONSTANTS = ("memory.energy", "memory.background", "chip.cores", "chip.clock", "core.global_buffer")
UNKNOWN_SOURCE = "not recorded in the run"

CSV_CASE = ("workload", "schedule", "accelerator", "memory", "engine", "batch")
CSV_ROW = ("name", "kind", "phase", "cycles", "energy_joules", *(f"energy_{part}_joules" for part in COMPONENTS))


@dataclass(frozen=True, slots=True)
class Epoch:
    """The number of samples of an epoch, and where that number comes from."""

    samples: int
    source: str


IMAGENET = Epoch(1_281_167, "training images of ImageNet's ILSVRC 2012 [Russakovsky et al., IJCV 115(3), 2015]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnergy:
    """Energy of one phase of the step, by component."""

    phase: Phase
    energy: EnergyJoules


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEnergy:
    """Energy of one layer over the whole step: by component, and in joules by phase."""

    name: str
    kind: str
    energy: EnergyJoules
    phases: Mapping[Phase, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A constant that the energy is computed with: dotted key, value in its base ``unit`` ("" for none), source."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReport:
    """The energy of one run.  ``phases`` and ``layers`` each add up to ``energy``, component by component."""

    workload: str
    schedule: str
    accelerator: str
    memory: str
    engine: str
    batch: int
    step_seconds: float
    energy: EnergyJoules
    epoch: Epoch | None
    phases: tuple[PhaseEnergy, ...]
    layers: tuple[LayerEnergy, ...]
    constants: tuple[Constant, ...]
    manifest: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<EnergyReport {self.workload} {self.schedule} on {self.accelerator}: {self.joules_per_step:.3f} J>"

    @property
    def joules_per_step(self) -> float:
        """Energy of one training step, all cores and DRAM."""
        return self.energy.total

    @property
    def joules_per_sample(self) -> float:
        """Energy of a step over the samples of its mini-batch."""
        return self.joules_per_step / self.batch

    @property
    def joules_per_epoch(self) -> float | None:
        """Energy of all samples of the data set, each at `joules_per_sample`; None if their number is unknown."""
        return None if self.epoch is None else self.joules_per_sample * self.epoch.samples

    @property
    def average_watts(self) -> float:
        """Energy of a step over its time, in watts."""
        return self.joules_per_step / self.step_seconds

    @property
    def energy_delay_joule_seconds(self) -> float:
        """Energy of a step times its time, in joule-seconds."""
        return self.joules_per_step * self.step_seconds


def energy_report(run: Run, epoch: Epoch | None = None) -> EnergyReport:
    """Make the energy report of ``run``, of `simulate`; ``epoch`` gives the samples for ``joules_per_epoch``.

    Raises `InvariantError` if a breakdown does not add up to the run's energy.
    """
    require(run, Run, "run", "wavecore.simulate(...)")
    by_layer = _grouped(run.rows, lambda row: row.name)
    by_phase = _grouped(run.rows, lambda row: row.phase)
    report = EnergyReport(
        workload=run.workload,
        schedule=run.schedule,
        accelerator=run.accelerator,
        memory=run.memory,
        engine=run.engine,
        batch=run.batch,
        step_seconds=run.step_seconds,
        energy=run.energy_joules,
        epoch=epoch,
        phases=tuple(PhaseEnergy(phase=phase, energy=_sum(by_phase.get(phase, ()))) for phase in Phase),
        layers=tuple(_layer(name, rows) for name, rows in by_layer.items()),
        constants=constants(run),
        manifest={key: getattr(run.manifest, key) for key in ("version", "hashes", "settings")},
    )
    _check(report)
    return report


def constants(run: Run) -> tuple[Constant, ...]:
    """Return every constant that the run's energy is computed with.

    Those per event come first, then the memory's and the machine's, and what the former may be derived from.
    """
    keys = machine_keys()
    energies, technology = ([key for key in keys if key.startswith(f"{part}.")] for part in ("energy", "technology"))
    found = []
    for name in (*energies, *OTHER_CONSTANTS, *technology):
        section, key = name.split(".")[0], keys[name]
        unit = units.UNITS[key.unit].symbol if key.unit else ""
        value = run.manifest.machine[section][key.field]
        source = run.manifest.sources.get(name, UNKNOWN_SOURCE)
        found.append(Constant(name=name, value=value, unit=unit, source=source))
    return tuple(found)


def to_dict(report: EnergyReport) -> dict[str, Any]:
    """Return the report for JSON, as plain values; keys that a run's JSON also has mean the same there."""
    total = report.joules_per_step
    return {
        "schema": SCHEMA,
        **{key: getattr(report, key) for key in (*CSV_CASE, "step_seconds")},
        "joules_per_step": total,
        "joules_per_sample": report.joules_per_sample,
        "joules_per_epoch": report.joules_per_epoch,
        "epoch_samples": report.epoch.samples if report.epoch else None,
        "epoch_source": report.epoch.source if report.epoch else None,
        "average_watts": report.average_watts,
        "energy_delay_joule_seconds": report.energy_delay_joule_seconds,
        "components": [
            {"component": part, "joules": joules, "share": share(joules, total)}
            for part, joules in asdict(report.energy).items()
        ],
        "phases": [{"phase": each.phase, **_parts(each.energy, total)} for each in report.phases],
        "layers": [
            {
                "name": each.name,
                "kind": each.kind,
                **_parts(each.energy, total),
                **{f"{phase}_joules": joules for phase, joules in each.phases.items()},
            }
            for each in report.layers
        ],
        "constants": [asdict(each) for each in report.constants],
        "manifest": dict(report.manifest),
    }


def energy_csv(runs: Iterable[Run]) -> str:
    """Return CSV text with a row for each layer and phase of each run: columns `CSV_CASE`, then `CSV_ROW`."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*CSV_CASE, *CSV_ROW))
    for run in runs:
        case = [getattr(run, column) for column in CSV_CASE]
        writer.writerows(csv_cells([*case, *(getattr(row, column) for column in CSV_ROW)]) for row in run.rows)
    return text.getvalue()


def share(part: float, whole: float) -> float:
    """Return ``part`` over ``whole``, 0 if ``whole`` is 0."""
    return part / whole if whole else 0.0


def _parts(energy: EnergyJoules, total: float) -> dict[str, float]:
    """Return for JSON the joules of an item, their share of ``total``, and the joules by component."""
    by_component = {f"{part}_joules": joules for part, joules in asdict(energy).items()}
    return {"joules": energy.total, "share": share(energy.total, total), **by_component}


def _grouped(rows: Iterable[LayerRow], key: Callable[[LayerRow], str]) -> dict[str, list[LayerRow]]:
    """Group rows by key, in the order in which the keys first occur."""
    groups: dict[str, list[LayerRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _sum(rows: Iterable[LayerRow]) -> EnergyJoules:
    """Return the energy of several rows, by component."""
    listed = list(rows)
    return EnergyJoules(**{part: fsum(getattr(row, f"energy_{part}_joules") for row in listed) for part in COMPONENTS})


def _layer(name: str, rows: Sequence[LayerRow]) -> LayerEnergy:
    """Sum the rows of a layer, by component and by phase."""
    phases = {phase: fsum(row.energy_joules for row in rows if row.phase == phase) for phase in Phase}
    return LayerEnergy(name=name, kind=rows[0].kind, energy=_sum(rows), phases=phases)


def _check(report: EnergyReport) -> None:
    """Raise `InvariantError` if a sum of `_sums` differs by more than rounding from what it must be."""
    for what, found, expected in _sums(report):
        if not isclose(found, expected, rel_tol=ROUNDING, abs_tol=0.0):
            where = f"{report.workload}, {report.schedule}, {report.engine} engine"
            raise InvariantError(where, f"{what} adds up to {found} J, not {expected} J", "a report of this as a bug")


def _sums(report: EnergyReport) -> Iterator[tuple[str, float, float]]:
    """Yield (description, sum, expected sum) in joules for everything that must add up."""
    for part, joules in asdict(report.energy).items():
        yield f"{part} energy of the phases", fsum(getattr(each.energy, part) for each in report.phases), joules
        yield f"{part} energy of the layers", fsum(getattr(each.energy, part) for each in report.layers), joules
    yield "energy of the components", fsum(asdict(report.energy).values()), report.joules_per_step
    for layer in report.layers:
        yield f"energy of {layer.name}'s phases", fsum(layer.phases.values()), layer.energy.total
