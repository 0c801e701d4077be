"""A lower bound of a program's time that no order of its commands can beat: the longest chain of dependences."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from wavecore.program.commands import Command, Program


class _Link(NamedTuple):
    """A command, how often it runs, and the earlier commands (by number) whose results it reads."""

    command: Command
    times: int
    sources: tuple[int, ...]


@lru_cache(maxsize=64)
def critical_path_cycles(program: Program) -> int:
    """Return the cycles of the longest chain of dependent commands of core 0.

    Commands pass their results on step by step, so a command before the longest one of the chain, or after it, counts
    with the cycles from its first operand to its first result.  The longest one counts with all its iterations.
    """
    links = list(_links(program))
    own = [_first_result_cycles(link.command) for link in links]
    heads, tails = [0] * len(links), [0] * len(links)
    for number, link in enumerate(links):
        heads[number] = max((heads[source] + own[source] for source in link.sources), default=0)
    for number in range(len(links) - 1, -1, -1):
        for source in links[number].sources:
            tails[source] = max(tails[source], tails[number] + own[number])
    work = (max(own[number], link.command.work.longest_stage_cycles * link.times) for number, link in enumerate(links))
    return max((head + cycles + tail for head, cycles, tail in zip(heads, work, tails, strict=True)), default=0)


def _links(program: Program) -> Iterator[_Link]:
    """Yield the commands of the first iteration of every segment, each with its sources."""
    makers: dict[str, int] = {}
    number = 0
    for segment in program.cores[0]:
        for command in segment.iterations[0][1] if segment.iterations else ():
            read = [load.transfer.tensor.name for load in command.loads if load.transfer.when != "after_first"]
            read += [token.tensor.split("#")[0] for token in command.waits]
            times = sum(each for body, each in segment.bodies if body is segment.iterations[0][1])
            yield _Link(command, times, tuple({makers[name] for name in read if name in makers}))
            made = [store.transfer.tensor.name for store in command.stores] + [token.tensor for token in command.posts]
            makers.update(dict.fromkeys(made, number))
            number += 1


def _first_result_cycles(command: Command) -> int:
    """Return the least cycles from a command's first operand to its first result.

    That is one step of each stage; a sweep over a sample before the results of the next sweep; and all time steps of a
    recurrent layer, each with the array's fill and drain.
    """
    stages = command.work.stages
    if command.time_steps:
        ends = sum(stage.fill_cycles + stage.drain_cycles for stage in stages)
        return command.work.longest_stage_cycles + command.time_steps * ends
    first = sum(stage.cycles // command.steps for stage in stages)
    if command.sweep_steps:
        first += stages[0].cycles * command.sweep_steps // command.steps
    return first
