"""What an engine reports: when things happened.  What was counted comes from the program itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wavecore.hardware.specs import Accelerator
from wavecore.program.commands import Program
from wavecore.training.operations import Phase, TensorClass

ProgressCallback = Callable[[float], None]
"""Called now and then with the share of the simulation that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RowTiming:
    """One layer and phase: how far its completion moved the end of the step, and how long each unit worked."""

    cycles: int
    array_busy_cycles: int
    vector_busy_cycles: int


class LazyRows(Mapping[tuple[str, Phase], RowTiming]):
    """Rows that are put together when they are first asked for: who wants totals only does not wait for them."""

    def __init__(self, make: Callable[[], Mapping[tuple[str, Phase], RowTiming]]) -> None:
        self._make = make

    @cached_property
    def _rows(self) -> Mapping[tuple[str, Phase], RowTiming]:
        return self._make()

    def __getitem__(self, key: tuple[str, Phase]) -> RowTiming:
        return self._rows[key]

    def __iter__(self) -> Iterator[tuple[str, Phase]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class Timing:
    """The outcome of one run of a program on an engine.

    ``rows`` by (unit, phase); their cycles add up to ``step_cycles``.  Busy and stall cycles are means over the
    cores.  ``dram_bytes`` is what was really moved, by class and whether written, all cores together.
    """

    step_cycles: int
    rows: Mapping[tuple[str, Phase], RowTiming]
    array_busy_cycles: int
    stall_dram_cycles: int
    stall_vector_cycles: int
    stall_dependency_cycles: int
    dram_bytes: Mapping[tuple[TensorClass, bool], int]
    buffer_peak_bytes: int
    events: int


Engine = Callable[[Program, Accelerator, ProgressCallback | None], Timing]
"""Runs a program on an accelerator."""
