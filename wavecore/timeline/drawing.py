"""The drawing of a timeline, the same for all formats: groups of rows with named boxes, and meters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from wavecore.engines.probe import Cause
from wavecore.hardware.specs import UnitKind
from wavecore.timeline.model import REQUESTS, Slice, Timeline, Track

GIB = 1 << 30
Args = Mapping[str, int | str]
Arrow = tuple[int, str]
"""The number of an arrow, and its meaning."""

WORDS = {
    Cause.LOADS: "waits for DRAM",
    Cause.PRODUCTS: "waits for array",
    Cause.RESULTS: "waits for vector unit",
    Cause.ON_CHIP: "waits for data on chip",
    Cause.IN_DRAM: "waits for data in DRAM",
    Cause.SPACE: "waits for buffer space",
    Cause.FILL: "array fills",
    Cause.DRAIN: "array drains",
}
"""What a slice without work is called; a run's figures of the same name sum those of its arrays (`results.metrics`)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A slice as it is drawn; ``outgoing`` arrows start at its end, ``incoming`` ones end at its start."""

    start: int
    end: int
    name: str
    category: str
    args: Args
    outgoing: tuple[Arrow, ...] = ()
    incoming: tuple[Arrow, ...] = ()


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A track: its boxes follow each other without overlap."""

    name: str
    boxes: Callable[[], Iterator[Box]]


@dataclass(frozen=True, slots=True)
class Meter:
    """A counter: its value from each cycle on."""

    name: str
    unit: str
    points: list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class TrackGroup:
    """Rows and meters that belong together, below an overview of them."""

    name: str
    overview: DrawnRow | Meter
    rows: tuple[DrawnRow, ...] = ()
    meters: tuple[Meter, ...] = ()


def nanoseconds(cycle: int, clock_hz: int) -> int:
    """Return the simulated time at which a cycle begins, in nanoseconds, rounded down."""
    return cycle * 10**9 // clock_hz


def draw(timeline: Timeline, title: str, about: Args) -> list[TrackGroup]:
    """Return the groups of a timeline in the order in which they are shown; the first describes the run."""
    arrows = _Arrows(timeline)
    cores = sorted({track.core for track in timeline.tracks})
    run = Box(timeline.start, timeline.end, title, "run", about)
    recording = Box(timeline.start, timeline.end, summary(timeline), "run", _facts(timeline, arrows.count))
    groups = [TrackGroup("run", _single("run", run), (_single("recording", recording),))]
    for core in cores:
        overview = DrawnRow(
            "groups and sub-batches", _sub_batches(timeline.tracks[Track(core, _main_vector(timeline))])
        )
        queues = tuple(_row(timeline, Track(core, unit.name), f"{unit.name} queue", arrows) for unit in timeline.units)
        meter = Meter("global buffer, bytes taken", "B", [*timeline.occupancy[core].points])
        groups.append(TrackGroup(f"core {core}", overview, queues, (meter,)))
    requests = tuple(
        _row(timeline, Track(core, name), f"{name} of core {core}", arrows) for name in REQUESTS for core in cores
    )
    meters = tuple(_bandwidth(timeline, name, (name,)) for name in REQUESTS)
    groups.append(TrackGroup("DRAM", _bandwidth(timeline, "reads and writes", REQUESTS), requests, meters))
    return groups


def _main_vector(timeline: Timeline) -> str:
    """Return the name of the vector unit that takes results from the array."""
    return next(unit.name for unit in timeline.units if unit.kind is UnitKind.VECTOR and not unit.layer_kinds)


class _Arrows:
    """Arrows by the slices at which they start and end, without those whose source is not drawn."""

    def __init__(self, timeline: Timeline) -> None:
        self.outgoing: dict[int, list[Arrow]] = defaultdict(list)
        self.incoming: dict[int, list[Arrow]] = defaultdict(list)
        self.count = 0
        for slices in timeline.tracks.values():
            for target in slices:
                for origin, signal in target.arrows:
                    source = origin.drawn()
                    if not source.dropped and source.end <= target.start:
                        self.count += 1
                        arrow = (self.count, WORDS[signal.cause])
                        self.outgoing[id(source)].append(arrow)
                        self.incoming[id(target)].append(arrow)


def _row(timeline: Timeline, track: Track, name: str, arrows: _Arrows) -> DrawnRow:
    multiplies = any(unit.name == track.name and unit.kind is UnitKind.ARRAY for unit in timeline.units)

    def boxes() -> Iterator[Box]:
        for item in timeline.tracks[track]:
            label, category, args = _label(item, track, multiplies)
            outgoing, incoming = (tuple(each.get(id(item), ())) for each in (arrows.outgoing, arrows.incoming))
            yield Box(item.start, item.end, label, category, args, outgoing, incoming)

    return DrawnRow(name, boxes)


class _Label(NamedTuple):
    name: str
    category: str
    args: Args


def _label(item: Slice, track: Track, multiplies: bool) -> _Label:
    """Return what is written at a slice; one of a unit that ``multiplies`` has its MACs."""
    if item.signal is not None:
        named = {"tensor": item.signal.tensor, "unit": item.signal.unit}
        of = {key: name for key, name in named.items() if name}
        category = "skew" if item.signal.cause in (Cause.FILL, Cause.DRAIN) else "wait"
        return _Label(WORDS[item.signal.cause], category, {"start_cycle": item.start, "cycles": item.cycles, **of})
    assert item.instance is not None
    instance, command = item.instance, item.instance.command
    batch = f"{instance.iteration + 1}/{len(instance.segment.iterations)}"
    first, last, steps = item.first_step, item.last_step + 1, command.steps
    tiles = f"step {last}/{steps}" if last == first + 1 else f"steps {first + 1}-{last}/{steps}"
    args: dict[str, int | str] = {
        "layer": command.unit,
        "phase": str(command.phase),
        "group": instance.segment.name,
        "sub_batch": batch,
        "samples": command.samples,
        "start_cycle": item.start,
        "cycles": item.cycles,
        "busy_cycles": item.busy_cycles,
    }
    if multiplies:
        macs = command.work.macs
        args["macs"] = macs * last // steps - macs * first // steps
    if item.tensors:
        args["bytes"] = item.nbytes
        args["tensors"] = " ".join(item.tensors)
    for cause, cycles in item.waits.items():
        args[f"{WORDS[cause].replace(' ', '_').lower()}_cycles"] = cycles
    return _Label(f"{command.name} sub-batch {batch} {tiles}", "dram" if track.dram else track.name, args)


def _sub_batches(vector: list[Slice]) -> Callable[[], Iterator[Box]]:
    """Return one box for each sub-batch of each group, from the first to the last work of a vector unit on it."""

    def key(item: Slice) -> tuple[int, int]:
        assert item.instance is not None
        return id(item.instance.segment), item.instance.iteration

    def boxes() -> Iterator[Box]:
        for _, items in groupby((item for item in vector if item.instance is not None), key):
            first, *others = items
            instance, end = first.instance, others[-1].end if others else first.end
            assert instance is not None
            segment, count = instance.segment, len(instance.segment.iterations)
            name = f"{segment.name} {segment.direction} {instance.iteration + 1}/{count}"
            args = {"samples": instance.command.samples, "start_cycle": first.start, "cycles": end - first.start}
            yield Box(first.start, end, name, "group", args)

    return boxes


def _bandwidth(timeline: Timeline, title: str, names: tuple[str, ...]) -> Meter:
    """Return what DRAM moved in each bin, in GiB/s."""
    curves = [timeline.moved[name] for name in names]
    width = max(curve.width for curve in curves)
    bins: dict[int, int] = defaultdict(int)
    for curve in curves:
        for cycle, nbytes in curve.points:
            bins[timeline.start + (cycle - timeline.start) // width * width] += nbytes
    points = []
    for cycle, nbytes in sorted(bins.items()):
        end = min(cycle + width, timeline.end)
        points.append((cycle, nbytes * timeline.clock_hz / (end - cycle) / GIB))
    if bins:
        points.append((end, 0.0))
    return Meter(title, "GiB/s", points)


def _single(name: str, box: Box) -> DrawnRow:
    return DrawnRow(name, lambda: iter((box,)))


def _facts(timeline: Timeline, arrows: int) -> Args:
    """Return how a timeline was recorded and what it leaves out."""
    left_out = timeline.left_out
    occupancy, moved = (
        max(curve.width for curve in curves.values()) for curves in (timeline.occupancy, timeline.moved)
    )
    return {
        "clock_hz": timeline.clock_hz,
        "time": "simulated nanoseconds; start_cycle and cycles count chip cycles",
        "first_cycle": timeline.start,
        "end_cycle": timeline.end,
        "slices": timeline.slices(),
        "arrows": arrows,
        "joined": "steps of a command, with the waits between them" if left_out.joined_steps else "nothing",
        "left_out_slices": left_out.slices,
        "left_out_longest_cycles": left_out.longest_cycles,
        "left_out_cycles": left_out.cycles,
        "counters": f"buffer: the most in each {occupancy} cycles; DRAM: the mean of each {moved} cycles",
    }


def summary(timeline: Timeline) -> str:
    """Return in a line what a slice is and what is missing."""
    left_out = timeline.left_out
    detail = "steps of a command joined" if left_out.joined_steps else "every step of every queue"
    lost = f"{left_out.slices} slices of up to {left_out.longest_cycles} cycles" if left_out.slices else "nothing"
    return f"{timeline.slices()} slices, {detail}, {lost} left out"
