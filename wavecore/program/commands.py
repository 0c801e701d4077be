"""What a program is: for each core the commands that its units work through, and the tokens between them.

A *command* is one operation on one sub-batch, cut into *steps*.  In each step the load unit reserves space and reads
DRAM, the computing units do the step's share of the command's *stages* one after the other (the array multiplies, the
vector unit drains it; or the vector unit sweeps), and the store unit writes DRAM and releases space.  Units run
concurrently, each through its queue of commands in order.  Only tokens order them among each other: a step *waits*
until a given number of bytes of a tensor is on chip (or in DRAM), and *posts* the bytes that it makes.  A `StepProfile`
says how many bytes of a total go with each step.

Equal iterations share their commands, so a program is as long as the network is deep, not as the step is long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wavecore.common.names import Name
from wavecore.common.notebook import table_html
from wavecore.plan.blocking import LoopOrder
from wavecore.plan.model import QueueOrder
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import Transfer
from wavecore.program.counters import Counters
from wavecore.training.operations import Phase


class StepProfile(Name):
    """How the bytes of a total are spread over the steps of a command."""

    EVEN = "even"
    AT_ONCE = "at_once"  # all with the first step
    AT_END = "at_end"  # all with the last step
    FIRST_BLOCK = "first_block"  # evenly over the steps of the first block
    LAST_BLOCK = "last_block"  # evenly over the steps of the last block
    ROUND_START = "round_start"  # block by block, each with its first step
    ROUND_END = "round_end"  # block by block, each with its last step
    FIRST_SWEEP = "first_sweep"  # sample by sample, in the first sweep over each
    SECOND_SWEEP = "second_sweep"  # sample by sample, in the second sweep over each


class Mapping(Name):
    """Where and how the products of a command run."""

    PLAIN = "plain"  # on the array, one after the other: a dense layer
    BY_GROUP = "by_group"  # the same, of a grouped convolution: group by group
    TRIMMED = "trimmed"  # on the array; waves leave out positions that none of their taps reaches: a data gradient
    PACKED = "packed"  # on the array, several groups side by side
    VECTOR = "vector"  # on the vector unit, as lane operations


class After(Name):
    """The stores of a tensor that must be done before it can be read from DRAM."""

    NOTHING = "nothing"  # it was there before the step
    OWN = "own"  # this core's, sample by sample
    ALL = "all"  # every core's, all of it


@dataclass(frozen=True, slots=True)
class Flow:
    """How the ``total`` bytes of something spread over a command's steps: by a ``profile``.

    A step needs ``lookahead`` bytes more than its share, but none of a later sample.  ``sample_bytes`` is 0 for a
    tensor that is not batched.
    """

    total: int
    profile: StepProfile
    lookahead: int = 0
    sample_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """A DRAM read.

    Its space is taken step by step and given back at the profile ``freed``, or is part of a reservation (None).
    ``after`` names the stores that it waits for; ``posts`` is the token for which later commands wait.
    """

    transfer: Transfer
    flow: Flow
    freed: StepProfile | None
    after: After = After.NOTHING
    posts: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """A DRAM write.

    If it is ``staged``, its bytes are in the buffer only to leave it: space is taken and given back step by step.
    At the profile ``visible`` samples are complete in DRAM and can be read from there.
    """

    transfer: Transfer
    flow: Flow
    staged: bool
    visible: StepProfile


@dataclass(frozen=True, slots=True)
class Token:
    """A wait for, or a post of, bytes of a tensor on chip; `token_name` gives the name for each stay of the tensor."""

    tensor: str
    flow: Flow


def token_name(tensor: str, life: int) -> str:
    """Return the name of a tensor's stay on chip: the tensor's, followed by ``life`` if it is not the first stay."""
    return f"{tensor}#{life}" if life else tensor


class RowKey(NamedTuple):
    """What a row of a result is about: a layer, with what is fused into it, in one phase."""

    layer: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one command costs one unit of the core: ``cycles`` of work, spread evenly over the command's steps.

    ``fill_cycles`` come before a step when the unit was idle.  ``drain_cycles`` pass between the unit's last step, or
    that of each time step, and the next stage's work on its results.
    """

    unit: str
    cycles: int
    fill_cycles: int = 0
    drain_cycles: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCost(Counters):
    """What a command computes: its stages in the order of the data, and what it counts.

    Products on the array have a stage there and one on the vector unit, everything else only the latter.  ``mapping``
    is that of the products, None for a sweep.  ``output_tiles`` are those of the array.
    """

    mapping: Mapping | None = None
    stages: tuple[StageCost, ...] = ()
    output_tiles: int = 0

    def slot_steps(self, steps: int) -> int:
        """Return how many of ``steps`` steps make one output tile, which fills an accumulator; at least one.

        The results of a step of several output tiles leave the accumulators as they come.
        """
        return max(1, steps // self.output_tiles) if self.output_tiles else 1

    @property
    def chained(self) -> bool:
        """Whether one unit hands results on to another, as the array does."""
        return len(self.stages) > 1

    @property
    def longest_stage_cycles(self) -> int:
        """Cycles of the stage that works longest."""
        return max((stage.cycles for stage in self.stages), default=0)

    def stage(self, unit: str) -> StageCost:
        """Return the stage on a unit; without one, a stage of no cycles."""
        return next((stage for stage in self.stages if stage.unit == unit), StageCost(unit, 0))


@dataclass(frozen=True, eq=False)
class Command:
    """One operation on one sub-batch of one core.

    ``waits`` are for tensors on chip, ``overwrites`` for tensors that must be in DRAM before their space is
    written over; ``takes_over`` are the tokens of those whose space its results take.  ``reserves`` and ``releases``
    are resident tensors, with their bytes, whose space is taken before the command and given back after it;
    ``stage_bytes`` is other space that it has from beginning to end.  The ``time_steps`` of a recurrent layer are equal
    runs of steps; each begins when the last stage of the one before it is done.  The DRAM bytes of ``move_steps``
    steps move together: loads with the first, stores with the last of them.
    """

    name: str
    unit: str
    phase: Phase
    samples: int
    steps: int
    blocks: int
    sweep_steps: int
    order: LoopOrder
    loads: tuple[Load, ...]
    stores: tuple[Store, ...]
    waits: tuple[Token, ...]
    overwrites: tuple[Token, ...]
    posts: tuple[Token, ...]
    reserves: tuple[tuple[str, int], ...]
    releases: tuple[tuple[str, int], ...]
    stage_bytes: int
    work: CommandCost
    time_steps: int = 0
    takes_over: tuple[str, ...] = ()
    move_steps: int = 1

    def moves_with(self, step: int) -> int:
        """Return the last of the steps whose DRAM bytes move together with those of ``step``."""
        return step - step % self.move_steps + self.move_steps - 1

    @property
    def row(self) -> RowKey:
        """The row to which the command's counts and cycles belong."""
        return RowKey(self.unit, self.phase)

    def begins_time_step(self, step: int) -> bool:
        """Return whether a step needs the results of all steps before it."""
        return self.time_steps > 0 and step % (self.steps // self.time_steps) == 0

    def ends_time_step(self, step: int) -> bool:
        """Return whether a step is the last one of a time step, or of a command without time steps."""
        return (step + 1) % (self.steps // max(1, self.time_steps)) == 0


@dataclass(frozen=True, eq=False)
class Segment:
    """A group in one direction: its iterations, each (samples, commands), in order.

    ``held_bytes`` are reserved before the first iteration and released after the last.
    """

    name: str
    direction: Direction
    iterations: tuple[tuple[int, tuple[Command, ...]], ...]
    held_bytes: int = 0

    def __repr__(self) -> str:
        return f"<Segment {self.name} {self.direction}: {len(self.iterations)} iterations>"

    @cached_property
    def bodies(self) -> tuple[tuple[tuple[Command, ...], int], ...]:
        """Return the distinct command lists, each with the number of its iterations."""
        counts: dict[int, list[int]] = {}
        bodies: dict[int, tuple[Command, ...]] = {}
        for samples, commands in self.iterations:
            counts.setdefault(samples, []).append(1)
            bodies[samples] = commands
        return tuple((bodies[samples], len(ones)) for samples, ones in counts.items())


@dataclass(frozen=True, eq=False)
class Program:
    """A whole training step: the segments of each core, and the size of a core's global buffer.

    ``order`` is the order of the computing units' queues.  It is chosen (`queue_order.stretches`) for a core that moves
    ``dram_bytes_per_cycle``, and whose units hold the results of so many steps: ``result_slots``, by unit.
    """

    workload: str
    schedule: str
    buffer_bytes: int
    cores: tuple[tuple[Segment, ...], ...]
    order: QueueOrder = QueueOrder.PROGRAM
    dram_bytes_per_cycle: float = 1.0
    result_slots: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        segments = len(self.cores[0]) if self.cores else 0
        return f"<Program {self.workload} {self.schedule}: {len(self.cores)} cores, {segments} segments each>"

    def _repr_html_(self) -> str:
        """Show the program in a notebook: the segments of core 0."""
        rows = [
            (part.name, part.direction, len(part.iterations), sum(len(body) for _, body in part.iterations))
            for part in (self.cores[0] if self.cores else ())
        ]
        columns = ("segment", "direction", "iterations", "commands")
        return table_html(repr(self)[1:-1], columns, rows, "wavecore program")


def progress(flow: Flow, command: Command, step: int) -> int:
    """Return the bytes of ``flow`` that are due by the end of ``step`` (from 0), without lookahead."""
    total, steps, blocks = flow.total, command.steps, command.blocks
    done = step + 1
    match flow.profile:
        case StepProfile.EVEN:
            return total * done // steps
        case StepProfile.AT_ONCE:
            return total
        case StepProfile.AT_END:
            return total if done == steps else 0
        case StepProfile.FIRST_BLOCK:
            return min(total, total * done * blocks // steps)
        case StepProfile.LAST_BLOCK:
            return max(0, total * (done * blocks - steps * (blocks - 1)) // steps)
        case StepProfile.ROUND_START:
            return total * (step * blocks // steps + 1) // blocks
        case StepProfile.ROUND_END:
            return total * (done * blocks // steps) // blocks
        case _:
            sweep = command.sweep_steps
            sample, within = divmod(step, 2 * sweep)
            swept = min(within + 1, sweep) if flow.profile is StepProfile.FIRST_SWEEP else max(0, within + 1 - sweep)
            return total * (sample * sweep + swept) // (steps // 2)


def due(flow: Flow, command: Command, step: int) -> int:
    """Return the bytes of ``flow`` that must be there before ``step`` runs: its progress and the lookahead."""
    done = progress(flow, command, step)
    if not flow.lookahead or done >= flow.total:
        return min(done, flow.total)
    if not flow.sample_bytes:
        return min(flow.total, done + flow.lookahead)
    blocks = command.blocks if flow.profile is StepProfile.FIRST_BLOCK else 1
    begun = min(flow.total, -(-flow.total * (step + 1) * blocks // command.steps))  # part of a byte needs its sample
    boundary = -(-begun // flow.sample_bytes) * flow.sample_bytes
    return min(flow.total, boundary, begun + flow.lookahead)


def transfers_of(command: Command) -> tuple[Transfer, ...]:
    """Return everything that a command may move to and from DRAM: its loads, then its stores."""
    return (*(load.transfer for load in command.loads), *(store.transfer for store in command.stores))


def commands(program: Program, core: int = 0) -> Iterator[tuple[Segment, int, int, Command]]:
    """Yield all commands of one core in order: (segment, iteration, samples before it, command)."""
    for segment in program.cores[core]:
        start = 0
        for iteration, (samples, body) in enumerate(segment.iterations):
            for command in body:
                yield segment, iteration, start, command
            start += samples
