"""Where each tensor is when an operation of a group runs: on chip, loaded to stay, or streamed through.

Placing a group does not depend on the sub-batch: all sizes are per sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wavecore.common.memo import remembered
from wavecore.common.names import Name
from wavecore.plan.model import Group, Plan, Residency
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import OperandRole, Operation, Phase, Tensor, Use


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
    """A read, and where it finds its tensor.

    ``passes`` (how often the operation goes over the tensor in DRAM) and ``part_bytes`` (the part of each sample
    that is read, if not all) apply to streamed reads only.  ``life`` numbers the stays on chip of a tensor that
    leaves the chip and is loaded again.
    """

    tensor: Tensor
    role: OperandRole
    place: Place
    passes: int
    life: int = 0
    part_bytes: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that are read on chip: per sample, or in all if the tensor is not batched."""
        return self.tensor.nbytes if self.part_bytes is None else self.part_bytes

    @property
    def dram_bytes(self) -> int:
        """The same bytes as they lie in DRAM, where the tensor may be compressed."""
        return self.tensor.dram_bytes * self.nbytes // self.tensor.nbytes


@dataclass(frozen=True, slots=True)
class PlacedWrite:
    """A result: ``kept`` on chip, ``stored`` to DRAM, or both.

    ``overwrites`` names the tensor whose space it takes over.  A result that is ``accumulated_in_place`` is added to
    a resident sum as it leaves the array, and takes no space.
    """

    tensor: Tensor
    kept: bool
    stored: bool
    overwrites: str | None = None
    accumulated_in_place: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PlacedOperation:
    """An operation with its tensors placed.

    ``live_bytes`` per sample are taken by resident tensors while it runs, its own and others'; the tensors in
    ``frees`` give their space back when it is done.
    """

    operation: Operation
    reads: tuple[PlacedRead, ...]
    writes: tuple[PlacedWrite, ...]
    live_bytes: int
    frees: tuple[str, ...]


def operations_of(
    training: TrainingGraph, first: int, last: int, direction: Direction, deferred: frozenset[str] = frozenset()
) -> list[tuple[int, Operation]]:
    """Return the operations of units ``first`` to ``last`` in the order in which they run, each with its unit.

    The weight gradients of the units in ``deferred`` run after all else that the unit does backward.
    """
    units = training.units
    if direction is Direction.FORWARD:
        return [(index, op) for index in range(first, last + 1) for op in units[index].forward]
    if direction is Direction.BACKWARD:
        return [
            (index, op)
            for index in range(last, first - 1, -1)
            for op in (_deferring(units[index]) if units[index].name in deferred else units[index].backward)
        ]
    return [(index, op) for index in range(first, last + 1) for op in units[index].update]


def _deferring(unit: FusedLayer) -> list[Operation]:
    return sorted(unit.backward, key=lambda op: op.phase is Phase.WEIGHT_GRADIENT)


@dataclass(frozen=True, slots=True)
class _Stay:
    """The operations, by position in the group, between which a tensor is on chip.

    ``last_local`` is the last use that needs no copy of the tensor in DRAM: a tensor with later uses is stored too,
    whether or not it is still on chip then.
    """

    first: int
    last: int
    last_local: int


Stays = Mapping[str, tuple[_Stay, ...]]


def place(
    training: TrainingGraph,
    first: int,
    last: int,
    direction: Direction,
    residency: Mapping[str, Residency],
    normalization_passes: int = 2,
    deferred: frozenset[str] = frozenset(),
) -> tuple[PlacedOperation, ...]:
    """Place the tensors of units ``first`` to ``last`` (inclusive) in one direction; ``deferred``: `operations_of`.

    An operation that is placed alike in several groups is the same object in all of them.
    """
    sequence = operations_of(training, first, last, direction, deferred)
    touches = _touches(training, sequence)
    stays = _stays(sequence, touches, residency)
    group = _GroupContext(
        training,
        touches,
        stays,
        _read_elsewhere(training, touches, first, last, direction),
        normalization_passes,
        _drained_into_sums(sequence, touches, stays),
    )
    begin, end = group.tensors_by_position()
    placed = []
    live = 0
    for position, (_, op) in enumerate(sequence):
        live += group.nbytes(begin.get(position, ()))
        frees = tuple(end.get(position, ()))
        placed.append(_shared(training, _place_operation(group, position, op, live, frees)))
        live -= group.nbytes(frees)
    return tuple(placed)


def groups_of(plan: Plan, direction: Direction) -> tuple[Group, ...]:
    """Return the groups that a plan runs in a direction, in the order of the network."""
    return plan.groups_of_backward if direction is Direction.BACKWARD else plan.groups


def place_group(
    training: TrainingGraph,
    group: Group,
    direction: Direction,
    normalization_passes: int,
    deferred: frozenset[str] = frozenset(),
) -> tuple[PlacedOperation, ...]:
    """Place a group of a plan; the same group of the same graph gives the same objects again."""
    residency = group.backward if direction is Direction.BACKWARD else group.forward
    first, last = training.unit_index[group.units[0]], training.unit_index[group.units[-1]]
    placed = _place_again(training, first, last, direction, tuple(residency.items()), normalization_passes, deferred)
    return _hold(training, placed, group.held) if group.held else placed


@remembered(limit=1024)
def _place_again(
    training: TrainingGraph,
    first: int,
    last: int,
    direction: Direction,
    residency: tuple[tuple[str, Residency], ...],
    normalization_passes: int,
    deferred: frozenset[str],
) -> tuple[PlacedOperation, ...]:
    return place(training, first, last, direction, dict(residency), normalization_passes, deferred)


@remembered(limit=1024)
def _hold(
    training: TrainingGraph, placed: tuple[PlacedOperation, ...], held: frozenset[str]
) -> tuple[PlacedOperation, ...]:
    """Place operations again with the tensors that their group holds on chip over all iterations."""
    names = (held.intersection(_touched(operation.operation)) for operation in placed)
    return tuple(
        _hold_own(training, operation, own) if own else operation for operation, own in zip(placed, names, strict=True)
    )


@remembered(limit=1 << 14)
def _hold_own(training: TrainingGraph, placed: PlacedOperation, held: frozenset[str]) -> PlacedOperation:
    """Find on chip, and leave there, those tensors of one operation that are held."""
    reads = (
        replace(read, place=Place.RESIDENT) if read.place is Place.STREAMED and read.tensor.name in held else read
        for read in placed.reads
    )
    writes = (replace(write, kept=True) if write.tensor.name in held else write for write in placed.writes)
    return _shared(training, replace(placed, reads=tuple(reads), writes=tuple(writes)))


@remembered(
    limit=1 << 14,
    key=lambda placed: (id(placed.operation), placed.reads, placed.writes, placed.live_bytes, placed.frees),
)
def _shared(training: TrainingGraph, placed: PlacedOperation) -> PlacedOperation:
    """Return the first operation that was placed like this one."""
    return placed


def _touched(op: Operation) -> dict[str, None]:
    """Return the names of the tensors that an operation reads or writes, each once and in order."""
    return dict.fromkeys((*(use.tensor for use in op.reads), *op.writes))


def _touches(training: TrainingGraph, sequence: Sequence[tuple[int, Operation]]) -> dict[str, list[int]]:
    """Return the positions at which each batched tensor is read or written."""
    touches: dict[str, list[int]] = {}
    for position, (_, op) in enumerate(sequence):
        for name in _touched(op):
            if training.tensors[name].batched:
                touches.setdefault(name, []).append(position)
    return touches


def _stays(
    sequence: Sequence[tuple[int, Operation]],
    touches: Mapping[str, list[int]],
    residency: Mapping[str, Residency],
) -> Stays:
    """Return when each tensor with residency is on chip: it may leave, be loaded for a later use, and stay again."""
    numbers = {unit: rank for rank, unit in enumerate(dict.fromkeys(unit for unit, _ in sequence))}
    ranks = [numbers[unit] for unit, _ in sequence]  # units without an operation in this direction do not count
    found = {}
    for name, positions in touches.items():
        if name in residency:
            stays = tuple(
                _stay(uses, ranks, residency[name])
                for uses in _uses_together(positions, ranks, residency[name])
                if len(uses) > 1 or _sweeps_twice(sequence[uses[0]][1], name)
            )
            if stays:
                found[name] = stays
    return found


def _uses_together(positions: Sequence[int], ranks: Sequence[int], residency: Residency) -> Iterator[list[int]]:
    """Cut the uses of a tensor into runs through which it stays on chip.

    ``ranks`` gives for each position the rank of its unit.  ``kept``: all uses are one run; ``next``: a run ends where
    the next use is beyond the next unit.
    """
    run: list[int] = []
    for position in positions:
        if run and residency is Residency.NEXT and ranks[position] - ranks[run[-1]] > 1:
            yield run
            run = []
        run.append(position)
    yield run


def _stay(uses: Sequence[int], ranks: Sequence[int], residency: Residency) -> _Stay:
    """Return the stay of a tensor on chip through a run of its uses."""
    near = [use for use in uses if residency is Residency.KEPT or ranks[use] - ranks[uses[0]] <= 1]
    return _Stay(uses[0], uses[-1], near[-1])


def _sweeps_twice(op: Operation, name: str) -> bool:
    """Whether an operation goes over a tensor more than once, so that keeping it for this use alone saves reads."""
    return any(use.tensor == name and use.passes > 1 for use in op.reads)


def _drained_into_sums(
    sequence: Sequence[tuple[int, Operation]], touches: Mapping[str, list[int]], stays: Stays
) -> frozenset[str]:
    """Return the branch gradients that are added to a resident sum as they leave the array.

    The gradient is made by one operation and added by the very next one to a tensor that has been on chip before and
    ends there.  The vector unit then adds while it drains, and the gradient never has space of its own.
    """
    drained: set[str] = set()
    for position, (_, op) in enumerate(sequence):
        if op.sums:
            ending = {name: stay for name in op.in_place for stay in stays.get(name, ()) if stay.last == position}
            new = [name for name in ending if touches[name] == [position - 1, position]]
            if any(stay.first < position for name, stay in ending.items() if name not in new):
                drained.update(new)
    return frozenset(drained)


def _read_elsewhere(
    training: TrainingGraph, names: Iterable[str], first: int, last: int, direction: Direction
) -> frozenset[str]:
    """Return those of ``names`` that are read from DRAM after the group, in this direction or in a later one."""
    if direction is Direction.FORWARD:
        reader = training.last_forward_reader
        kept = training.saved | training.sent
        return frozenset(name for name in names if name in kept or reader.get(name, -1) > last)
    reader = training.last_backward_reader
    return frozenset(name for name in names if name in training.sent or reader.get(name, first) < first)


@dataclass(frozen=True, slots=True)
class _GroupContext:
    """What placing one operation needs to know of its group.

    ``touches`` and ``stays`` are by batched tensor; ``elsewhere`` are tensors that are read from DRAM after the group,
    ``drained`` gradients that take no space (see `_drained_into_sums`).
    """

    training: TrainingGraph
    touches: Mapping[str, list[int]]
    stays: Stays
    elsewhere: frozenset[str]
    normalization_passes: int
    drained: frozenset[str]

    def nbytes(self, names: Iterable[str]) -> int:
        """Return the bytes per sample of some tensors."""
        return sum(self.training.tensors[name].nbytes for name in names)

    def tensors_by_position(self) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
        """Return which tensors come on chip before, and which leave it after, the operation at each position."""
        begin: dict[int, list[str]] = {}
        end: dict[int, list[str]] = {}
        for name, stays in self.stays.items():
            if name not in self.drained:
                for stay in stays:
                    begin.setdefault(stay.first, []).append(name)
                    end.setdefault(stay.last, []).append(name)
        return begin, end

    def stay_at(self, name: str, position: int) -> tuple[int, _Stay] | None:
        """Return the number and the stay of a tensor that is on chip at a position, or None."""
        for number, stay in enumerate(self.stays.get(name, ())):
            if stay.first <= position <= stay.last:
                return number, stay
        return None


def _place_operation(
    group: _GroupContext, position: int, op: Operation, live_bytes: int, frees: tuple[str, ...]
) -> PlacedOperation:
    names = [use.tensor for use in op.reads]
    reads = tuple(_place_read(group, position, op, use, use.tensor in names[:at]) for at, use in enumerate(op.reads))
    writes = tuple(_place_write(group, position, op, name, frees) for name in op.writes)
    overwritten = group.nbytes(write.overwrites for write in writes if write.overwrites)
    return PlacedOperation(op, reads, writes, live_bytes - overwritten, frees)


def _place_read(group: _GroupContext, position: int, op: Operation, use: Use, again: bool) -> PlacedRead:
    """Place a read: the first use of a stay loads the tensor, later ones find it, and without a stay it streams.

    ``again``: the operation has read the tensor already, as the other operand of a product.
    """
    tensor, found = group.training.tensors[use.tensor], group.stay_at(use.tensor, position)
    if found is None:
        passes = use.passes if op.whole_batch else min(use.passes, group.normalization_passes)
        return PlacedRead(tensor, use.role, Place.STREAMED, passes, part_bytes=use.part_bytes)
    number, stay = found
    loads = stay.first == position and not again
    return PlacedRead(tensor, use.role, Place.LOADED if loads else Place.RESIDENT, 1, number)


def _place_write(group: _GroupContext, position: int, op: Operation, name: str, frees: tuple[str, ...]) -> PlacedWrite:
    """Place a result: on chip if it has a stay, and in DRAM if it is read from there later.

    A ``next`` tensor is stored for every use beyond the next unit's, so that the bytes that a unit moves depend on its
    neighbours only.  A result takes over the space of a tensor that it may overwrite and whose stay ends here.
    """
    tensor, found = group.training.tensors[name], group.stay_at(name, position)
    last_local = position if found is None else found[1].last_local
    stored = not tensor.batched or name in group.elsewhere or group.touches[name][-1] > last_local
    overwrites = None
    if found is not None and name not in group.drained:
        overwrites = next((old for old in op.may_overwrite(name) if old in frees), None)
    return PlacedWrite(tensor, found is not None, stored, overwrites, name in group.drained)
