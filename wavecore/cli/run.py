"""``wavecore run``: one training step."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecore.cli.inputs import Case, Machine, check_schedule, load_case, load_machine, load_or_make_plan
from wavecore.cli.messages import say
from wavecore.cli.options import (
    Batch,
    Engine,
    Json,
    MachineOptions,
    NetworkOptions,
    Schedule,
    WorkloadName,
    grouped,
)
from wavecore.cli.progress import Progress, progress

if TYPE_CHECKING:
    from wavecore.plan import Plan
    from wavecore.results import Run

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write JSON, CSV and the plan there; to DIR-2, ... if DIR holds a run.",
        show_default=False,
    ),
]


@grouped
def run(
    workload: WorkloadName,
    machine: MachineOptions,
    network: NetworkOptions,
    schedule: Schedule = "mbs2",
    batch: Batch = None,
    engine: Engine = "event",
    out: Out = None,
    json: Json = False,
) -> None:
    """Simulate one training step: time, DRAM traffic, utilization and energy."""
    from wavecore.simulate import find_engine

    find_engine(engine)
    check_schedule(schedule)
    loaded = load_machine(machine)
    case = load_case(workload, network)
    with nullcontext() if out is None else _folder(out) as write:
        with progress() as shown:
            result, plan = run_case(case, loaded, schedule, batch, engine, shown)
        if write is not None:
            _say_where(write(result, plan), out)
    _print(result, json)


def run_case(
    case: Case, machine: Machine, schedule: str, batch: str | None, engine: str, shown: Progress
) -> tuple[Run, Plan]:
    """Plan and simulate one step; the run's manifest says what was asked for."""
    from wavecore.simulate import simulate

    share = shown.step(f"planning {case.info.name} {schedule}")
    plan = load_or_make_plan(schedule, case, machine, batch)
    shown.rename(f"simulating {case.info.name} {plan.schedule}")
    settings = {
        "workload": case.info.name,
        "options": dict(case.options),
        "schedule": schedule,
        "batch": batch,
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
    )
    return result, plan


def _folder(out: Path) -> Any:
    from wavecore.output import run_folder

    return run_folder(out)


def _say_where(folder: Path, asked: Path | None) -> None:
    moved = "" if asked is None or folder.resolve() == asked.resolve() else f", since {asked} holds a run already"
    say(f"written to {folder}{moved}")


def _print(result: Run, json: bool) -> None:
    if json:
        from wavecore.output import json_text
        from wavecore.results import to_dict

        sys.stdout.write(json_text(to_dict(result)))
    else:
        from wavecore.cli.report import run_report
        from wavecore.cli.tables import show

        show(run_report(result))
