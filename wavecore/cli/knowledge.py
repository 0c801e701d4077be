"""``wavecore list`` and ``wavecore explain``: print what is registered, and the definitions of metrics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from wavecore.cli.messages import say
from wavecore.cli.options import Json
from wavecore.errors import WavecoreError, unknown_name

Rows = list[dict[str, Any]]

KindName = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="workloads, schedules, accelerators, memories, engines, methods or metrics.",
        show_default=False,
    ),
]


def list_registered(kind: KindName, json: Json = False) -> None:
    """List what is registered: workloads, schedules, accelerators, memories, engines, methods or metrics."""
    if kind not in KINDS:
        raise unknown_name("list", "kind", kind, KINDS)
    rows = KINDS[kind]()
    if json:
        from wavecore.results.folder import json_text

        sys.stdout.write(json_text(rows))
        return
    from wavecore.cli.tables import show, table

    columns = [name for name, value in rows[0].items() if not isinstance(value, dict)]
    numbers = [name for name in columns if isinstance(rows[0][name], int | float)]
    show([table("", columns, [[_cell(row[name]) for name in columns] for row in rows], right=numbers)])


def explain(
    metric: Annotated[
        list[str],
        typer.Argument(
            metavar="METRIC",
            help="A metric of wavecore list metrics, a section (dram_bytes), a label of a table, or a word: EDP.",
            show_default=False,
        ),
    ],
    json: Json = False,
) -> None:
    """Print the definition, formula and unit of a metric."""
    from wavecore.results.words import explain as look_up

    found = look_up(" ".join(metric))
    if json:
        from wavecore.results.folder import json_text

        sys.stdout.write(json_text([asdict(each) for each in found]))
        return
    for each in found:
        unit = f" [{each.unit}]" if each.unit else ""
        print(f"{each.name}{unit}\n    {each.definition}")
        if each.formula:
            print(f"    = {each.formula}")


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def _warn(errors: Iterable[WavecoreError]) -> None:
    """Say which packages are at fault; what the others register is listed."""
    for error in errors:
        say(f"warning: {error.message}")


def _workloads() -> Rows:
    from wavecore.network.catalog import broken_workloads, workload_info, workload_names, workload_options

    _warn(broken_workloads())
    rows = []
    for name in workload_names():
        info = workload_info(name)
        rows.append(
            {
                "name": name,
                "parameters": info.published.parameters if info.published else None,
                "forward_gmacs": info.published.forward_gmacs if info.published else None,
                "batch_per_core": info.batch_per_core,
                "summary": info.summary,
                "options": dict(workload_options(name)),
            }
        )
    return rows


def _schedules() -> Rows:
    from wavecore.simulation import broken_schedules, find_schedule, schedule_names

    _warn(broken_schedules())
    return [{"name": name, "summary": find_schedule(name).summary} for name in schedule_names()]


def _accelerators() -> Rows:
    from wavecore.common.units import format_bytes, format_hz
    from wavecore.hardware.config import available, load_accelerator
    from wavecore.hardware.registered import broken

    _warn(broken("accelerators"))
    rows = []
    for name in available("accelerators"):
        each = load_accelerator(name)
        rows.append(
            {
                "name": name,
                "cores": each.chip.cores,
                "array": f"{each.array.rows}x{each.array.columns}",
                "clock": format_hz(each.chip.clock_hz),
                "global_buffer": format_bytes(each.core.global_buffer_bytes),
                "memory": each.memory.name,
            }
        )
    return rows


def _memories() -> Rows:
    from wavecore.common.units import format_joules, format_rate
    from wavecore.hardware.config import available, load_accelerator
    from wavecore.hardware.registered import broken

    _warn(broken("memories"))
    rows = []
    for name in available("memories"):
        each = load_accelerator(memory=name).memory
        rows.append(
            {
                "name": name,
                "bandwidth": format_rate(each.bandwidth_bytes_per_second),
                "channels": each.channels,
                "energy": f"{format_joules(each.energy_joules_per_bit)}/bit",
            }
        )
    return rows


def _engines() -> Rows:
    return [
        {"name": "event", "summary": "simulates every step of every command and its DRAM requests, on all cores"},
        {
            "name": "analytic",
            "summary": "times each command in closed form, in milliseconds; moves the same DRAM bytes",
        },
    ]


def _methods() -> Rows:
    from wavecore.methods.registry import METHODS

    return [
        {"name": each.name, "networks": ", ".join(each.networks), "summary": each.summary, "source": each.source}
        for each in METHODS.values()
    ]


def _metrics() -> Rows:
    from wavecore.results.metrics import METRICS

    return [{"name": each.name, "unit": each.unit, "definition": each.definition} for each in METRICS.values()]


KINDS: dict[str, Callable[[], Rows]] = {
    "workloads": _workloads,
    "schedules": _schedules,
    "accelerators": _accelerators,
    "memories": _memories,
    "engines": _engines,
    "methods": _methods,
    "metrics": _metrics,
}
