"""What holds for every accelerator, as a table of named rules; each names the first field that breaks it.

A machine that was read from a file has been checked at its line; one that a program has put together is checked here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from wavecore.common.typecheck import type_problem
from wavecore.errors import ConfigError
from wavecore.hardware.config import largest
from wavecore.hardware.dataflows import DATAFLOWS
from wavecore.hardware.dram import verify_memory
from wavecore.hardware.packing import holds_right
from wavecore.hardware.specs import Accelerator, UnitKind

MAY_BE_ZERO = ("startup_cycles", "result_slots")
"""The whole numbers that may be 0; all others are 1 or more."""


class MachineViolation(NamedTuple):
    """A field of an accelerator that breaks a rule: its dotted name, what is wrong with it, and what to try."""

    field: str
    what: str
    hint: str


def verify_accelerator(accelerator: Accelerator) -> None:
    """Raise `ConfigError` at the first field that makes a machine impossible; the answer is remembered."""
    wrong = type_problem(accelerator, Accelerator)
    if wrong is not None:
        raise ConfigError(f"accelerator{wrong.path}", wrong.what, "a value of the type that hardware.specs gives it")
    _verify(accelerator)


@lru_cache(maxsize=1 << 12)
def _verify(accelerator: Accelerator) -> None:
    for rule in RULES:
        for found in rule(accelerator):
            raise ConfigError(f"accelerator {accelerator.name}: {found.field}", found.what, found.hint)
    verify_memory(accelerator.memory)


def numbers_are_in_range(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """Sizes and rates are positive, times, energies and powers not negative; none exceeds what a file may state."""
    for name, value in _numbers(accelerator, ""):
        least = 0 if isinstance(value, float) or name.endswith(MAY_BE_ZERO) else 1
        if not math.isfinite(value) or value < least:
            yield MachineViolation(name, f"is {value}", f"{least} or more")
        elif value > (most := largest(name)):
            yield MachineViolation(name, f"is {value}", f"{most} or less")


def _numbers(spec: Any, path: str) -> Iterator[tuple[str, int | float]]:
    """Yield every number of a tree of dataclasses and tuples with its dotted name."""
    for each in fields(spec):
        value, name = getattr(spec, each.name), f"{path}{each.name}"
        if is_dataclass(value):
            yield from _numbers(value, f"{name}.")
        elif isinstance(value, tuple):
            for at, item in enumerate(value):
                if is_dataclass(item):
                    yield from _numbers(item, f"{name}[{at}].")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value


def the_dataflow_is_registered(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """The array's dataflow is one of the table."""
    if accelerator.array.dataflow not in DATAFLOWS:
        what = f"there is no dataflow named {accelerator.array.dataflow!r}"
        yield MachineViolation("array.dataflow", what, " or ".join(DATAFLOWS.names()))


def unit_names_are_unique(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """No two units of a core have one name."""
    for name, count in Counter(unit.name for unit in accelerator.units).items():
        if count > 1:
            yield MachineViolation("units", f"has {count} units named {name!r}", "a name of its own for each")


def a_core_has_what_commands_need(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """A core has one load unit, one array and one store unit: every command uses the same."""
    for kind in (UnitKind.LOAD, UnitKind.ARRAY, UnitKind.STORE):
        count = sum(unit.kind is kind for unit in accelerator.units)
        if count != 1:
            yield MachineViolation("units", f"has {count} units of kind {kind}", "one of them, as in CORE_UNITS")


def results_of_the_array_have_room(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """The array can hold at least one finished step until the vector unit takes it."""
    for at, unit in enumerate(accelerator.units):
        if unit.kind is UnitKind.ARRAY and unit.result_slots < 1:
            yield MachineViolation(f"units[{at}].result_slots", "is 0: its results would have no room", "1 or more")


def every_sweep_has_a_unit(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """One vector unit takes what no other one lists, and no kind of layer is listed by two."""
    vectors = [unit for unit in accelerator.units if unit.kind is UnitKind.VECTOR]
    if not any(not unit.layer_kinds for unit in vectors):
        yield MachineViolation("units", "has no vector unit for all other layers", "one without layer_kinds")
    for kind, count in Counter(kind for unit in vectors for kind in unit.layer_kinds).items():
        if count > 1:
            yield MachineViolation("units", f"has {count} vector units for layers of kind {kind!r}", "one of them")


def grouped_products_can_run(accelerator: Accelerator) -> Iterator[MachineViolation]:
    """At least one mapping of grouped convolutions is allowed, and not only one that the dataflow does not have."""
    mapping = accelerator.mapping
    if not (mapping.by_group or mapping.packed or mapping.vector):
        what = "forbids every mapping of grouped convolutions"
        yield MachineViolation("mapping", what, "by_group, packed or vector = true")
    elif not (mapping.by_group or mapping.vector) and not holds_right(accelerator.array):
        what = f"allows only packed, which the dataflow {accelerator.array.dataflow} does not have"
        yield MachineViolation("mapping", what, "by_group or vector = true")


RULES: tuple[Callable[[Accelerator], Iterator[MachineViolation]], ...] = (
    numbers_are_in_range,
    the_dataflow_is_registered,
    unit_names_are_unique,
    a_core_has_what_commands_need,
    results_of_the_array_have_room,
    every_sweep_has_a_unit,
    grouped_products_can_run,
)
