"""What an engine reports: when things happened.  What was counted comes from the program itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTiming:
    """What one unit of a core did in the cycles of a step, mean over the cores.

    It worked, or waited for loads from DRAM, or for another unit: results, room for its own, or a tensor on chip.
    What is left is ``dependency_stall_cycles``.
    """

    busy_cycles: int
    dram_stall_cycles: int
    unit_stall_cycles: int
    dependency_stall_cycles: int


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
