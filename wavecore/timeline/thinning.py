"""Reduction of a timeline that has too many slices."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest

from wavecore.timeline.model import LeftOut, Slice, Track

Tracks = Mapping[Track, list[Slice]]


def thin(tracks: Tracks, most: int, left_out: LeftOut) -> None:
    """Reduce tracks to ``most`` slices: join the steps of a command, then leave out the shortest slices."""
    join_steps(tracks)
    left_out.joined_steps = True
    if sum(map(len, tracks.values())) > most:
        drop_shortest(tracks, most, left_out)


def join_steps(tracks: Tracks) -> None:
    """Make one slice of neighbouring steps of a command, waits between them included.

    Arrows to steps after the first are removed.  A joined slice ends at a step from which one of the other arrows
    starts, so that every arrow still starts at the end of a slice.
    """
    for slices in tracks.values():
        last = None
        for item in slices:
            if item.instance is not None:
                if last is item.instance:
                    item.arrows.clear()
                last = item.instance
    sources = {id(source.drawn()) for slices in tracks.values() for item in slices for source, _ in item.arrows}
    for slices in tracks.values():
        slices[:] = _joined(slices, sources)


def _joined(slices: list[Slice], sources: set[int]) -> list[Slice]:
    """Return the slices of one track with neighbouring steps of a command joined into one slice.

    A joined slice ends at a step from which an arrow starts; ``sources`` holds the ids of these steps.
    """
    kept: list[Slice] = []
    waits: list[Slice] = []
    last: Slice | None = None
    for item in slices:
        if item.instance is None:
            waits.append(item)
            continue
        if last is not None and last.instance is item.instance and id(last) not in sources:
            _join(last, waits, item)
            if id(item) in sources:
                sources.add(id(last))
        else:
            kept += [*waits, item]
            last = item
        waits = []
    return kept + waits


def _join(first: Slice, waits: list[Slice], second: Slice) -> None:
    """Extend ``first`` by the waits and the slice that follow it."""
    first.end = second.end
    first.last_step = second.last_step
    first.busy_cycles += second.busy_cycles
    first.nbytes += second.nbytes
    first.tensors = tuple(dict.fromkeys((*first.tensors, *second.tensors)))
    lost = [(wait.signal.cause, wait.cycles) for wait in waits if wait.signal is not None]
    for cause, cycles in (*lost, *second.waits.items()):
        first.waits[cause] = first.waits.get(cause, 0) + cycles
    second.joined = first


def drop_shortest(tracks: Tracks, most: int, left_out: LeftOut) -> None:
    """Leave out all but the ``most`` longest slices; of equal ones the earlier stay."""
    ranked = ((item.cycles, -item.start, item) for slices in tracks.values() for item in slices)
    kept = {id(item) for _, _, item in nlargest(most, ranked, key=lambda each: each[:2])}
    for slices in tracks.values():
        for item in slices:
            if id(item) not in kept:
                item.dropped = True
                item.arrows = []
                left_out.slices += 1
                left_out.cycles += item.cycles
                left_out.longest_cycles = max(left_out.longest_cycles, item.cycles)
        slices[:] = [item for item in slices if not item.dropped]
