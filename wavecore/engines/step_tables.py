"""A command's steps spelled out: the bytes, waits and posts of each, computed once and used by every iteration."""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.program.commands import Command, Flow, Load, Store, Token, due, progress


@dataclass(frozen=True, slots=True)
class StepTable:
    """Per step (outer index) of one command.

    ``loads``: (index of the load, bytes, bytes due so far); ``takes``: buffer bytes that the step needs beside
    reservations; ``gives``: those that its end frees; ``waits`` and ``overwrites``: (tensor,
    bytes that must be on chip, or in DRAM, bytes of a sample); ``posts``:
    (tensor, bytes that are new); ``stores``: (index of the store, bytes, staged bytes, bytes newly visible).
    ``packed``: DRAM bytes of a tensor that is compressed there, by (is a store, index, step).
    """

    loads: list[list[tuple[int, int, int]]]
    takes: list[int]
    gives: list[int]
    waits: list[list[tuple[str, int, int]]]
    overwrites: list[list[tuple[str, int, int]]]
    posts: list[list[tuple[str, int]]]
    stores: list[list[tuple[int, int, int, int]]]
    array: list[int]
    vector: list[int]
    packed: dict[tuple[bool, int, int], int]


def _deltas(cumulative: list[int]) -> list[int]:
    return [after - before for before, after in zip([0, *cumulative], cumulative, strict=False)]


def _spread(total: int, steps: int) -> list[int]:
    return _deltas([total * (step + 1) // steps for step in range(steps)])


def _needs(command: Command, tokens: tuple[Token, ...]) -> list[list[tuple[str, int, int]]]:
    return [
        [(token.tensor, due(token.flow, command, step), token.flow.sample_bytes) for token in tokens]
        for step in range(command.steps)
    ]


def step_table(command: Command) -> StepTable:
    """Spell out a command's steps."""
    takes, gives = [0] * command.steps, [0] * command.steps
    return StepTable(
        _loads(command, takes, gives),
        takes,
        gives,
        _needs(command, command.waits),
        _needs(command, command.overwrites),
        _posts(command),
        _stores(command, takes),
        _spread(command.work.array_cycles, command.steps),
        _spread(command.work.vector_cycles, command.steps),
        _packed(command),
    )


def _packed(command: Command) -> dict[tuple[bool, int, int], int]:
    """DRAM bytes of the steps of compressed transfers: even shares, which add up to the whole."""
    packed = {}
    moves: list[tuple[int, Load | Store]] = [*enumerate(command.loads), *enumerate(command.stores)]
    for index, move in moves:
        whole = move.transfer.packed_bytes
        if whole is not None:
            moved = due if isinstance(move, Load) else progress
            dense = [moved(move.flow, command, step) for step in range(command.steps)]
            for step, nbytes in enumerate(_deltas([each * whole // move.flow.total for each in dense])):
                packed[isinstance(move, Store), index, step] = nbytes
    return packed


def _loads(command: Command, takes: list[int], gives: list[int]) -> list[list[tuple[int, int, int]]]:
    """The loads of each step; books the space that they take and give back."""
    steps = range(command.steps)
    loads: list[list[tuple[int, int, int]]] = [[] for _ in steps]
    for index, load in enumerate(command.loads):
        dues = [due(load.flow, command, step) for step in steps]
        news = _deltas(dues)
        for step in steps:
            if news[step]:
                loads[step].append((index, news[step], dues[step]))
        if load.freed is not None:
            freed = Flow(load.flow.total, load.freed)
            for step, given in enumerate(_deltas([progress(freed, command, step) for step in steps])):
                takes[step] += news[step]
                gives[step] += given
    return loads


def _stores(command: Command, takes: list[int]) -> list[list[tuple[int, int, int, int]]]:
    """The stores of each step; books the space that staged results take."""
    steps = range(command.steps)
    stores: list[list[tuple[int, int, int, int]]] = [[] for _ in steps]
    for index, store in enumerate(command.stores):
        sent = _deltas([progress(store.flow, command, step) for step in steps])
        visible = Flow(store.flow.total, store.visible)
        seen = _deltas([progress(visible, command, step) for step in steps])
        for step in steps:
            staged = sent[step] if store.staged else 0
            takes[step] += staged
            if sent[step] or seen[step]:
                stores[step].append((index, sent[step], staged, seen[step]))
    return stores


def _posts(command: Command) -> list[list[tuple[str, int]]]:
    steps = range(command.steps)
    posts: list[list[tuple[str, int]]] = [[] for _ in steps]
    for token in command.posts:
        made = _deltas([progress(token.flow, command, step) for step in steps])
        for step in steps:
            if made[step]:
                posts[step].append((token.tensor, made[step]))
    return posts
