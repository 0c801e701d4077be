"""What the analytic engine knows of a command: what it moves, the ticks of its stages, and whom it waits for.

Time is counted in whole *ticks*, so that iterations which repeat do so exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wavecore.plan.blocking import LoopOrder
from wavecore.program.commands import After, Command, Load, RowKey, StepProfile, Store, transfers_of

TICKS_PER_CYCLE = 1024

Body = tuple[Command, ...]
Span = tuple[int, int]
"""The ticks at which the first and the last part of something are available; a plain tuple for speed."""

_WHOLE = (StepProfile.AT_ONCE, StepProfile.ROUND_START)


class Share(NamedTuple):
    """A fraction of two whole numbers, so that ticks stay whole."""

    part: int
    whole: int

    def of(self, ticks: int) -> int:
        """Return this share of ``ticks``, rounded down."""
        return ticks * self.part // self.whole


class Wanted(NamedTuple):
    """A tensor that a command reads, and whether the command's first step needs all of it."""

    tensor: str
    whole: bool


@dataclass(frozen=True, slots=True)
class MovedBytes:
    """What a command moves, and what of it its first results need."""

    first: int
    early: int  # arrive while the first outer block runs
    partial: int  # of earlier iterations
    load: int
    store: int


def _dram(move: Load | Store) -> int:
    """Return the bytes of a move that pass DRAM's pins."""
    return move.transfer.dram_bytes


def _dense(move: Load | Store) -> int:
    """Return the bytes of a move that pass the buffer's port."""
    return move.flow.total


def _flowing(command: Command) -> list[Load]:
    """Return the loads that arrive step by step."""
    return [load for load in command.loads if load.flow.profile not in _WHOLE]


@lru_cache(maxsize=1 << 14)
def _bytes(command: Command, size: Callable[[Load | Store], int]) -> MovedBytes:
    """Add up what a command moves, where ``size`` gives the bytes of a transfer."""
    flowing = _flowing(command)
    whole = sum(size(load) for load in command.loads if load.flow.profile in _WHOLE)
    if command.order.in_rounds:
        whole //= command.blocks
    always = sum(size(load) for load in command.loads if load.transfer.when != "after_first")
    first = whole + sum(
        size(load) // command.steps + load.flow.lookahead * size(load) // max(1, load.flow.total) for load in flowing
    )
    return MovedBytes(
        first=min(first, always),
        early=whole + sum(size(load) for load in flowing if load.flow.profile is StepProfile.FIRST_BLOCK),
        partial=sum(size(load) for load in command.loads if load.transfer.when == "after_first"),
        load=always,
        store=sum(size(store) for store in command.stores),
    )


def _stage_bytes(command: Command) -> int:
    """Return the most bytes of the buffer that a command takes and frees step by step and has at one time."""
    if command.order.in_rounds:
        rounds = sum(load.flow.total for load in command.loads if load.flow.profile is StepProfile.ROUND_START)
        retained = 2 * rounds // command.blocks
    else:
        retained = sum(load.flow.total for load in command.loads if load.freed is StepProfile.AT_END)
    streaming = sum(load.flow.total for load in _flowing(command) if load.freed is not None)
    streaming += sum(store.flow.total for store in command.stores if store.staged)
    return retained + min(streaming, 2 * -(-streaming // command.steps))


@dataclass(frozen=True, slots=True)
class StageTicks:
    """A command's stage on one unit, in ticks: its work, and how long it takes at least.

    Time steps that wait for each other take longer than their work: of what is more, ``skew`` is fill and drain.
    """

    unit: str
    work: int
    ticks: int
    skew: int
    step: int  # of one step
    fill: int
    drain: int


@dataclass(frozen=True, slots=True)
class CommandTicks:
    """A command reduced to numbers: what it moves, ticks of its stages, space, and which tensors it waits for."""

    row: RowKey
    moved: MovedBytes
    packed: MovedBytes | None  # the same over DRAM's pins, where anything is compressed there
    stages: tuple[StageTicks, ...]
    after_operands: int  # ticks of the first stage's work that is left when the last operand arrives
    after_early: int  # and when the operands of the first block have arrived
    lead: Share  # of the time between start and last result, after which the first result is there
    at_end: bool  # all results are there together
    steps: int
    slot_steps: int  # that fill an accumulator
    needs: int
    frees: int
    streamed: int  # bytes of loads whose space is freed as the command works
    stored: tuple[Wanted, ...]  # that earlier commands store
    awaited: tuple[Wanted, ...]  # the same on chip
    posts: tuple[str, ...]
    stores: tuple[str, ...]


@lru_cache(maxsize=1 << 15)
def command_ticks(command: Command) -> CommandTicks:
    """Reduce a command to numbers."""
    compressed = any(each.packed_bytes is not None for each in transfers_of(command))
    stages, lead, staged_bytes = _stages(command), _lead(command), _stage_bytes(command)
    tail = lead if command.sweep_steps else Share(1, command.steps)
    outer = Share(command.blocks - 1, command.blocks)
    return CommandTicks(
        row=command.row,
        moved=_bytes(command, _dense),
        packed=_bytes(command, _dram) if compressed else None,
        stages=stages,
        after_operands=tail.of(stages[0].ticks),
        after_early=outer.of(stages[0].ticks),
        lead=lead,
        at_end=bool(command.time_steps),
        steps=command.steps,
        slot_steps=command.work.slot_steps(command.steps),
        needs=command.stage_bytes + sum(size for _, size in command.reserves) + staged_bytes,
        frees=command.stage_bytes + sum(size for _, size in command.releases) + staged_bytes,
        streamed=sum(load.flow.total for load in command.loads if load.freed not in (None, StepProfile.AT_END)),
        stored=_stored(command),
        awaited=tuple(Wanted(token.tensor, token.flow.profile is StepProfile.AT_ONCE) for token in command.waits),
        posts=(*(token.tensor for token in command.posts), *(each.posts for each in command.loads if each.posts)),
        stores=tuple(store.transfer.tensor.name for store in command.stores),
    )


def _lead(command: Command) -> Share:
    """Return the share of a command's time after which its first result is there.

    That share is one step.  With two sweeps over each sample it is the first sweep of a sample, and one step.  Where
    the left operand stays and outer blocks divide the columns, it is all blocks but the last, and one step.
    """
    steps = command.steps
    if command.sweep_steps:
        sweeps = steps // command.sweep_steps
        return Share(steps + sweeps, sweeps * steps)
    if command.order == LoopOrder.LEFT_STAYS:
        return Share(steps * (command.blocks - 1) + command.blocks, steps * command.blocks)
    return Share(1, steps)


def _stored(command: Command) -> tuple[Wanted, ...]:
    """Return the tensors that a command reads from DRAM after earlier commands have stored them."""
    return tuple(
        Wanted(
            load.transfer.tensor.name,
            bool(command.time_steps) or load.after is After.ALL or load.flow.profile in _WHOLE,
        )
        for load in command.loads
        if load.after is not After.NOTHING
    )


def _stages(command: Command) -> tuple[StageTicks, ...]:
    """Return a command's stages in ticks; with time steps, the first has the ticks of the whole chain."""
    steps = command.steps
    work = [stage.cycles * TICKS_PER_CYCLE for stage in command.work.stages]
    ticks, skew = list(work), [0] * len(work)
    if command.time_steps:
        ticks[0] = _serial(command, ticks)
        skew[0] = (command.time_steps - 1) * _skew(command)
    return tuple(
        StageTicks(
            stage.unit,
            worked,
            whole,
            skewed,
            whole // steps,
            stage.fill_cycles * TICKS_PER_CYCLE,
            stage.drain_cycles * TICKS_PER_CYCLE,
        )
        for stage, worked, whole, skewed in zip(command.work.stages, work, ticks, skew, strict=True)
    )


def _skew(command: Command) -> int:
    """Return the ticks that a command's stages fill and drain."""
    return sum(stage.fill_cycles + stage.drain_cycles for stage in command.work.stages) * TICKS_PER_CYCLE


def _serial(command: Command, ticks: list[int]) -> int:
    """Return the ticks until the last product of a command whose time steps wait for each other.

    Every time step is filled, drained and swept by itself.  The steps of one time step still overlap, so that its
    slowest stage counts in full and every other stage with one step.  The fill of the first time step, and the drain
    and the later stages' last step of the last one, are left out: they are added for every command.
    """
    times, steps, ends = command.time_steps, command.steps, _skew(command)
    parts = [each // steps for each in ticks]
    overlapped = max(each // times + sum(parts) - part for each, part in zip(ticks, parts, strict=True))
    return times * (ends + overlapped) - ends - sum(parts[1:])


class BodyTicks(NamedTuple):
    """The costs of an iteration's commands, and the tensors that they wait for and other iterations make."""

    costs: tuple[CommandTicks, ...]
    outside: tuple[str, ...]


@lru_cache(maxsize=1 << 12)
def body_ticks(body: Body) -> BodyTicks:
    """Reduce an iteration's commands to numbers."""
    costs = tuple(command_ticks(command) for command in body)
    made = {name for cost in costs for name in (*cost.posts, *cost.stores)}
    wanted = (name for cost in costs for name, _ in (*cost.stored, *cost.awaited))
    return BodyTicks(costs, tuple(dict.fromkeys(name for name in wanted if name not in made)))


class TransferTicks(NamedTuple):
    """Ticks of the first operands, of those that the first block needs, of all loads, and of the stores."""

    first: int
    early: int
    load: int
    store: int


def transfer_ticks(moved: MovedBytes, rate: float, again: bool) -> TransferTicks:
    """Return the ticks of a command's transfers at ``rate`` ticks per byte, the first time or ``again``."""
    load = moved.load + moved.partial if again else moved.load
    return TransferTicks(int(moved.first * rate), int(moved.early * rate), int(load * rate), int(moved.store * rate))
