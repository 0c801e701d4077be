"""The order in which the computing units of a core work: sections of commands, and stretches of their steps.

Queues are in order, and this is the order, chosen when the program is made.  A *section* is what is ordered together:
an iteration of a group, or neighbouring groups that run in one iteration each.  Sections follow each other; within a
section a unit may work on a later command while an earlier one waits.  Loads, stores and the space of the buffer always
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
from wavecore.program.list_schedule import SectionCommand, Stretch, list_schedule


class SectionPart(NamedTuple):
    """One iteration of a segment: its number among the core's segments, and the samples before it."""

    segment: Segment
    iteration: int
    first_sample: int


@dataclass(frozen=True, slots=True)
class Section:
    """Iterations that are ordered together."""

    parts: tuple[SectionPart, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands in their own order."""
        return tuple(command for part in self.parts for command in part.segment.iterations[part.iteration][1])


def sections(program: Program, core: int) -> Iterator[Section]:
    """Yield the sections of a core in order.

    The update is a section of its own, because it waits for the gradients of other cores.
    """
    together: list[SectionPart] = []
    for segment in program.cores[core]:
        alone = len(segment.iterations) > 1 or segment.direction is Direction.UPDATE
        if alone and together:
            yield Section(tuple(together))
            together = []
        start = 0
        for iteration, (samples, _) in enumerate(segment.iterations):
            part = SectionPart(segment, iteration, start)
            start += samples
            if alone:
                yield Section((part,))
            else:
                together.append(part)
    if together:
        yield Section(tuple(together))


def stretches(program: Program, section: Section) -> Mapping[str, tuple[Stretch, ...]]:
    """Return for each computing unit the stretches of steps on which it works in a section, in order."""
    update = section.parts[0].segment.direction is Direction.UPDATE
    if program.order is QueueOrder.PROGRAM or update or len(section.commands) < 2:
        return _in_program_order(section.commands)
    return list_schedule(
        tuple(_sites(section)), program.buffer_bytes, program.dram_bytes_per_cycle, program.result_slots
    )


def _sites(section: Section) -> Iterator[SectionCommand]:
    """Yield the commands of a section; each of its parts takes what its group holds, and gives it back."""
    for number, part in enumerate(section.parts):
        body, held = part.segment.iterations[part.iteration][1], part.segment.held_bytes
        for position, command in enumerate(body):
            yield SectionCommand(command, number, held * (not position), held * (position == len(body) - 1))


@lru_cache(maxsize=1 << 10)
def _in_program_order(commands: tuple[Command, ...]) -> Mapping[str, tuple[Stretch, ...]]:
    orders: dict[str, list[Stretch]] = {}
    for number, command in enumerate(commands):
        for stage in command.work.stages:
            orders.setdefault(stage.unit, []).append(Stretch(number, 0, command.steps))
    return {unit: tuple(order) for unit, order in orders.items()}


def order_lines(program: Program) -> Iterator[str]:
    """Yield the order of core 0's computing units as text; sections with the same commands are written once."""
    alike: dict[tuple[Command, ...], list[Section]] = {}
    for section in sections(program, 0):
        alike.setdefault(section.commands, []).append(section)
    for commands, found in alike.items():
        yield f"order of {commands[0].name} .. {commands[-1].name}, {len(found)} times"
        for unit, order in stretches(program, found[0]).items():
            yield f"  {unit}"
            for number, first, end in order:
                yield f"    {commands[number].name} {first}..{end - 1}"
