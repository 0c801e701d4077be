"""A command's steps spelled out: the bytes, waits and posts of each, computed once and used by every iteration."""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.program import Command, Flow, Token, due, progress


@dataclass(frozen=True, slots=True)
class StepTable:
    """Per step (outer index) of one command.

    ``loads``: (index of the load, bytes, bytes due so far); ``takes``: buffer bytes that the step needs beside
    reservations; ``gives``: those that its end frees; ``waits`` and ``overwrites``: (tensor,
    bytes that must be on chip, or in DRAM, bytes of a sample); ``posts``:
    (tensor, bytes that are new); ``stores``: (index of the store, bytes, staged bytes, bytes newly visible).
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
    steps = range(command.steps)
    takes, gives = [0] * command.steps, [0] * command.steps
    loads: list[list[tuple[int, int, int]]] = [[] for _ in steps]
    for index, load in enumerate(command.loads):
        dues = [due(load.flow, command, step) for step in steps]
        for step, nbytes in enumerate(_deltas(dues)):
            if nbytes:
                loads[step].append((index, nbytes, dues[step]))
        if load.freed is not None:
            freed = Flow(load.flow.total, load.freed)
            for step, (taken, given) in enumerate(
                zip(_deltas(dues), _deltas([progress(freed, command, s) for s in steps]), strict=True)
            ):
                takes[step] += taken
                gives[step] += given
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
    posts: list[list[tuple[str, int]]] = [[] for _ in steps]
    for token in command.posts:
        made = _deltas([progress(token.flow, command, step) for step in steps])
        for step in steps:
            if made[step]:
                posts[step].append((token.tensor, made[step]))
    return StepTable(
        loads,
        takes,
        gives,
        _needs(command, command.waits),
        _needs(command, command.overwrites),
        posts,
        stores,
        _spread(command.work.array_cycles, command.steps),
        _spread(command.work.vector_cycles, command.steps),
    )


