"""``wavecore plan`` and ``wavecore program``: what a schedule decides, and what the machine is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
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
)
from wavecore.cli.messages import say
from wavecore.cli.options import (
    Batch,
    Force,
    Json,
    MachineOptions,
    NetworkOptions,
    ScheduleOption,
    WorkloadName,
    grouped,
)
from wavecore.cli.progress import progress
from wavecore.cli.report import group_lines
from wavecore.cli.tables import amount, facts, heading, share, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.plan.model import Plan
    from wavecore.plan.recurrence import RecurrentWeights
    from wavecore.results.run import GroupSummary

SCHEMA = "wavecore.plan/1"
COLUMNS = (
    "groups.layers",
    "groups.sub_batch",
    "groups.iterations",
    "plan.kept_forward",
    "plan.kept_backward",
    "plan.held",
)

OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the plan as TOML, to be edited and run.", show_default=False),
]


@grouped
def plan(
    *,
    workload: WorkloadName,
    machine: MachineOptions,
    network: NetworkOptions,
    schedule: ScheduleOption = "mbs2",
    batch: Batch = None,
    out: OutOption = None,
    force: Force = False,
    toml: Annotated[bool, typer.Option("--toml", help="Print the plan as TOML.")] = False,
    json: Json = False,
) -> None:
    """Show a schedule's plan: groups, sub-batches, and what stays on chip.

    A plan that was saved with --out can be edited and run: wavecore run WORKLOAD --schedule plan.toml
    """
    if out is not None:
        from wavecore.common.files import writable_file

        writable_file(out, replace=force)
    case, loaded, made = _plan(workload, machine, network, schedule, batch)
    if out is not None:
        from wavecore.plan.files import save_plan

        save_plan(made, out)
        say(f"written to {out}")
    if json:
        from wavecore.results.folder import json_text

        sys.stdout.write(json_text(_as_json(case, loaded, made)))
    elif toml:
        from wavecore.plan.files import plan_text

        sys.stdout.write(plan_text(made))
    elif out is None:
        show(_tables(case, loaded, made))


@grouped
def program(
    workload: WorkloadName,
    machine: MachineOptions,
    network: NetworkOptions,
    schedule: ScheduleOption = "mbs2",
    batch: Batch = None,
) -> None:
    """Print the program of core 0: what its queues load, compute, await and store."""
    from wavecore.program.commands import program_lines
    from wavecore.program.lower import lower
    from wavecore.sparsity.machine import for_machine

    case, loaded, made = _plan(workload, machine, network, schedule, batch)
    for line in program_lines(lower(for_machine(case.training, loaded.accelerator), made, loaded.accelerator)):
        print(line)


def _plan(
    workload: str, machine: MachineOptions, network: NetworkOptions, schedule: str, batch: str | None
) -> tuple[LoadedWorkload, LoadedMachine, Plan]:
    check_schedule(schedule)
    loaded = load_machine(machine)
    case = load_case(workload, network)
    with progress() as shown:
        shown.step(f"planning {workload} {schedule}")
        return case, loaded, load_or_make_plan(schedule, case, loaded, batch)


def _traffic(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> dict[str, int]:
    """DRAM bytes of the plan by class, all cores together, as the run will count them."""
    from wavecore.plan.traffic import plan_traffic
    from wavecore.sparsity.machine import for_machine
    from wavecore.training.operations import TensorClass

    moved = plan_traffic(for_machine(case.training, machine.accelerator), made, machine.accelerator)
    classes = {kind.value: moved[kind, False] + moved[kind, True] for kind in TensorClass}
    return {"total": sum(classes.values()), **classes}


def _as_json(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "workload": made.workload,
        "schedule": made.schedule,
        "batch": made.batch_per_core * machine.accelerator.chip.cores,
        "batch_per_core": made.batch_per_core,
        "weight_double_buffering": made.weight_double_buffering,
        "normalization_passes": made.normalization_passes,
        "groups": [
            {
                "layers": list(group.units),
                "sub_batch": group.sub_batch,
                "iterations": group.iterations(made.batch_per_core),
                "forward": {name: str(how) for name, how in sorted(group.forward.items())},
                "backward": {name: str(how) for name, how in sorted(group.backward.items())},
                "held": sorted(group.held),
            }
            for group in made.groups
        ],
        "recurrent_weights": [
            {**asdict(each), "dram_read_bytes": each.dram_read_bytes} for each in _recurrent(case, machine, made)
        ],
        "dram_bytes": _traffic(case, machine, made),
    }


def _recurrent(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> list[RecurrentWeights]:
    from wavecore.plan.recurrence import recurrent_weights
    from wavecore.sparsity.machine import for_machine

    return recurrent_weights(for_machine(case.training, machine.accelerator), made, machine.accelerator)


def _tables(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> Iterator[RenderableType]:
    cores = machine.accelerator.chip.cores
    yield f"plan of {made.workload}, {made.schedule}: {made.batch_per_core} samples on each of {cores} cores"
    yield _groups(made)
    recurrent = _recurrent(case, machine, made)
    if recurrent:
        yield _over_time(recurrent)
    moved = _traffic(case, machine, made)
    rows = [(heading(f"dram_bytes.{name}"), amount("dram_bytes.total", value), share(value, moved["total"]))
            for name, value in moved.items() if name != "total"]  # fmt: skip
    total = ("total", amount("dram_bytes.total", moved["total"]), "")
    yield facts(heading("dram_bytes.total"), [*rows, total])


def _groups(made: Plan) -> RenderableType:
    columns = [heading(name) for name in COLUMNS]
    rows = []
    at = 0
    for line in group_lines(_summaries(made)):
        groups = made.groups[at : at + line.groups]
        at += line.groups
        rows.append(
            [
                str(line),
                amount("groups.sub_batch", line.sub_batch),
                str(line.iterations),
                *(str(sum(len(part(group)) for group in groups)) for part in _KEPT),
            ]
        )
    title = f"{len(made.groups)} {'group' if len(made.groups) == 1 else 'groups'} of layers"
    return table(title, columns, rows, right=columns[1:])


def _over_time(recurrent: Sequence[RecurrentWeights]) -> RenderableType:
    columns = ["layer", "phase", "weights", "time steps", "over the steps", "read on a core"]
    rows = [
        [
            each.layer,
            each.phase.replace("_", " "),
            amount("dram_bytes.total", each.weight_bytes),
            str(each.steps),
            "stay on chip" if each.resident else "read in each",
            f"{each.reads} x",
        ]
        for each in recurrent
    ]
    return table("recurrent weights", columns, rows, right=["weights", "time steps", "read on a core"])


_KEPT: Any = (lambda group: group.forward, lambda group: group.backward, lambda group: group.held)


def _summaries(made: Plan) -> list[GroupSummary]:
    from wavecore.results.run import GroupSummary

    return [
        GroupSummary(layers=group.units, sub_batch=group.sub_batch, iterations=group.iterations(made.batch_per_core))
        for group in made.groups
    ]
