"""Where each tensor is when an operation of a group runs: on chip, loaded to stay, or streamed through.

Placing a group does not depend on the sub-batch; sizes are per sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wavecore.common.names import Name
from wavecore.plan.model import Group, Plan, Residency
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import OperandRole, Operation, Tensor


class Direction(Name):
    """The part of the step in which a group runs."""

    FORWARD = "forward"
    BACKWARD = "backward"
    UPDATE = "update"


class Place(Name):
    """Where an operation finds a tensor that it reads."""

    RESIDENT = "resident"  # on chip already
    LOADED = "loaded"  # read from DRAM now, once, and kept for later uses
    STREAMED = "streamed"  # read from DRAM for this operation only


@dataclass(frozen=True, slots=True)
class PlacedRead:
    """A read and where it finds its tensor.

    ``passes`` counts only for streamed ones, and only they can be of a part of each sample, ``part_bytes`` long.
    ``life`` numbers the stays on chip of a tensor that comes back.
    """

    tensor: Tensor
    role: OperandRole
    place: Place
    passes: int
    life: int = 0
    part_bytes: int | None = None

    @property
    def nbytes(self) -> int:
        """What is read of a sample, or of a tensor that is not batched."""
        return self.tensor.nbytes if self.part_bytes is None else self.part_bytes

    @property
    def dram_bytes(self) -> int:
        """What that takes in DRAM."""
        return self.tensor.dram_bytes * self.nbytes // self.tensor.nbytes


@dataclass(frozen=True, slots=True)
class PlacedWrite:
    """A write: ``kept`` on chip, ``stored`` to DRAM, or both.

    ``overwrites`` names what it overwrites in place; one that is ``added`` to a resident sum takes no space.
    """

    tensor: Tensor
    kept: bool
    stored: bool
    overwrites: str | None = None
    accumulated_in_place: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PlacedOperation:
    """An operation with its tensors placed.

    ``live_bytes`` per sample are on chip while it runs; ``frees`` give their space back when it is done.
    """

    operation: Operation
    reads: tuple[PlacedRead, ...]
    writes: tuple[PlacedWrite, ...]
    live_bytes: int
    frees: tuple[str, ...]


def operations_of(training: TrainingGraph, first: int, last: int, direction: Direction) -> list[tuple[int, Operation]]:
    """The operations of units ``first`` to ``last`` in the order in which ``direction`` runs them, with their unit."""
    units = training.units
    if direction is Direction.FORWARD:
        return [(index, op) for index in range(first, last + 1) for op in units[index].forward]
    if direction is Direction.BACKWARD:
        return [(index, op) for index in range(last, first - 1, -1) for op in units[index].backward]
    return [(index, op) for index in range(first, last + 1) for op in units[index].update]


@dataclass(frozen=True, slots=True)
class _Stay:
    """The operations, by position in the group, between which a tensor is on chip.

    Uses after ``safe`` count on DRAM to have it, whether or not it happens to be on chip still.
    """

    first: int
    last: int
    safe: int


def place(
    training: TrainingGraph,
    first: int,
    last: int,
    direction: Direction,
    residency: Mapping[str, Residency],
    normalization_passes: int = 2,
) -> tuple[PlacedOperation, ...]:
    """Place the tensors of units ``first`` to ``last`` (inclusive) in one direction.

    An operation that is placed alike in several groups is the very same object in all of them.
    """
    sequence = operations_of(training, first, last, direction)
    touches = _touches(training, sequence)
    spans = _spans(sequence, touches, residency)
    stage = _GroupContext(
        training,
        touches,
        spans,
        _read_elsewhere(training, touches, first, last, direction),
        normalization_passes,
    )
    added = _added(sequence, touches, spans)
    stage = replace(stage, added=added)
    ends: dict[int, list[str]] = {}
    starts: dict[int, int] = {}
    for name, lives in spans.items():
        if name in added:
            continue
        for span in lives:
            ends.setdefault(span.last, []).append(name)
            starts[span.first] = starts.get(span.first, 0) + training.tensors[name].nbytes
    placed = []
    live = 0
    for position, (_, op) in enumerate(sequence):
        live += starts.get(position, 0)
        placed.append(_shared(training, _place_one(stage, position, op, live, tuple(ends.get(position, ())))))
        live -= sum(training.tensors[name].nbytes for name in ends.get(position, ()))
    return tuple(placed)


def groups_of(plan: Plan, direction: Direction) -> tuple[Group, ...]:
    """Return the groups that a plan runs in a direction, in the order of the network."""
    return plan.groups_of_backward if direction is Direction.BACKWARD else plan.groups


def place_group(
    training: TrainingGraph, group: Group, direction: Direction, normalization_passes: int
) -> tuple[PlacedOperation, ...]:
    """Place a group of a plan; the same group of the same graph gives the very same placement again."""
    residency = group.backward if direction is Direction.BACKWARD else group.forward

    def fresh() -> tuple[PlacedOperation, ...]:
        first, last = training.unit_index[group.units[0]], training.unit_index[group.units[-1]]
        return place(training, first, last, direction, residency, normalization_passes)

    key = (group.units, direction, tuple(residency.items()), normalization_passes)
    placed: tuple[PlacedOperation, ...] = training.memory.recall("placement", key, fresh)
    if group.held:
        plain, held = placed, group.held
        placed = training.memory.recall(
            "placement", (plain, held), lambda: tuple(_hold(training, operation, held) for operation in plain)
        )
    return placed


def _hold(training: TrainingGraph, placed: PlacedOperation, held: frozenset[str]) -> PlacedOperation:
    """Find and leave on chip those tensors of an operation that its group holds over all iterations."""
    own = held.intersection((*(use.tensor for use in placed.operation.reads), *placed.operation.writes))
    if not own:
        return placed

    def fresh() -> PlacedOperation:
        reads = (
            replace(read, place=Place.RESIDENT) if read.place is Place.STREAMED and read.tensor.name in own else read
            for read in placed.reads
        )
        writes = (replace(write, kept=True) if write.tensor.name in own else write for write in placed.writes)
        return _shared(training, replace(placed, reads=tuple(reads), writes=tuple(writes)))

    found: PlacedOperation = training.memory.recall("held", (placed, own), fresh)
    return found


def _shared(training: TrainingGraph, placed: PlacedOperation) -> PlacedOperation:
    """The first operation that was placed like this one."""
    key = (id(placed.operation), placed.reads, placed.writes, placed.live_bytes, placed.frees)
    first: PlacedOperation = training.memory.recall("operation", key, lambda: placed)
    return first


def _touches(training: TrainingGraph, sequence: Sequence[tuple[int, Operation]]) -> dict[str, list[int]]:
    """Positions at which each batched tensor is read or written."""
    touches: dict[str, list[int]] = {}
    tensors = training.tensors
    for position, (_, op) in enumerate(sequence):
        for name in dict.fromkeys((*(use.tensor for use in op.reads), *op.writes)):
            if tensors[name].batched:
                touches.setdefault(name, []).append(position)
    return touches


def _spans(
    sequence: Sequence[tuple[int, Operation]],
    touches: Mapping[str, list[int]],
    residency: Mapping[str, Residency],
) -> dict[str, tuple[_Stay, ...]]:
    """When each tensor with residency is on chip: it may come back from DRAM for a later use, and stay again.

    Where there is nothing to stay for it is not kept at all.
    """
    ranks = {unit: rank for rank, unit in enumerate(dict.fromkeys(unit for unit, _ in sequence))}
    turn = [ranks[unit] for unit, _ in sequence]  # units without an operation in this direction do not count
    spans: dict[str, tuple[_Stay, ...]] = {}
    for name, positions in touches.items():
        how = residency.get(name)
        if how is None:
            continue
        found = []
        rest = positions
        while rest:
            first, covered = rest[0], 1
            while covered < len(rest) and (how is Residency.KEPT or turn[rest[covered]] - turn[rest[covered - 1]] <= 1):
                covered += 1
            near = [p for p in rest[:covered] if how is Residency.KEPT or turn[p] - turn[first] <= 1]
            twice = any(use.tensor == name and use.passes > 1 for use in sequence[first][1].reads)
            if covered > 1 or twice:
                found.append(_Stay(first, rest[covered - 1], near[-1]))
            rest = rest[covered:]
        if found:
            spans[name] = tuple(found)
    return spans


def _added(
    sequence: Sequence[tuple[int, Operation]], touches: Mapping[str, list[int]], spans: Mapping[str, tuple[_Stay, ...]]
) -> frozenset[str]:
    """Branch gradients that drain straight into a sum on chip.

    One is made by an operation and, in the very next, added to a tensor that is resident throughout and dies in
    the sum: the vector unit adds it while it drains, and it never has space of its own.
    """
    added = set()
    for position, (_, op) in enumerate(sequence):
        if not op.sums:
            continue
        dying = [name for name in op.in_place if any(span.last == position for span in spans.get(name, ()))]
        fresh = [name for name in dying if touches[name] == [position - 1, position]]
        there = [
            name
            for name in dying
            if name not in fresh and any(s.first < position and s.last == position for s in spans[name])
        ]
        if fresh and there:
            added.update(fresh)
    return frozenset(added)


def _read_elsewhere(
    training: TrainingGraph, names: Iterable[str], first: int, last: int, direction: Direction
) -> frozenset[str]:
    """Those of ``names`` that a later group of this direction, or backward after forward, reads from DRAM."""
    if direction is Direction.FORWARD:
        reader = training.last_forward_reader
        kept = training.saved | training.sent
        return frozenset(name for name in names if name in kept or reader.get(name, -1) > last)
    reader = training.last_backward_reader
    return frozenset(name for name in names if name in training.sent or reader.get(name, first) < first)


@dataclass(frozen=True, slots=True)
class _GroupContext:
    """What placing one operation of a group needs to know of the group."""

    training: TrainingGraph
    touches: Mapping[str, list[int]]
    spans: Mapping[str, tuple[_Stay, ...]]
    elsewhere: frozenset[str]
    normalization_passes: int
    added: frozenset[str] = frozenset()

    def life(self, name: str, position: int) -> tuple[int, _Stay] | None:
        """The number and span of a tensor's stay on chip at a position, or None."""
        for number, span in enumerate(self.spans.get(name, ())):
            if span.first <= position <= span.last:
                return number, span
        return None


def _place_one(
    stage: _GroupContext, position: int, op: Operation, live_bytes: int, frees: tuple[str, ...]
) -> PlacedOperation:
    tensors = stage.training.tensors
    reads = []
    for use in op.reads:
        life = stage.life(use.tensor, position)
        if life is not None:
            place = Place.LOADED if life[1].first == position else Place.RESIDENT
            reads.append(PlacedRead(tensors[use.tensor], use.role, place, 1, life[0]))
        else:
            passes = use.passes if op.whole_batch else min(use.passes, stage.normalization_passes)
            part = use.part_bytes
            reads.append(PlacedRead(tensors[use.tensor], use.role, Place.STREAMED, passes, part_bytes=part))
    writes = tuple(_place_write(stage, position, op, name, frees) for name in op.writes)
    overwritten = sum(tensors[write.overwrites].nbytes for write in writes if write.overwrites)
    return PlacedOperation(op, tuple(reads), writes, live_bytes - overwritten, frees)


def _place_write(stage: _GroupContext, position: int, op: Operation, name: str, frees: tuple[str, ...]) -> PlacedWrite:
    """A result stays on chip if it has a span, and goes to DRAM if anyone will read it from there.

    A ``next`` tensor is written for every use beyond the next unit's, so that what a unit does depends on its
    neighbours only.  A result takes over the space of an ``in_place`` tensor of the operation whose time on chip
    ends here.
    """
    tensor = stage.training.tensors[name]
    life = stage.life(name, position)
    kept = life is not None
    end = life[1].safe if life is not None else position
    stored = not tensor.batched or name in stage.elsewhere or stage.touches[name][-1] > end
    covers = None
    if life is not None and name == op.writes[0] and name not in stage.added:
        covers = next((old for old in op.in_place if old in frees), None)
    return PlacedWrite(tensor, kept, stored, covers, name in stage.added)
