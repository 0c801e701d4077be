"""What each step of a command does: its bytes, waits, posts and cycles, computed once and used by every iteration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wavecore.program.commands import Command, Flow, Load, Store, Token, due, progress


class StepLoad(NamedTuple):
    """A step's part of a load: which load of the command, its bytes, and those of this and all earlier steps."""

    number: int
    nbytes: int
    due_bytes: int


class StepNeed(NamedTuple):
    """Bytes of a tensor that a step needs: those of this sub-batch, beside ``sample_bytes`` for each sample before."""

    tensor: str
    nbytes: int
    sample_bytes: int


class StepPost(NamedTuple):
    """Bytes of a tensor that are on chip when a step has ended, and were not before."""

    tensor: str
    nbytes: int


class StepStore(NamedTuple):
    """A step's part of a store: which store of the command, its bytes, those of this and all earlier steps, those that
    free their space in the buffer when they have left, and those of samples that are now complete in DRAM."""

    number: int
    nbytes: int
    sent_bytes: int
    staged_bytes: int
    visible_bytes: int


class StepMove(NamedTuple):
    """One step of one of a command's loads or stores."""

    write: bool
    number: int
    step: int


@dataclass(frozen=True, slots=True)
class StepTable:
    """What each step of one command does; the outer index of every list but ``cycles`` is the step.

    ``takes``: bytes of the buffer that the step needs beside reservations; ``gives``: those that its end frees.
    ``waits``: what must be on chip, ``overwrites``: what must be in DRAM before the step works.
    ``cycles``: of each stage, the cycles of each step.
    ``packed``: DRAM bytes of transfers that are compressed there.
    """

    loads: list[list[StepLoad]]
    takes: list[int]
    gives: list[int]
    waits: list[list[StepNeed]]
    overwrites: list[list[StepNeed]]
    posts: list[list[StepPost]]
    stores: list[list[StepStore]]
    cycles: tuple[list[int], ...]
    packed: dict[StepMove, int]


def stored_bytes_needed(command: Command, load: Load, due_bytes: int) -> int:
    """Return the bytes of a batched tensor's sub-batch that must be in DRAM before ``due_bytes`` of a load are read."""
    size = load.transfer.tensor.nbytes * command.samples
    if load.flow.total > size or command.time_steps:  # the first pass, or time step, meets the last sample
        return size
    return min(size, due_bytes * size // load.flow.total)


def _deltas(cumulative: list[int]) -> list[int]:
    return [after - before for before, after in zip([0, *cumulative], cumulative, strict=False)]


def _spread(total: int, steps: int) -> list[int]:
    return _deltas([total * (step + 1) // steps for step in range(steps)])


def _needs(command: Command, tokens: tuple[Token, ...]) -> list[list[StepNeed]]:
    return [
        [StepNeed(token.tensor, due(token.flow, command, step), token.flow.sample_bytes) for token in tokens]
        for step in range(command.steps)
    ]


@lru_cache(maxsize=1 << 14)
def step_table(command: Command) -> StepTable:
    """Compute what each step of a command does."""
    takes, gives = [0] * command.steps, [0] * command.steps
    return StepTable(
        _loads(command, takes, gives),
        takes,
        gives,
        _needs(command, command.waits),
        _needs(command, command.overwrites),
        _posts(command),
        _stores(command, takes),
        tuple(_spread(stage.cycles, command.steps) for stage in command.work.stages),
        _packed(command),
    )


def _due(flow: Flow, command: Command, step: int) -> int:
    """Return the bytes that have been loaded before a step runs."""
    return due(flow, command, command.moves_with(step))


def _sent(flow: Flow, command: Command, step: int) -> int:
    """Return the bytes that have been stored when a step's results have."""
    last = command.moves_with(step)
    if step == last:
        return progress(flow, command, step)
    return progress(flow, command, last - command.move_steps) if last >= command.move_steps else 0


def _packed(command: Command) -> dict[StepMove, int]:
    """Return the DRAM bytes of the steps of compressed transfers: even shares, which add up to the whole."""
    packed = {}
    moves: list[tuple[int, Load | Store]] = [*enumerate(command.loads), *enumerate(command.stores)]
    for index, move in moves:
        whole = move.transfer.packed_bytes
        if whole is not None:
            moved = _due if isinstance(move, Load) else _sent
            dense = [moved(move.flow, command, step) for step in range(command.steps)]
            for step, nbytes in enumerate(_deltas([each * whole // move.flow.total for each in dense])):
                packed[StepMove(isinstance(move, Store), index, step)] = nbytes
    return packed


def _loads(command: Command, takes: list[int], gives: list[int]) -> list[list[StepLoad]]:
    """Return the loads of each step, and add the space that they take and give back to ``takes`` and ``gives``."""
    steps = range(command.steps)
    loads: list[list[StepLoad]] = [[] for _ in steps]
    for index, load in enumerate(command.loads):
        dues = [_due(load.flow, command, step) for step in steps]
        news = _deltas(dues)
        for step in steps:
            if news[step]:
                loads[step].append(StepLoad(index, news[step], dues[step]))
        if load.freed is not None:
            freed = Flow(load.flow.total, load.freed)
            for step, given in enumerate(_deltas([progress(freed, command, step) for step in steps])):
                takes[step] += news[step]
                gives[step] += given
    return loads


def _stores(command: Command, takes: list[int]) -> list[list[StepStore]]:
    """Return the stores of each step, and add the space that staged results take to ``takes``."""
    steps = range(command.steps)
    stores: list[list[StepStore]] = [[] for _ in steps]
    for index, store in enumerate(command.stores):
        dues = [_sent(store.flow, command, step) for step in steps]
        sent, made = _deltas(dues), _deltas([progress(store.flow, command, step) for step in steps])
        visible = Flow(store.flow.total, store.visible)
        seen = _deltas([_sent(visible, command, step) for step in steps])
        for step in steps:
            staged = sent[step] if store.staged else 0
            takes[step] += made[step] if store.staged else 0
            if sent[step] or seen[step]:
                stores[step].append(StepStore(index, sent[step], dues[step], staged, seen[step]))
    return stores


def _posts(command: Command) -> list[list[StepPost]]:
    steps = range(command.steps)
    posts: list[list[StepPost]] = [[] for _ in steps]
    for token in command.posts:
        made = _deltas([progress(token.flow, command, step) for step in steps])
        for step in steps:
            if made[step]:
                posts[step].append(StepPost(token.tensor, made[step]))
    return posts
