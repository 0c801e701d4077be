"""``wavecore run``: simulate one training step."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecore.cli.inputs import (
    LoadedMachine,
    LoadedWorkload,
    check_schedule,
    load_case,
    load_machine,
    load_or_make_plan,
    say_starved,
    say_too_large,
)
from wavecore.cli.messages import say
from wavecore.cli.options import (
    Batch,
    EngineOption,
    Force,
    Json,
    MachineOptions,
    NetworkOptions,
    ScheduleOption,
    WorkloadName,
    grouped,
)
from wavecore.cli.progress import ProgressDisplay, progress
from wavecore.cli.tables import show
from wavecore.cli.uncertainty import Uncertainty, refuse_json, uncertainty_tables
from wavecore.cli.watching import TraceOptions, Watchers, watching
from wavecore.common.files import is_plan

if TYPE_CHECKING:
    from wavecore.engines.probe import Probe
    from wavecore.plan.model import Plan
    from wavecore.results.run import Run
    from wavecore.sparsity.profile import Profile

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write JSON, CSV and the plan to DIR, or to DIR-2, ... if DIR holds a run.",
        show_default=False,
    ),
]


@grouped
def run(
    workload: WorkloadName,
    machine: MachineOptions,
    network: NetworkOptions,
    traces: TraceOptions,
    schedule: ScheduleOption = "mbs2",
    batch: Batch = None,
    engine: EngineOption = "event",
    out: OutOption = None,
    force: Force = False,
    uncertainty: Uncertainty = False,
    json: Json = False,
) -> None:
    """Simulate one training step: time, DRAM traffic, utilization and energy."""
    from wavecore.simulation import find_engine

    find_engine(engine)
    check_schedule(schedule)
    refuse_json(uncertainty, json, "run")
    loaded = load_machine(machine)
    say_starved(loaded)
    case = load_case(workload, network)
    with ExitStack() as files:
        chosen = watching(traces, engine, loaded.accelerator, occupancy=out is not None, force=force)
        watchers = files.enter_context(chosen)
        write = None if out is None else files.enter_context(_folder(out))
        with progress() as shown:
            result, plan = run_case(case, loaded, schedule, batch, engine, shown, watchers.probe())
        watchers.finish(result)
        say_too_large(loaded, result.dram_capacity_bytes.total)
        if write is not None:
            _say_folder(write(result, plan, _tables(case, loaded, plan, watchers), case.file), out)
    _print(result, json)
    if not json:
        from wavecore.cli.bottleneck import bottleneck

        show([bottleneck(result, case, loaded, schedule, plan)])
    if uncertainty:
        show(uncertainty_tables([result], loaded))


def run_case(
    case: LoadedWorkload,
    machine: LoadedMachine,
    schedule: str,
    batch: str | None,
    engine: str,
    shown: ProgressDisplay,
    probe: Probe | None = None,
) -> tuple[Run, Plan]:
    """Plan and simulate one step; return the run, whose manifest has the options, and the plan.

    The run of a saved plan has the plan's path and the schedule that made it as its schedule.
    """
    from wavecore.simulation import simulate

    share = shown.step(f"planning {case.info.name} {schedule}")
    plan = load_or_make_plan(schedule, case, machine, batch)
    shown.rename(f"simulating {case.info.name} {plan.schedule}")
    settings = {
        "workload": case.info.name,
        "options": dict(case.options),
        **({} if case.file is None else {"file": asdict(case.file)}),
        "schedule": schedule,
        "batch": batch,
        "choices": list(case.choices),
        **({"sparsity": _sparsity(case.profile)} if case.profile is not None else {}),
        **machine.settings,
    }
    result = simulate(
        case.training,
        plan,
        machine.accelerator,
        engine=engine,
        progress=share,
        sources=machine.sources,
        settings=settings,
        probe=probe,
    )
    if is_plan(schedule):
        result = replace(result, schedule=f"{schedule} ({plan.schedule})")
    return result, plan


def _sparsity(profile: Profile) -> dict[str, str]:
    """Return what a manifest records of a sparsity profile."""
    file = {} if profile.document is None else {"file": profile.document.label}
    return {"profile": profile.name, **file, "source": profile.source, "hash": profile.digest}


def _folder(out: Path) -> Any:
    from wavecore.results.folder import run_folder

    return run_folder(out)


def _tables(case: LoadedWorkload, machine: LoadedMachine, plan: Plan, watchers: Watchers) -> dict[str, str]:
    """Return the CSV files, by name, that pictures of a run need besides its JSON."""
    from wavecore.plan.footprints import footprints, footprints_csv
    from wavecore.training.rewrites import rewritten

    training = rewritten(case.training, plan.rewrites)
    tables = {"footprints.csv": footprints_csv(footprints(training, plan, machine.accelerator))}
    if watchers.occupancy is not None:
        tables["occupancy.csv"] = watchers.occupancy.csv()
    return tables


def _say_folder(folder: Path, asked: Path | None) -> None:
    moved = "" if asked is None or folder.resolve() == asked.resolve() else f", since {asked} holds a run already"
    say(f"written to {folder}{moved}")


def _print(result: Run, json: bool) -> None:
    if json:
        from wavecore.results.folder import json_text
        from wavecore.results.run import to_dict

        sys.stdout.write(json_text(to_dict(result)))
    else:
        from wavecore.cli.report import run_report

        show(run_report(result))
