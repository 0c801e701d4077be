"""The order in which the computing units of a core work: blocks of commands, and stretches of their steps.

Queues are in order, and this is the order, chosen when the program is made.  A *block* is what is ordered together:
an iteration of a group, or neighbouring groups that run in one iteration each.  Blocks follow each other; within a
block a unit may work on a later command while an earlier one waits.  Loads, stores and the space of the buffer always
go by the commands' own order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wavecore.plan.model import QueueOrder
from wavecore.plan.placement import Direction
from wavecore.program.commands import Command, Program, Segment
from wavecore.program.list_schedule import Site, Stretch, list_schedule


class BlockPart(NamedTuple):
    """One iteration of a segment: its number among the core's segments, and the samples before it."""

    segment: Segment
    iteration: int
    first_sample: int


@dataclass(frozen=True, slots=True)
class Block:
    """Iterations that are ordered together."""

    parts: tuple[BlockPart, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands in their own order."""
        return tuple(command for part in self.parts for command in part.segment.iterations[part.iteration][1])


def blocks(program: Program, core: int) -> Iterator[Block]:
    """Yield the blocks of a core in order.

    The update is a block of its own, because it waits for the gradients of other cores.
    """
    together: list[BlockPart] = []
    for segment in program.cores[core]:
        alone = len(segment.iterations) > 1 or segment.direction is Direction.UPDATE
        if alone and together:
            yield Block(tuple(together))
            together = []
        start = 0
        for iteration, (samples, _) in enumerate(segment.iterations):
            part = BlockPart(segment, iteration, start)
            start += samples
            if alone:
                yield Block((part,))
            else:
                together.append(part)
    if together:
        yield Block(tuple(together))


def stretches(program: Program, block: Block) -> Mapping[str, tuple[Stretch, ...]]:
    """Return for each computing unit the stretches of steps on which it works in a block, in order."""
    update = block.parts[0].segment.direction is Direction.UPDATE
    if program.order is QueueOrder.PROGRAM or update or len(block.commands) < 2:
        return _in_program_order(block.commands)
    return list_schedule(tuple(_sites(block)), program.buffer_bytes, program.dram_bytes_per_cycle, program.result_slots)


def _sites(block: Block) -> Iterator[Site]:
    """Yield the commands of a block; each of its parts takes what its group holds, and gives it back."""
    for number, part in enumerate(block.parts):
        body, held = part.segment.iterations[part.iteration][1], part.segment.held_bytes
        for position, command in enumerate(body):
            yield Site(command, number, held * (not position), held * (position == len(body) - 1))


@lru_cache(maxsize=1 << 10)
def _in_program_order(commands: tuple[Command, ...]) -> Mapping[str, tuple[Stretch, ...]]:
    orders: dict[str, list[Stretch]] = {}
    for number, command in enumerate(commands):
        for stage in command.work.stages:
            orders.setdefault(stage.unit, []).append(Stretch(number, 0, command.steps))
    return {unit: tuple(order) for unit, order in orders.items()}


def order_lines(program: Program) -> Iterator[str]:
    """Yield the order of core 0's computing units as text; blocks with the same commands are written once."""
    known: dict[tuple[Command, ...], int] = {}
    for block in blocks(program, 0):
        known[block.commands] = known.get(block.commands, 0) + 1
    for commands, times in known.items():
        block = next(each for each in blocks(program, 0) if each.commands == commands)
        yield f"order of {commands[0].name} .. {commands[-1].name}, {times} times"
        for unit, order in stretches(program, block).items():
            yield f"  {unit}"
            for number, first, end in order:
                yield f"    {commands[number].name} {first}..{end - 1}"
