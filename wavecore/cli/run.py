"""``wavecore run``: one training step."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecore.cli.inputs import Case, Machine, check_schedule, load_case, load_machine, load_or_make_plan
from wavecore.cli.messages import say
from wavecore.cli.options import (
    Batch,
    Engine,
    Force,
    Json,
    MachineOptions,
    NetworkOptions,
    Schedule,
    WorkloadName,
    grouped,
)
from wavecore.cli.progress import Progress, progress
from wavecore.errors import unknown_name

if TYPE_CHECKING:
    from wavecore.plan import Plan
    from wavecore.results import Run
    from wavecore.sim.trace import DramTrace

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write JSON, CSV and the plan there; to DIR-2, ... if DIR holds a run.",
        show_default=False,
    ),
]


Trace = Annotated[
    Path | None,
    typer.Option(
        "--dram-trace",
        metavar="FILE",
        help="Write every DRAM access there, 64 bytes a line: gigabytes for a large network.",
        show_default=False,
    ),
]
TraceFormat = Annotated[
    str, typer.Option("--dram-trace-format", metavar="ramulator2|dramsim3", help="For which simulator.")
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
    dram_trace: Trace = None,
    dram_trace_format: TraceFormat = "ramulator2",
    force: Force = False,
    json: Json = False,
) -> None:
    """Simulate one training step: time, DRAM traffic, utilization and energy."""
    from wavecore.simulation import find_engine

    find_engine(engine)
    check_schedule(schedule)
    loaded = load_machine(machine)
    case = load_case(workload, network)
    with ExitStack() as files:
        trace = None if dram_trace is None else files.enter_context(_trace(dram_trace, dram_trace_format, force))
        find_engine(engine, trace)
        write = None if out is None else files.enter_context(_folder(out))
        with progress() as shown:
            result, plan = run_case(case, loaded, schedule, batch, engine, shown, trace)
        if write is not None:
            _say_where(write(result, plan), out)
    if trace is not None:
        say(f"written to {dram_trace}: {trace.accesses} accesses of 64 bytes")
    _print(result, json)


def run_case(
    case: Case,
    machine: Machine,
    schedule: str,
    batch: str | None,
    engine: str,
    shown: Progress,
    trace: DramTrace | None = None,
) -> tuple[Run, Plan]:
    """Plan and simulate one step; the run's manifest says what was asked for."""
    from wavecore.simulation import simulate

    share = shown.step(f"planning {case.info.name} {schedule}")
    plan = load_or_make_plan(schedule, case, machine, batch)
    shown.rename(f"simulating {case.info.name} {plan.schedule}")
    settings = {
        "workload": case.info.name,
        "options": dict(case.options),
        "schedule": schedule,
        "batch": batch,
        "choices": list(case.choices),
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
        dram_probe=trace,
    )
    return result, plan


def _trace(path: Path, trace_format: str, force: bool) -> AbstractContextManager[DramTrace]:
    """A trace that will be written to ``path``; InputError at once if it cannot be."""
    from wavecore.dram import TRACE_FORMATS
    from wavecore.output import writable_file
    from wavecore.sim.trace import dram_trace

    known = {name: name for name in TRACE_FORMATS}
    if trace_format not in known:
        raise unknown_name("--dram-trace-format", "trace format", trace_format, known)
    writable_file(path, replace=force)
    return dram_trace(path, known[trace_format])


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
