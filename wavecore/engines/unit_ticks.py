"""What the analytic engine knows of a computing unit: when it is free, and what it has waited for."""

from __future__ import annotations

from dataclasses import dataclass, field

from wavecore.engines.command_ticks import TICKS_PER_CYCLE
from wavecore.engines.timing import Stall, UnitTiming

Arrival = tuple[int, int, int, int, int]
"""The ticks at which a command's first operands arrive, those of its first block, and the last.

Then the tick at which DRAM was free for them, and that before which the buffer had no room for them.
"""

Late = tuple[int, int, Stall]
"""Why results of a command are not there earlier.

Before they are there come, counted backwards, ticks in which the array drains and ticks of the vector unit; the last is
the cause of what was before.  These are plain tuples for speed.
"""

SWEPT: Late = (0, 0, Stall.VECTOR)
LOADED: Late = (0, 0, Stall.DRAM)
CROWDED: Late = (0, 0, Stall.SPACE)


@dataclass(slots=True)
class UnitTicks:
    """One computing unit: the tick at which it is free, and of an array the ticks for which it has waited until then.

    An array's work and its ``stalls`` add up to ``free``.
    """

    result_slots: int
    stalls: dict[Stall, int] = field(default_factory=dict)
    free: int = 0

    def waits_for_operands(self, start: int, asked: int, room: int) -> None:
        """Count the ticks up to ``start``, when operands arrive that were asked of DRAM and have room (`Arrival`)."""
        if self.stalls:
            full = max(0, min(room, start) - max(self.free, asked))
            self.stalls[Stall.SPACE] += full
            self.stalls[Stall.DRAM] += start - self.free - full

    def waits_for_results(self, ticks: int, late: Late) -> None:
        """Count ticks at the end of which results are there."""
        if self.stalls:
            drained, swept, cause = late
            skew = min(ticks, drained)
            vector = min(ticks - skew, swept)
            self.stalls[Stall.ARRAY] += skew
            self.stalls[Stall.VECTOR] += vector
            self.stalls[cause] += ticks - skew - vector

    def waits(self, cause: Stall, ticks: int) -> None:
        """Count ticks of a wait."""
        if self.stalls:
            self.stalls[cause] += ticks

    def timing(self, busy_cycles: int, step_cycles: int) -> UnitTiming:
        """Return the unit's part in a step; its stalls, in whole cycles, add up to what its work leaves of it."""
        cycles, running, given = {}, 0, 0
        for cause, ticks in self.stalls.items():
            running += ticks
            cycles[cause] = -(-running // TICKS_PER_CYCLE) - given
            given += cycles[cause]
        assert not cycles or busy_cycles + given == step_cycles
        return UnitTiming(busy_cycles=busy_cycles, stall_cycles=cycles)
