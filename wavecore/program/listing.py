"""A program as text: the commands of core 0, a line for everything that a queue does for one, and a legend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wavecore.common.units import format_bytes
from wavecore.errors import unknown_name
from wavecore.program.commands import Command, Flow, Mapping, Program, Segment, StepProfile

LEGEND = (
    ("reserve", "take buffer space before the command, of a tensor that stays or of the operands that pass (stage)"),
    ("load", "read DRAM into the buffer"),
    ("wait", "begin a step when so many bytes are on chip; in DRAM: when they are written, and may be overwritten"),
    ("post", "make so many bytes known, step by step, to those that wait for them"),
    ("store", "write DRAM from the buffer"),
    ("release", "give buffer space back after the command"),
    (StepProfile.EVEN, "an equal share of the bytes with each step"),
    (StepProfile.AT_ONCE, "all bytes with the first step"),
    (StepProfile.AT_END, "all bytes with the last step"),
    (StepProfile.FIRST_BLOCK, "evenly over the steps of the first block, one of several parts of the output"),
    (StepProfile.LAST_BLOCK, "evenly over the steps of the last block"),
    (StepProfile.ROUND_START, "block by block, each with its first step"),
    (StepProfile.ROUND_END, "block by block, each with its last step"),
    (StepProfile.FIRST_SWEEP, "sample by sample, in the first of two sweeps over each"),
    (StepProfile.SECOND_SWEEP, "sample by sample, in the second"),
    ("first", "in the first iteration only: what is held from then on"),
    ("after_first", "not in the first iteration: partial sums that earlier ones have left in DRAM"),
    ("last", "in the last iteration only: what was held until then"),
)
"""What each word of a listing means."""

_WIDTH = max(len(word) for word, _ in LEGEND)


class Line(NamedTuple):
    """One thing that a queue does for a command."""

    queue: str
    verb: str
    what: str
    size: int
    how: str = ""

    def __str__(self) -> str:
        return f"{self.queue:7} {self.verb:7} {self.what}  {format_bytes(self.size)}  {self.how}".rstrip()


def legend_lines() -> Iterator[str]:
    """Yield the legend of a listing."""
    for word, meaning in LEGEND:
        yield f"# {word:{_WIDTH}}  {meaning}"


def program_lines(program: Program, *, queue: str = "", layer: str = "") -> Iterator[str]:
    """Yield the lines of the text form: core 0's commands, with equal iterations written once.

    ``queue`` and ``layer`` narrow it to the lines of one queue, and to the commands of one fused layer.  Raises
    `NameLookupError` for one that the program does not have.
    """
    _check(program, queue, layer)
    cores = f"{len(program.cores)} cores, {format_bytes(program.buffer_bytes)} each"
    yield f"program {program.workload} {program.schedule}: {cores}, queues in {program.order} order"
    for segment in program.cores[0]:
        listed = list(_segment_lines(segment, queue, layer))
        if listed:
            held = f", holds {format_bytes(segment.held_bytes)}" if segment.held_bytes else ""
            yield f"segment {segment.name} {segment.direction}{held}"
            yield from listed


def command_lines(command: Command) -> Iterator[Line]:
    """Yield what the queues do for a command, in the order of a step."""
    first, last = command.work.stages[0].unit, command.work.stages[-1].unit
    for name, size in command.reserves:
        yield Line("load", "reserve", name, size)
    if command.stage_bytes:
        yield Line("load", "reserve", "stage", command.stage_bytes)
    for load in command.loads:
        yield Line("load", "load", load.transfer.tensor.name, load.flow.total, _how(load.flow, load.transfer.when))
        if load.posts:
            yield Line("load", "post", load.posts, load.flow.total, load.flow.profile)
    for token in command.waits:
        yield Line(first, "wait", token.tensor, token.flow.total, token.flow.profile)
    for token in command.overwrites:
        yield Line(first, "wait", f"{token.tensor} in DRAM", token.flow.total, token.flow.profile)
    for token in command.posts:
        yield Line(last, "post", token.tensor, token.flow.total, token.flow.profile)
    for store in command.stores:
        yield Line(
            "store", "store", store.transfer.tensor.name, store.flow.total, _how(store.flow, store.transfer.when)
        )
    for name, size in command.releases:
        yield Line("store", "release", name, size)


def _how(flow: Flow, when: str) -> str:
    return flow.profile if when == "always" else f"{flow.profile} ({when})"


def _segment_lines(segment: Segment, queue: str, layer: str) -> Iterator[str]:
    for body, times in segment.bodies:
        chosen = [command for command in body if layer in ("", command.unit)]
        if chosen:
            yield f"  repeat {times} x {body[0].samples} samples"
        for command in chosen:
            yield f"    {_title(command)}"
            yield from (f"      {line}" for line in command_lines(command) if queue in ("", line.queue))


def _title(command: Command) -> str:
    times = f" in {command.time_steps} time steps" if command.time_steps else ""
    stages = ", ".join(f"{stage.unit} {stage.cycles} cycles" for stage in command.work.stages)
    mapping = "" if command.work.mapping in (None, Mapping.PLAIN) else f"{command.work.mapping}, "
    return f"{command.name}: {command.steps} steps{times}, {command.order}, {mapping}{stages}"


def _check(program: Program, queue: str, layer: str) -> None:
    """Raise `NameLookupError` for a queue or a layer that no command has."""
    commands = [command for segment in program.cores[0] for body, _ in segment.bodies for command in body]
    units = {stage.unit: None for command in commands for stage in command.work.stages}
    if queue and queue not in (queues := ("load", *units, "store")):
        raise unknown_name("queue", "queue", queue, queues)
    if layer and layer not in (layers := {command.unit: None for command in commands}):
        raise unknown_name("layer", "fused layer", layer, layers)
