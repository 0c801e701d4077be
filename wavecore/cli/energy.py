"""``wavecore energy``: the energy of training steps by component, phase and layer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.compare import PlotOption, Workloads, check_plot, schedule_list
from wavecore.cli.energytables import energy_tables
from wavecore.cli.inputs import LoadedMachine, LoadedWorkload, load_case, load_machine, whole_number
from wavecore.cli.messages import say
from wavecore.cli.options import Batch, EngineOption, Force, Json, MachineOptions, NetworkOptions, grouped
from wavecore.cli.progress import progress
from wavecore.cli.run import run_case
from wavecore.cli.tables import show
from wavecore.cli.uncertainty import Uncertainty, uncertainty_tables, uncertainty_values
from wavecore.errors import InputError, NameLookupError

if TYPE_CHECKING:
    from wavecore.results.energy_report import Epoch
    from wavecore.results.run import Run

LARGEST_EPOCH = 10**12
IMAGENET_CLASSES = 1000

SchedulesOption = Annotated[
    str, typer.Option("--schedules", metavar="A,B,...", help="Schedules or plans; ratios are to the first.")
]
Memories = Annotated[
    str | None,
    typer.Option(
        "--memories",
        metavar="A,B,...",
        help="Memories, by name or file; each schedule runs with each of them.  [default: the accelerator's own]",
        show_default=False,
    ),
]
EpochSamples = Annotated[
    str | None,
    typer.Option(
        "--epoch-samples",
        metavar="N",
        help="Samples of the data set.  [default: ImageNet's 1281167, for networks with 1000 classes]",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Print all layers, not only those that take most energy.")]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write a row per layer and phase to FILE.", show_default=False),
]


@grouped
def energy(
    *,
    workloads: Workloads,
    machine: MachineOptions,
    network: NetworkOptions,
    schedules: SchedulesOption = "baseline,mbs2",
    memories: Memories = None,
    batch: Batch = None,
    engine: EngineOption = "event",
    epoch_samples: EpochSamples = None,
    all_layers: All = False,
    plot: PlotOption = None,
    csv: Csv = None,
    force: Force = False,
    uncertainty: Uncertainty = False,
    json: Json = False,
) -> None:
    """Report energy per step, sample and epoch; by component, phase and layer; and every constant with its source."""
    from wavecore.common.files import writable_file, write_file
    from wavecore.results.energy_report import energy_csv, energy_report, to_dict
    from wavecore.results.folder import json_text
    from wavecore.simulation import find_engine

    find_engine(engine)
    names = schedule_list(schedules)
    machines = load_machines(machine, memories)
    cases = [load_case(name, network) for name in dict.fromkeys(workloads)]
    epochs = [_epoch(case, epoch_samples) for case in cases]
    if plot is not None:
        check_plot(plot, force)
    if csv is not None:
        writable_file(csv, replace=force)
    todo = [
        (case, epoch, name, each)
        for case, epoch in zip(cases, epochs, strict=True)
        for each in machines
        for name in names
    ]
    with progress(len(todo)) as shown:
        runs = [run_case(case, each, name, batch, engine, shown)[0] for case, _, name, each in todo]
    reports = [energy_report(run, epoch) for run, (_, epoch, _, _) in zip(runs, todo, strict=True)]
    if plot is not None:
        from wavecore.pictures.static import draw_sheet
        from wavecore.report.contents import energies

        draw_sheet([energies(runs)], plot)
        say(f"written to {plot}")
    if csv is not None:
        write_file(csv, energy_csv(runs))
        say(f"written to {csv}")
    more = _uncertainty(runs, [each for _, _, _, each in todo], len(names)) if uncertainty else []
    if json:
        found = [{"uncertainty": uncertainty_values(*each)} for each in more]
        values = [found[at // len(names)] if found else {} for at in range(len(runs))]
        sys.stdout.write(json_text([to_dict(each) | also for each, also in zip(reports, values, strict=True)]))
        return
    show(energy_tables(reports, all_layers))
    for own, loaded in more:
        show(uncertainty_tables(own, loaded))


def _uncertainty(
    runs: Sequence[Run], machines: Sequence[LoadedMachine], schedules: int
) -> list[tuple[Sequence[Run], LoadedMachine]]:
    """Return the runs of each workload on each machine, which follow each other, and that machine."""
    return [(runs[at : at + schedules], machines[at]) for at in range(0, len(runs), schedules)]


def load_machines(options: MachineOptions, memories: str | None) -> list[LoadedMachine]:
    """Load the accelerator with each memory of a comma-separated list.

    Raises `InputError` for a name or a file that is wrong, or if ``options`` also name a memory.
    """
    if memories is not None and options.memory is not None:
        raise InputError("--memory", "is given with --memories", "one of them")
    names = _names(memories) if memories is not None else [options.memory]
    with _relocated({"--memory": "--memories"} if memories else {}):
        return [load_machine(replace(options, memory=name)) for name in names]


def _names(listed: str) -> list[str | None]:
    """Return the memories of a comma-separated list, each once; raise `InputError` if there are none."""
    names = list(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    if not names:
        from wavecore.hardware.config import available

        raise InputError("--memories", "names no memory", ",".join(available("memories")))
    return [*names]


@contextmanager
def _relocated(places: Mapping[str, str]) -> Iterator[None]:
    """Replace the place of a `NameLookupError` by the option of this command that gave the name."""
    try:
        yield
    except NameLookupError as error:
        raise NameLookupError(places.get(error.where, error.where), error.what, error.hint) from error


def _epoch(case: LoadedWorkload, given: str | None) -> Epoch | None:
    """Return the samples of an epoch: as given, else ImageNet's for a workload with 1000 classes, else None."""
    from wavecore.network.catalog import workload_names, workload_options
    from wavecore.results.energy_report import IMAGENET, Epoch

    if given is not None:
        return Epoch(whole_number("--epoch-samples", given, 1, LARGEST_EPOCH), "--epoch-samples")
    name = case.info.name
    options = {**workload_options(name), **case.options} if name in workload_names() else {}
    return IMAGENET if options.get("classes") == IMAGENET_CLASSES else None
