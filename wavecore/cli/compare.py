"""``wavecore compare``: run several schedules and compare them in a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.inputs import check_schedule, load_case, load_machine
from wavecore.cli.messages import say
from wavecore.cli.options import Batch, EngineOption, Force, Json, MachineOptions, NetworkOptions, grouped
from wavecore.cli.progress import progress
from wavecore.cli.run import run_case
from wavecore.cli.sparsity import SparsityCases, compare_sparsity
from wavecore.cli.tables import amount, heading, show, table
from wavecore.cli.uncertainty import Uncertainty, refuse_json, uncertainty_tables
from wavecore.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.results.run import Run

Workloads = Annotated[
    list[str],
    typer.Argument(metavar="WORKLOAD...", help="Registered networks, or files as for run.", show_default=False),
]
SchedulesOption = Annotated[
    str | None,
    typer.Option(
        "--schedules",
        metavar="A,B,...",
        help="Schedules or saved plans; ratios are to the first.  [default: all schedules]",
        show_default=False,
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw a bar chart into a .png, .svg or .pdf file.", show_default=False),
]

COLUMNS = (
    "schedule",
    "step_seconds",
    "compare.speedup",
    "dram_bytes.total",
    "compare.dram_ratio",
    "energy_joules.total",
    "compare.energy_ratio",
    "array_utilization",
)


@grouped
def compare(
    *,
    workloads: Workloads,
    machine: MachineOptions,
    network: NetworkOptions,
    schedules: SchedulesOption = None,
    batch: Batch = None,
    engine: EngineOption = "event",
    plot: PlotOption = None,
    force: Force = False,
    uncertainty: Uncertainty = False,
    json: Json = False,
) -> None:
    """Run several schedules and compare each with the first: time, DRAM traffic and energy."""
    from wavecore.simulation import find_engine

    find_engine(engine)
    refuse_json(uncertainty, json, "compare")
    names = schedule_list(schedules)
    loaded = load_machine(machine)
    if network.sparsity is not None:
        if uncertainty:
            raise InputError(
                "--uncertainty", "is not for profiles side by side", "wavecore energy, with one --sparsity"
            )
        compare_sparsity(SparsityCases(workloads, network, loaded), names, batch, engine, plot, json)
        return
    cases = [load_case(name, network) for name in dict.fromkeys(workloads)]
    if plot is not None:
        check_plot(plot, force)
    with progress(len(cases) * len(names)) as shown:
        runs = [run_case(case, loaded, name, batch, engine, shown)[0] for case in cases for name in names]
    if plot is not None:
        from wavecore.pictures.static import draw_sheet
        from wavecore.report.contents import compared

        draw_sheet([compared(runs)], plot)
        say(f"written to {plot}")
    if json:
        from wavecore.results.folder import json_text
        from wavecore.results.run import to_dict

        sys.stdout.write(json_text([to_dict(run) for run in runs]))
    else:
        show(comparison([runs[at : at + len(names)] for at in range(0, len(runs), len(names))]))
        if uncertainty:
            show(uncertainty_tables(runs, loaded))


def schedule_list(schedules: str | None) -> list[str]:
    """Return the schedules of a comma-separated list, each once; all registered ones for None.

    Raises `InputError` if the list is empty, or a name is neither a registered schedule nor a file.
    """
    from wavecore.simulation import schedule_names

    if schedules is None:
        return list(schedule_names())
    names = list(dict.fromkeys(name.strip() for name in schedules.split(",") if name.strip()))
    if not names:
        raise InputError("--schedules", "names no schedule", ",".join(schedule_names()))
    for name in names:
        check_schedule(name, "--schedules")
    return names


def check_plot(path: Path, force: bool) -> None:
    """Raise an `InputError` if no picture can be written at ``path``."""
    from wavecore.common.files import writable_file
    from wavecore.pictures.static import FORMATS

    if path.suffix.lower() not in FORMATS:
        raise InputError("--plot", f"{path} is no {' or '.join(FORMATS)} file", f"{path.stem or 'picture'}.png")
    writable_file(path, replace=force)


def comparison(by_workload: list[list[Run]]) -> Iterator[RenderableType]:
    """Yield a table for each workload, with ratios to its first run, and the mean ratios of several workloads."""
    headings = _headings(by_workload[0][0].schedule)
    for runs in by_workload:
        first = runs[0]
        title = (
            f"{first.workload} on {first.accelerator} with {first.memory}: "
            f"one training step of {first.batch} samples ({first.engine} engine)"
        )
        yield table(title, headings, [_row(run, first) for run in runs], right=headings[1:])
    if len(by_workload) > 1:
        yield _means(by_workload)
    yield f"ratios are to {by_workload[0][0].schedule}; what a figure means: wavecore explain METRIC"


def _headings(first: str) -> list[str]:
    """Return the column titles, with the name of the first schedule in those of ratios."""
    return [heading(name).replace("first", first) for name in COLUMNS]


def ratios(run: Run, first: Run) -> dict[str, float]:
    """Return the metrics ``compare.*`` of a run against the first run of its workload."""
    return {
        "compare.speedup": first.step_seconds / run.step_seconds,
        "compare.dram_ratio": run.dram_bytes.total / first.dram_bytes.total,
        "compare.energy_ratio": run.energy_joules.total / first.energy_joules.total,
    }


def _row(run: Run, first: Run) -> list[str]:
    values: dict[str, float] = {
        "step_seconds": run.step_seconds,
        "dram_bytes.total": run.dram_bytes.total,
        "energy_joules.total": run.energy_joules.total,
        "array_utilization": run.array_utilization,
        **ratios(run, first),
    }
    return [run.schedule, *(amount(name, values[name]) for name in COLUMNS[1:])]


def _means(by_workload: list[list[Run]]) -> RenderableType:
    """Make the table of the ratios' arithmetic means over the workloads."""
    names = ("compare.speedup", "compare.dram_ratio", "compare.energy_ratio")
    rows = []
    for at, run in enumerate(by_workload[0]):
        each = [ratios(runs[at], runs[0]) for runs in by_workload]
        rows.append([run.schedule, *(amount(name, fsum(one[name] for one in each) / len(each)) for name in names)])
    columns = ["schedule", "speed-up", "DRAM traffic", "energy"]
    return table(f"mean ratios over {len(by_workload)} workloads", columns, rows, right=columns[1:])
