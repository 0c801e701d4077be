"""What an engine reports: when things happened.  What was counted comes from the program itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wavecore.common.names import Name
from wavecore.hardware.specs import Accelerator
from wavecore.program.commands import Program, RowKey
from wavecore.training.operations import TensorClass

ProgressCallback = Callable[[float], None]
"""Called now and then with the share of the simulation that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RowTiming:
    """One layer and phase: how far its completion moved the end of the step, and how long each unit worked for it."""

    cycles: int
    busy_cycles: Mapping[str, int]


class Stall(Name):
    """What an array finally waits for in a cycle in which it does not work."""

    DRAM = "dram"  # data on their way to or from DRAM
    VECTOR = "vector"  # the vector unit, which works
    ARRAY = "array"  # the array's own skew: fill, and drain of what a vector unit needs next
    SPACE = "space"  # room in the global buffer
    CORE = "core"  # another core: its gradients, or the end of its step
    UPDATE = "update"  # the update of the weights, which an array has no part in


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTiming:
    """What one unit of a core did in the cycles of a step, mean over the cores.

    An array worked or waited: its busy cycles and its stalls add up to the step.  Of other units only the work is
    counted.
    """

    busy_cycles: int
    stall_cycles: Mapping[Stall, int]


def mean_timing(units: Sequence[UnitTiming]) -> UnitTiming:
    """Return the mean of units that are timed alike.

    Its parts are rounded so that they add up to the mean of the sums, rounded down.
    """
    means, running, given = [], 0, 0
    labels = list(units[0].stall_cycles)
    for part in (
        [unit.busy_cycles for unit in units],
        *([unit.stall_cycles[name] for unit in units] for name in labels),
    ):
        running += sum(part)
        means.append(running // len(units) - given)
        given += means[-1]
    return UnitTiming(busy_cycles=means[0], stall_cycles=dict(zip(labels, means[1:], strict=True)))


class LazyRows(Mapping[RowKey, RowTiming]):
    """Rows that are computed when they are first read, so that totals alone do not pay for them."""

    def __init__(self, make: Callable[[], Mapping[RowKey, RowTiming]]) -> None:
        self._make = make

    @cached_property
    def _rows(self) -> Mapping[RowKey, RowTiming]:
        return self._make()

    def __getitem__(self, key: RowKey) -> RowTiming:
        return self._rows[key]

    def __iter__(self) -> Iterator[RowKey]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class Timing:
    """The outcome of one run of a program on an engine.

    The cycles of the ``rows`` add up to ``step_cycles``.  ``units`` has the computing units of a core by name.
    ``dram_bytes`` is what was really moved, by class and whether written, all cores together.
    """

    step_cycles: int
    rows: Mapping[RowKey, RowTiming]
    units: Mapping[str, UnitTiming]
    dram_bytes: Mapping[tuple[TensorClass, bool], int]
    buffer_peak_bytes: int
    events: int


Engine = Callable[[Program, Accelerator, ProgressCallback | None], Timing]
"""Runs a program on an accelerator."""
