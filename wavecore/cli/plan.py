"""``wavecore plan`` and ``wavecore program``: print a schedule's plan, and the commands that it is lowered to."""

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

    from wavecore.plan.model import Group, Plan
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
    typer.Option(
        "--out", metavar="FILE", help="Write the plan as TOML, which can be edited and run.", show_default=False
    ),
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

    A plan saved with --out can be edited and run: wavecore run WORKLOAD --schedule plan.toml
    """
    if out is not None:
        from wavecore.common.files import writable_file

        writable_file(out, replace=force)
    case, loaded, made = _plan(workload, machine, network, schedule, batch)
    if out is not None:
        from wavecore.plan.files import save_plan

        save_plan(made, out, case.file)
        say(f"written to {out}")
    if json:
        from wavecore.results.folder import json_text

        sys.stdout.write(json_text(_as_json(case, loaded, made)))
    elif toml:
        from wavecore.plan.files import plan_text

        sys.stdout.write(plan_text(made, case.file))
    elif out is None:
        show(_tables(case, loaded, made))


@grouped
def program(
    workload: WorkloadName,
    machine: MachineOptions,
    network: NetworkOptions,
    schedule: ScheduleOption = "mbs2",
    batch: Batch = None,
    queue: Annotated[
        str,
        typer.Option(
            "--queue", metavar="NAME", help="Only its lines: load, array, vector or store.", show_default=False
        ),
    ] = "",
    layer: Annotated[
        str, typer.Option("--layer", metavar="NAME", help="Only the commands of this layer.", show_default=False)
    ] = "",
    addresses: Annotated[
        bool, typer.Option("--addresses", help="Print instead where every tensor lies in DRAM, on all cores.")
    ] = False,
) -> None:
    """Print the program of core 0: its commands, with all loads, waits, posts and stores, and the queues' order.

    A legend says what the words mean; docs/program.md walks through a layer.
    """
    from wavecore.common.text import printable
    from wavecore.program.addresses import allocate
    from wavecore.program.listing import legend_lines, program_lines
    from wavecore.program.lower import lower
    from wavecore.program.queue_order import order_lines
    from wavecore.simulation import planned_graph

    case, loaded, made = _plan(workload, machine, network, schedule, batch)
    training = planned_graph(case.training, made, loaded.accelerator)
    lowered = lower(training, made, loaded.accelerator)
    if addresses:
        print(printable(str(allocate(lowered, loaded.accelerator.memory))))
        return
    listed = program_lines(lowered, queue=queue, layer=layer)
    first = next(listed)
    for line in (first, *legend_lines(), *listed, *(() if queue or layer else order_lines(lowered))):
        print(printable(line))


def _plan(
    workload: str, machine: MachineOptions, network: NetworkOptions, schedule: str, batch: str | None
) -> tuple[LoadedWorkload, LoadedMachine, Plan]:
    """Load the workload and the accelerator, and make or read the plan."""
    check_schedule(schedule)
    loaded = load_machine(machine)
    case = load_case(workload, network)
    with progress() as shown:
        shown.step(f"planning {workload} {schedule}")
        return case, loaded, load_or_make_plan(schedule, case, loaded, batch)


def _traffic(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> dict[str, int]:
    """Return the DRAM bytes of the plan by class and in total, all cores, as a run counts them."""
    from wavecore.plan.traffic import plan_traffic
    from wavecore.simulation import planned_graph
    from wavecore.training.operations import TensorClass

    moved = plan_traffic(planned_graph(case.training, made, machine.accelerator), made, machine.accelerator)
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
        "order": str(made.order),
        "groups": [_group_as_json(made, group) for group in made.groups],
        **_changes_as_json(made),
        "recurrent_weights": [
            {**asdict(each), "dram_read_bytes": each.dram_read_bytes} for each in _recurrent(case, machine, made)
        ],
        "dram_bytes": _traffic(case, machine, made),
    }


def _group_as_json(made: Plan, group: Group) -> dict[str, Any]:
    return {
        "layers": list(group.units),
        "sub_batch": group.sub_batch,
        "iterations": group.iterations(made.batch_per_core),
        "forward": {name: str(how) for name, how in sorted(group.forward.items())},
        "backward": {name: str(how) for name, how in sorted(group.backward.items())},
        "held": sorted(group.held),
    }


def _changes_as_json(made: Plan) -> dict[str, Any]:
    """Return the groups of backward, where it is cut differently, and the rewrites of the graph, where it has some."""
    from wavecore.training.rewrites import rewrite_options

    found: dict[str, Any] = {}
    if made.backward_groups is not None:
        found["backward_groups"] = [_group_as_json(made, group) for group in made.backward_groups]
    if made.rewrites:
        found["rewrites"] = [{"name": each.name, **rewrite_options(each)} for each in made.rewrites]
    return found


def _recurrent(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> list[RecurrentWeights]:
    from wavecore.plan.recurrence import recurrent_weights
    from wavecore.simulation import planned_graph

    training = planned_graph(case.training, made, machine.accelerator)
    return recurrent_weights(training, made, machine.accelerator)


def _tables(case: LoadedWorkload, machine: LoadedMachine, made: Plan) -> Iterator[RenderableType]:
    cores = machine.accelerator.chip.cores
    yield f"plan of {made.workload}, {made.schedule}: {made.batch_per_core} samples on each of {cores} cores"
    for rewrite in made.rewrites:
        yield f"after rewrite {rewrite}"
    yield _groups(made, made.groups, "" if made.backward_groups is None else " in forward")
    if made.backward_groups is not None:
        yield _groups(made, made.backward_groups, " in backward")
    recurrent = _recurrent(case, machine, made)
    if recurrent:
        yield _recurrent_table(recurrent)
    moved = _traffic(case, machine, made)
    rows = [(heading(f"dram_bytes.{name}"), amount("dram_bytes.total", value), share(value, moved["total"]))
            for name, value in moved.items() if name != "total"]  # fmt: skip
    total = ("total", amount("dram_bytes.total", moved["total"]), "")
    yield facts(heading("dram_bytes.total"), [*rows, total])


def _groups(made: Plan, cut: Sequence[Group], direction: str) -> RenderableType:
    columns = [heading(name) for name in COLUMNS]
    rows = []
    at = 0
    for line in group_lines(_summaries(made, cut)):
        groups = cut[at : at + line.groups]
        at += line.groups
        rows.append(
            [
                str(line),
                amount("groups.sub_batch", line.sub_batch),
                str(line.iterations),
                *(str(sum(len(part(group)) for group in groups)) for part in _KEPT),
            ]
        )
    title = f"{len(cut)} {'group' if len(cut) == 1 else 'groups'} of layers{direction}"
    return table(title, columns, rows, right=columns[1:])


def _recurrent_table(recurrent: Sequence[RecurrentWeights]) -> RenderableType:
    columns = ["layer", "phase", "weights", "time steps", "over the steps", "reads per core"]
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
    return table("recurrent weights", columns, rows, right=["weights", "time steps", "reads per core"])


_KEPT: Any = (lambda group: group.forward, lambda group: group.backward, lambda group: group.held)


def _summaries(made: Plan, cut: Sequence[Group]) -> list[GroupSummary]:
    from wavecore.results.run import GroupSummary

    return [
        GroupSummary(layers=group.units, sub_batch=group.sub_batch, iterations=group.iterations(made.batch_per_core))
        for group in cut
    ]
