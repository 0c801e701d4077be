"""``wavecore gemm`` and ``wavecore scalesim``: GEMMs on one systolic array, without the rest of the accelerator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavecore.cli.inputs import LoadedMachine, array_size, load_machine, whole_number
from wavecore.cli.options import Json, MachineOptions, grouped
from wavecore.cli.tables import amount, facts, heading, share, show, table
from wavecore.errors import unknown_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.hardware.scalesim import TopologyLayer
    from wavecore.hardware.specs import ArraySpec

LARGEST_SIZE = 10**12
PARTS = ("gemm.fill_cycles", "gemm.stream_cycles", "gemm.weight_gap_cycles", "gemm.drain_cycles")
FACTS = ("gemm.cycles", "gemm.seconds", "gemm.macs", "gemm.utilization", "gemm.waves", "gemm.output_tiles",
         "gemm.first_output_cycle", "gemm.last_output_cycle")  # fmt: skip
SCALESIM_COLUMNS = (
    "scalesim.layer",
    "scalesim.macs",
    "scalesim.scalesim_cycles",
    "scalesim.wavecore_cycles",
    "scalesim.difference_cycles",
    "scalesim.explanation",
)

ArraySize = Annotated[
    str | None,
    typer.Option(
        "--array", metavar="ROWSxCOLUMNS", help="Size of the array.  [default: the accelerator's]", show_default=False
    ),
]


@grouped
def gemm(
    m: Annotated[str, typer.Argument(metavar="M", help="Rows of the left operand.")],
    k: Annotated[str, typer.Argument(metavar="K", help="The dimension that is summed over.")],
    n: Annotated[str, typer.Argument(metavar="N", help="Columns of the right operand.")],
    machine: MachineOptions,
    array: ArraySize = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule", metavar="NAME", help="Schedule, which decides if a PE has one weight register or two."
        ),
    ] = "mbs2",
    json: Json = False,
) -> None:
    """Compute the cycles of one product of M x K and K x N on an idle array, exactly, in closed form."""
    sizes = [whole_number(name, text, 1, LARGEST_SIZE) for name, text in (("M", m), ("K", k), ("N", n))]
    loaded = load_machine(_with_array(machine, array))
    values = gemm_values(_array_of(loaded, schedule), loaded.accelerator.chip.clock_hz, *sizes)
    if json:
        _print_json({"schema": "wavecore.gemm/1", **_about(loaded, schedule), **values})
    else:
        show(_gemm_tables(loaded, schedule, values))


def gemm_values(array: ArraySpec, clock_hz: int, m: int, k: int, n: int) -> dict[str, Any]:
    """Return the metrics ``gemm.*`` of a product, by the last part of their names."""
    from wavecore.hardware.dataflows import dataflow_of
    from wavecore.hardware.dataflows.base import utilization

    timed = dataflow_of(array).gemm_cycles(array, m, k, n)
    return {
        "m": m,
        "k": k,
        "n": n,
        "macs": timed.macs,
        "waves": timed.tiles.waves,
        "output_tiles": timed.tiles.output_tiles,
        "cycles": timed.cycles,
        "fill_cycles": timed.fill_cycles,
        "stream_cycles": timed.stream_cycles,
        "weight_gap_cycles": timed.weight_gap_cycles,
        "drain_cycles": timed.drain_cycles,
        "first_output_cycle": timed.first_output_cycle,
        "last_output_cycle": timed.last_output_cycle,
        "utilization": utilization(array, timed),
        "seconds": timed.cycles / clock_hz,
    }


@grouped
def scalesim(
    topology: Annotated[
        Path, typer.Argument(metavar="TOPOLOGY.csv", help="A SCALE-Sim topology file.", show_default=False)
    ],
    machine: MachineOptions,
    array: ArraySize = None,
    dataflow: Annotated[str, typer.Option("--dataflow", metavar="ws|os|is", help="Dataflow of SCALE-Sim.")] = "ws",
    json: Json = False,
) -> None:
    """Compare SCALE-Sim's compute cycles with wavecore's, layer by layer."""
    from wavecore.hardware.scalesim import SCALESIM_DATAFLOWS, parse_topology

    if dataflow not in SCALESIM_DATAFLOWS:
        raise unknown_name("--dataflow", "dataflow", dataflow, SCALESIM_DATAFLOWS)
    loaded = load_machine(_with_array(machine, array))
    rows = [scalesim_values(layer, loaded.accelerator.array, dataflow) for layer in parse_topology(topology)]
    if json:
        _print_json(rows)
    else:
        show(_scalesim_tables(topology, loaded, dataflow, rows))


def scalesim_values(layer: TopologyLayer, array: ArraySpec, dataflow: Any) -> dict[str, Any]:
    """Return the metrics ``scalesim.*`` of a layer, by the last part of their names."""
    from wavecore.hardware.dataflows import dataflow_of
    from wavecore.hardware.scalesim import gemm_of, repeats_of, scalesim_cycles, topology_macs

    m, n, k = gemm_of(layer)
    own = dataflow_of(array)
    once = own.gemm_cycles(array, m, k, n)
    repeats = repeats_of(layer)
    ours = once.cycles + (repeats - 1) * own.issue_cycles(array, m, k, n)
    theirs = scalesim_cycles(layer, array.rows, array.columns, dataflow)
    streamed = once.stream_cycles * repeats
    return {
        "layer": layer.name,
        "macs": topology_macs(layer),
        "scalesim_cycles": theirs,
        "wavecore_cycles": ours,
        "difference_cycles": theirs - ours,
        "explanation": _explanation(dataflow, own.scalesim, theirs, ours, streamed),
    }


def _explanation(dataflow: str, own: str, theirs: int, ours: int, streamed: int) -> str:
    """Explain both cycle counts as cycles of streaming (``streamed``, wavecore's) plus the rest.

    ``own`` is SCALE-Sim's name of wavecore's dataflow.
    """
    if dataflow != own:
        waits = ours - streamed
        return f"SCALE-Sim streams another operand ({dataflow}); wavecore streams {streamed:,} and waits {waits:,}"
    return (
        f"both stream {streamed:,}; SCALE-Sim fills and drains the whole array in every fold: {theirs - streamed:,}; "
        f"wavecore's fill, weight gaps and drain: {ours - streamed:,}"
    )


def _with_array(machine: MachineOptions, array: str | None) -> MachineOptions:
    """Return the options with ``array`` as two more overrides; raise `InputError` if it is not ROWSxCOLUMNS."""
    if array is None:
        return machine
    rows, columns = array_size(array)
    return replace(machine, overrides=[*machine.overrides, f"array.rows={rows}", f"array.columns={columns}"])


def _array_of(machine: LoadedMachine, schedule: str) -> ArraySpec:
    """Return the array as ``schedule`` uses it: with one weight register per PE or two.

    Which of them is found by planning a small network.
    """
    from wavecore.network.graph import Network
    from wavecore.network.layers import CrossEntropy, Flatten, Linear
    from wavecore.network.shapes import Shape
    from wavecore.simulation import find_schedule
    from wavecore.training.unroll import training_graph

    policy = find_schedule(schedule)
    net = Network("gemm", Shape(8, 1, 1))
    net(CrossEntropy(), net(Linear(8), net(Flatten(), net.input)))
    planned = policy.make(training_graph(net.build()), machine.accelerator, 1)
    array = machine.accelerator.array
    double = array.weight_double_buffering and planned.weight_double_buffering
    return replace(array, weight_double_buffering=double)


def _about(machine: LoadedMachine, schedule: str) -> dict[str, Any]:
    """Return the names of the accelerator and the schedule, and the size of the array."""
    array = machine.accelerator.array
    return {
        "accelerator": machine.accelerator.name,
        "array": f"{array.rows}x{array.columns}",
        "dataflow": array.dataflow,
        "schedule": schedule,
    }


def _print_json(value: Any) -> None:
    from wavecore.results.folder import json_text

    sys.stdout.write(json_text(value))


def _gemm_tables(machine: LoadedMachine, schedule: str, values: dict[str, Any]) -> Iterator[RenderableType]:
    about = _about(machine, schedule)
    sizes = f"{values['m']} x {values['k']} times {values['k']} x {values['n']}"
    yield f"{sizes} on one {about['array']} array of {about['accelerator']}, {schedule}"
    rows = []
    for name in (*PARTS, *FACTS):
        value = values[name.removeprefix("gemm.")]
        rows.append((heading(name), amount(name, value), share(value, values["cycles"]) if name in PARTS else ""))
    yield facts("cycles, from an idle array", rows)


def _scalesim_tables(
    topology: Path, machine: LoadedMachine, dataflow: str, rows: list[dict[str, Any]]
) -> Iterator[RenderableType]:
    array = machine.accelerator.array
    columns = [heading(name) for name in SCALESIM_COLUMNS]
    cells = [[amount(name, row[name.removeprefix("scalesim.")]) for name in SCALESIM_COLUMNS] for row in rows]
    title = f"{topology} on {array.rows}x{array.columns}, SCALE-Sim's dataflow {dataflow}, batch 1"
    yield table(title, columns, cells, right=columns[1:5])
