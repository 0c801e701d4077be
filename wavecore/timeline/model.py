"""A timeline: tracks of slices, arrows between slices, and counters over time.  All times are chip cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wavecore.engines.instances import CommandInstance
from wavecore.engines.probe import Cause, Signal
from wavecore.hardware.specs import UnitSpec

REQUESTS = ("reads", "writes")


@dataclass(frozen=True, slots=True, order=True)
class Track:
    """Where slices are drawn: the queue of a unit of a core, or what DRAM does for a core (`REQUESTS`)."""

    core: int
    name: str

    @property
    def dram(self) -> bool:
        """Whether the track shows requests to DRAM."""
        return self.name in REQUESTS


@dataclass(slots=True, eq=False)
class Slice:
    """A stretch of a track: work on steps of a command, or a wait for a signal.

    Slices that are joined hold several steps and what they waited for in between; ``busy_cycles`` is their work.
    ``arrows`` come from the slices whose posts ended the waits before this one.
    """

    start: int
    end: int
    instance: CommandInstance | None = None
    signal: Signal | None = None
    first_step: int = 0
    last_step: int = 0
    busy_cycles: int = 0
    nbytes: int = 0
    tensors: tuple[str, ...] = ()
    waits: dict[Cause, int] = field(default_factory=dict)
    arrows: list[tuple[Slice, Signal]] = field(default_factory=list)
    joined: Slice | None = None
    dropped: bool = False

    @property
    def cycles(self) -> int:
        """The length of the slice in cycles."""
        return self.end - self.start

    def drawn(self) -> Slice:
        """Return the slice that stands for this one in the timeline: itself, or the one that it was joined to."""
        found = self
        while found.joined is not None:
            found = found.joined
        return found


@dataclass(slots=True)
class LeftOut:
    """What a timeline does not show, to stay within its limit."""

    joined_steps: bool = False
    slices: int = 0
    cycles: int = 0
    longest_cycles: int = 0


@dataclass(frozen=True, slots=True)
class Curve:
    """A counter over time: (first cycle of a bin, its value) for bins of ``width`` cycles."""

    points: list[tuple[int, int]]
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What was recorded of a run from cycle ``start`` to cycle ``end``.

    ``units`` are those of every core; each has a track.  ``occupancy`` is the largest number of bytes taken of each
    core's buffer; ``moved`` the bytes that DRAM moved, by `REQUESTS`.
    """

    clock_hz: int
    units: tuple[UnitSpec, ...]
    start: int
    end: int
    tracks: Mapping[Track, list[Slice]]
    occupancy: Mapping[int, Curve]
    moved: Mapping[str, Curve]
    left_out: LeftOut

    def slices(self) -> int:
        """Return the number of slices."""
        return sum(map(len, self.tracks.values()))
