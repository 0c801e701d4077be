"""``wavecore compare --sparsity``: compare the dense network with sparsity profiles of it, in one table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wavecore.cli.inputs import LoadedMachine, LoadedWorkload, load_case
from wavecore.cli.options import NetworkOptions
from wavecore.cli.progress import progress
from wavecore.cli.run import run_case
from wavecore.cli.tables import amount, heading, show, table
from wavecore.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.hardware.specs import Accelerator
    from wavecore.results.run import Run

COLUMNS = ("step_seconds", "dram_bytes.total", "energy_joules.total")
RATIOS = ("speed-up", "of dense", "of dense", "MACs", "effectual")
MARK = "*"  # after the name of a network that runs with the accelerator's options of section sparsity


@dataclass(frozen=True, slots=True)
class SparsityCases:
    """What to compare: workloads, the options with the files of ``--sparsity``, and the accelerator."""

    workloads: list[str]
    network: NetworkOptions
    machine: LoadedMachine

    def cases(self) -> list[tuple[str, LoadedWorkload, LoadedMachine]]:
        """Return (label, workload, accelerator) of the dense network, then of each profile.

        If the accelerator has sparsity options on, each profile comes first without them and then with them.  Raises
        `InputError` for several workloads, for no file, or for profiles with different options of the workload.
        """
        if len(set(self.workloads)) > 1:
            raise InputError("--sparsity", "is of one workload", f"wavecore compare {self.workloads[0]} --sparsity ...")
        name = self.workloads[0]
        files = list(dict.fromkeys(file.strip() for file in (self.network.sparsity or "").split(",") if file.strip()))
        if not files:
            raise InputError("--sparsity", "names no file", "a.toml,b.toml")
        loaded = [load_case(name, replace(self.network, sparsity=file)) for file in files]
        options = loaded[0].options
        for file, case in zip(files, loaded, strict=True):
            if case.options != options:
                what = f"{file} is of other options of {name} than {files[0]}"
                raise InputError("--sparsity", what, "comparing them apart, each with its own dense network")
        given = [f"{key}={value}" for key, value in options.items() if key not in ("image", "classes", "width")]
        sizes = {key: str(options[key]) for key in ("image", "classes", "width") if key in options}
        built = replace(self.network, sparsity=None, others=given)
        dense = load_case(name, replace(built, **sizes))  # type: ignore[arg-type]
        found = [("dense", dense, self.machine)]
        on = _options_on(self.machine)
        plain = replace(self.machine, accelerator=_without(self.machine)) if on else self.machine
        names = [case.profile.name for case in loaded if case.profile is not None]
        for file, label, case in zip(files, names, loaded, strict=True):
            shown = label if names.count(label) == 1 else f"{label} ({file})"
            found.append((shown, case, plain))
            if on:
                found.append((shown + MARK, case, self.machine))
        return found


def _options_on(machine: LoadedMachine) -> list[str]:
    """Return the names of the accelerator's sparsity options that are on."""
    sparsity = machine.accelerator.sparsity
    return [each.name for each in fields(sparsity) if getattr(sparsity, each.name)]


def _without(machine: LoadedMachine) -> Accelerator:
    """Return the accelerator with all sparsity options off."""
    from wavecore.hardware.specs import SparsitySpec

    return replace(machine.accelerator, sparsity=SparsitySpec())


def compare_sparsity(
    wanted: SparsityCases, schedules: list[str], batch: str | None, engine: str, plot: Path | None, json: bool
) -> None:
    """Run the dense network and every profile under every schedule; print one table, or JSON.

    Raises `InputError` if ``plot`` is given.
    """
    if plot is not None:
        raise InputError("--plot", "does not draw profiles", "leaving it out, or --sparsity")
    cases = wanted.cases()
    with progress(len(cases) * len(schedules)) as shown:
        runs = [
            (label, run_case(case, machine, name, batch, engine, shown)[0])
            for name in schedules
            for label, case, machine in cases
        ]
    if json:
        from wavecore.results.folder import json_text
        from wavecore.results.run import to_dict

        sys.stdout.write(json_text([to_dict(run) for _, run in runs]))
    else:
        show(sparsity_table(runs, _options_on(wanted.machine)))


def sparsity_table(runs: list[tuple[str, Run]], options: list[str]) -> Iterator[RenderableType]:
    """Yield a table with a row per schedule and profile; ratios are to the dense network under the same schedule."""
    first = runs[0][1]
    time, dram, energy = map(heading, COLUMNS)
    columns = ["schedule", "network", time, RATIOS[0], dram, RATIOS[1], energy, RATIOS[2], *RATIOS[3:]]
    dense = {run.schedule: run for label, run in runs if label == "dense"}
    title = (
        f"{first.workload} on {first.accelerator} with {first.memory}: "
        f"one training step of {first.batch} samples ({first.engine} engine)"
    )
    rows = [[run.schedule, label, *_cells(run, dense[run.schedule])] for label, run in runs]
    yield table(title, columns, rows, right=columns[2:])
    if options:
        yield f"{MARK} with {', '.join(f'sparsity.{name}' for name in options)}"
    yield (
        "ratios are to the dense network under the same schedule; effectual: the MACs of which neither operand is "
        "zero, all that an ideal machine would do"
    )


def _cells(run: Run, dense: Run) -> list[str]:
    values = (run.step_seconds, run.dram_bytes.total, run.energy_joules.total)
    time, dram, energy = (amount(name, value) for name, value in zip(COLUMNS, values, strict=True))
    ratios = (
        dense.step_seconds / run.step_seconds,
        run.dram_bytes.total / dense.dram_bytes.total,
        run.energy_joules.total / dense.energy_joules.total,
        run.macs / dense.macs,
        run.effectual_macs / dense.macs,
    )
    faster, moved, spent, macs, bound = (f"{ratio:.2f}x" for ratio in ratios)
    return [time, faster, dram, moved, energy, spent, macs, bound]
