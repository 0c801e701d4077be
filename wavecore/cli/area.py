"""``wavecore area``: the area of an accelerator by component, its uncertainty, and the constants that it comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from wavecore.cli.inputs import LoadedMachine, load_machine
from wavecore.cli.options import Json, MachineOptions, grouped
from wavecore.cli.tables import amount, heading, share, show, table
from wavecore.cli.uncertainty import uncertain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.results.uncertainty import Spread

SCHEMA = "wavecore.area/1"
RECALLED_MACHINE = "wavecore"
RECALLED = {
    "array": (2 * 199.0, "2 arrays of 199 mm2"),
    "global_buffer": (2 * 18.7, "2 buffers of 10 MiB, 18.7 mm2 each"),
    "vector": (4.33, "vector units"),
    "total": (534.0, "the chip"),
}
"""Areas of the paper's chip in mm2, recalled and not checked against its text; no constant is fitted to them."""


@grouped
def area(machine: MachineOptions, json: Json = False) -> None:
    """Report the area of an accelerator by component, with its uncertainty, and every constant with its source."""
    from wavecore.results.folder import json_text
    from wavecore.results.uncertainty import area_spreads

    loaded = load_machine(machine)
    areas = area_spreads(uncertain(loaded))
    if json:
        sys.stdout.write(json_text(_values(loaded, areas)))
    else:
        show(_tables(loaded, areas))


def _values(loaded: LoadedMachine, areas: Mapping[str, Spread]) -> dict[str, Any]:
    """Return the report for JSON."""
    return {
        "schema": SCHEMA,
        "accelerator": loaded.accelerator.name,
        "memory": loaded.accelerator.memory.name,
        "area_mm2": {name: each.value for name, each in areas.items()},
        "low_mm2": {name: each.low for name, each in areas.items()},
        "high_mm2": {name: each.high for name, each in areas.items()},
        "recalled_mm2": {name: value for name, (value, _) in _recalled(loaded).items()},
        "constants": _constants(loaded),
    }


def _constants(loaded: LoadedMachine) -> list[dict[str, str]]:
    """Return every constant of the areas: its name, its value for people, the ends of its range, its source."""
    from wavecore.common.units import UNITS, format_quantity
    from wavecore.hardware.config import describe, machine_keys

    described, ends = describe(loaded.accelerator), uncertain(loaded).ends
    found = []
    for name, key in machine_keys().items():
        if key.unit in ("mm", "mm2", "mm2_per_byte") or name in _PLAIN:
            value = described[name.partition(".")[0]][key.field]
            low, high = ends.get(name, ("", ""))
            shown = format_quantity(value, UNITS[key.unit].symbol) if key.unit else f"{value:g}"
            source = loaded.sources.get(name, "")
            found.append({"name": name, "value": shown, "low": low, "high": high, "source": source})
    return found


_PLAIN = ("technology.placement_density", "technology.sram_second_port")


def _recalled(loaded: LoadedMachine) -> Mapping[str, tuple[float, str]]:
    """Return the areas to compare with: none for another machine than the paper's."""
    from wavecore.hardware.config import load_accelerator

    default = load_accelerator(RECALLED_MACHINE)
    same = all(getattr(loaded.accelerator, part) == getattr(default, part) for part in ("chip", "core", "array"))
    return RECALLED if same and loaded.accelerator.vector == default.vector else {}


def _tables(loaded: LoadedMachine, areas: Mapping[str, Spread]) -> Iterator[RenderableType]:
    machine, recalled = loaded.accelerator, _recalled(loaded)
    yield f"{machine.name} with {machine.memory.name}: area of {machine.chip.cores} cores, without control and pads"
    columns = ["component", "area", "share", "low", "high"]
    rows = []
    for name, each in areas.items():
        values = [amount("area_mm2.total", value) for value in (each.value, each.low, each.high)]
        row = [heading(f"area_mm2.{name}"), values[0], share(each.value, areas["total"].value), *values[1:]]
        if recalled:
            row.append(f"{recalled[name][0]:g} mm2: {recalled[name][1]}" if name in recalled else "")
        rows.append(row)
    yield table("", [*columns, *(["recalled of the paper, not checked"] if recalled else [])], rows, right=columns[1:])
    shown = [[each[key] for key in ("name", "value", "low", "high", "source")] for each in _constants(loaded)]
    yield table("constants", ["constant", "value", "low", "high", "source"], shown, right=["value"])
    yield "what a figure means: wavecore explain area_mm2"
