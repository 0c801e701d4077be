"""How the bytes of one operation on one sub-batch flow: a command whose cost and number of steps are still open."""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.plan.blocking import Blocking, LoopOrder, gradient_bytes, leaving_bytes
from wavecore.plan.placement import Place, PlacedOperation, PlacedRead
from wavecore.plan.traffic import Transfer, When, transfers
from wavecore.program.commands import (
    After,
    Command,
    CommandCost,
    Flow,
    Load,
    StepProfile,
    Store,
    Token,
    token_name,
)
from wavecore.program.flows import StepProfiles, step_profiles, two_sweeps
from wavecore.training.operations import OperandRole, TensorClass


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One operation on one sub-batch.

    ``held`` are those of its tensors that its group holds on chip over all iterations.  ``leaving`` are the tensors
    whose space its results take over and which the group also writes to DRAM.
    """

    placed: PlacedOperation
    samples: int
    held: frozenset[str]
    leaving: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Context:
    """A site with what decides how its bytes flow.

    ``whole_stage_bytes`` are taken for the whole command (see `_whole_stage_bytes`); ``written`` are the tensors that
    commands of the step write.
    """

    site: Site
    blocking: Blocking
    profiles: StepProfiles
    whole_stage_bytes: int
    written: frozenset[str]

    @property
    def placed(self) -> PlacedOperation:
        """The site's operation."""
        return self.site.placed

    @property
    def samples(self) -> int:
        """The samples of the site's sub-batch."""
        return self.site.samples


def draft_command(site: Site, blocking: Blocking, blocks: int, written: frozenset[str]) -> Command:
    """Return the command of a site, without its cost and steps.

    ``blocks`` are its `outer_blocks`; ``written`` are the tensors that forward and backward write.
    """
    op, samples = site.placed.operation, site.samples
    profiles = step_profiles(site.placed, blocking, blocks)
    context = _Context(site, blocking, profiles, _whole_stage_bytes(site.placed, blocking, samples), written)
    moves = tuple(transfers(site.placed, blocking, samples, site.held))
    return Command(
        name=op.name,
        unit=op.unit,
        phase=op.phase,
        samples=samples,
        steps=0,
        blocks=blocks,
        sweep_steps=0,
        order=blocking.order,
        loads=tuple(_load(context, move) for move in moves if not move.write),
        stores=tuple(_store(context, move) for move in moves if move.write),
        waits=_waits(context),
        overwrites=_overwrites(context),
        takes_over=tuple(write.overwrites for write in site.placed.writes if write.overwrites is not None),
        posts=_posts(context),
        reserves=_reserves(site),
        releases=_releases(site),
        stage_bytes=context.whole_stage_bytes,
        work=CommandCost(),
        time_steps=op.time_steps,
    )


def draft_update(placed: PlacedOperation, moves: tuple[Transfer, ...]) -> Command:
    """Return the command of a core's share of a layer's update, without its cost and steps."""
    op = placed.operation
    return Command(
        name=op.name,
        unit=op.unit,
        phase=op.phase,
        samples=1,
        steps=0,
        blocks=1,
        sweep_steps=0,
        order=LoopOrder.SWEEPS,
        loads=tuple(_update_load(move) for move in moves if not move.write),
        stores=tuple(
            Store(move, Flow(move.nbytes, StepProfile.EVEN), True, StepProfile.EVEN) for move in moves if move.write
        ),
        waits=(),
        overwrites=(),
        posts=(),
        reserves=(),
        releases=(),
        stage_bytes=0,
        work=CommandCost(),
    )


def _update_load(move: Transfer) -> Load:
    """Return a read of an update: gradients must have been written by every core, the state is there."""
    after = After.ALL if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT else After.NOTHING
    return Load(move, Flow(move.nbytes, StepProfile.EVEN), StepProfile.EVEN, after)


def _whole_stage_bytes(placed: PlacedOperation, blocking: Blocking, samples: int) -> int:
    """Return the buffer space that a command takes for all its duration, beside resident tensors.

    It is the state that time steps hand on, the blocks of operands that are read again, the sample that is held
    between two sweeps, or the weight gradient that rounds are added to.  Other operands take space as they come, and
    so do results on their way to DRAM.
    """
    if placed.operation.time_steps:
        return placed.operation.state_bytes * samples
    if blocking.order in (LoopOrder.ROW_BLOCKS, LoopOrder.COLUMN_BLOCKS) or _holds_sample(placed):
        return blocking.stage_bytes - leaving_bytes(placed)
    return gradient_bytes(placed) if blocking.order == LoopOrder.OUTPUT_STAYS else 0


def _holds_sample(placed: PlacedOperation) -> bool:
    """Whether a sample that is read once stays in the buffer for a second sweep."""
    return any(
        read.place is Place.STREAMED and use.passes > read.passes
        for use, read in zip(placed.operation.reads, placed.reads, strict=True)
    )


def _flow(context: _Context, total: int, sample_bytes: int, profile: StepProfile, role: OperandRole) -> Flow:
    """Return a flow of samples that runs ahead of the results by the rows of a window, unless it goes with them."""
    ahead, rows = context.placed.operation.lookahead
    runs_ahead = profile in (StepProfile.EVEN, StepProfile.FIRST_BLOCK) and role is not OperandRole.DRAIN
    return Flow(total, profile, -(-sample_bytes * ahead // rows) if runs_ahead else 0, sample_bytes)


def _load(context: _Context, move: Transfer) -> Load:
    """Return how a DRAM read flows."""
    after = After.OWN if move.tensor.name in context.written else After.NOTHING
    if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT:
        profile = context.profiles.gradient
        return Load(move, Flow(move.nbytes, profile), None if context.whole_stage_bytes else profile, after)
    read = next(read for read in context.placed.reads if read.tensor.name == move.tensor.name)
    if read.place is Place.LOADED:
        return _load_to_stay(context, move, read, after)
    return _load_streamed(context, move, after)


def _load_to_stay(context: _Context, move: Transfer, read: PlacedRead, after: After) -> Load:
    """Return the load of a tensor that stays on chip: its space is reserved, and later commands wait for it."""
    sample_bytes = move.tensor.nbytes if move.tensor.batched else 0
    flow = _flow(context, move.nbytes, sample_bytes, _awaited(context, read), read.role)
    return Load(move, flow, None, after, token_name(move.tensor.name, read.life))


def _awaited(context: _Context, read: PlacedRead) -> StepProfile:
    """Return over which steps a tensor must be on chip."""
    return context.profiles.drain if read.role is OperandRole.DRAIN else context.profiles.resident


def _load_streamed(context: _Context, move: Transfer, after: After) -> Load:
    """Return the load of a tensor that is read for this command only.

    A tensor of which every sample is read once comes sample by sample; other reads have no order of samples.
    """
    arrives, freed = _streamed_profiles(context, move)
    sample_bytes = move.tensor.nbytes if move.tensor.batched else 0
    sample_by_sample = move.nbytes == sample_bytes * context.samples
    flow = Flow(move.nbytes, arrives)
    if sample_by_sample:
        flow = _flow(context, move.nbytes, sample_bytes, arrives, move.role)
    # what the group holds over its iterations has its space from the start of the group
    has_space = _is_in_whole_stage(context) or move.when is When.FIRST
    return Load(move, flow, None if has_space else freed, after)


def _streamed_profiles(context: _Context, move: Transfer) -> tuple[StepProfile, StepProfile | None]:
    """Return the profiles at which a streamed tensor arrives and is freed."""
    if not move.tensor.batched and not context.placed.operation.gemms:
        return StepProfile.AT_ONCE, StepProfile.AT_END  # scales and shifts serve every sample
    if move.role is OperandRole.LEFT:
        return context.profiles.left, context.profiles.left_freed
    if move.role is OperandRole.RIGHT:
        return context.profiles.right, context.profiles.right_freed
    if move.role is OperandRole.DRAIN:
        return context.profiles.drain_streamed, context.profiles.drain_streamed
    return StepProfile.EVEN, StepProfile.EVEN


def _is_in_whole_stage(context: _Context) -> bool:
    """Whether streamed tensors come into space that is taken for the whole command."""
    if context.placed.operation.time_steps or context.blocking.order == LoopOrder.OUTPUT_STAYS:
        return False  # that space is the state's, or the gradient's
    return context.whole_stage_bytes > 0


def _store(context: _Context, move: Transfer) -> Store:
    """Return how a DRAM write flows: results as they are made, weight gradients when they are complete."""
    write = next(write for write in context.placed.writes if write.tensor.name == move.tensor.name)
    if not move.tensor.batched:
        profile = context.profiles.gradient
        return Store(move, Flow(move.nbytes, profile), not write.kept and not context.whole_stage_bytes, profile)
    made = StepProfile.SECOND_SWEEP if two_sweeps(context.placed) else StepProfile.EVEN
    return Store(move, Flow(move.nbytes, made, 0, move.tensor.nbytes), not write.kept, context.profiles.results)


def _waits(context: _Context) -> tuple[Token, ...]:
    """Return the tokens of resident tensors, which earlier commands of the iteration made or loaded."""
    return tuple(
        Token(
            token_name(read.tensor.name, read.life),
            _flow(
                context,
                read.tensor.nbytes * context.samples,
                read.tensor.nbytes,
                _awaited(context, read),
                read.role,
            ),
        )
        for read in context.placed.reads
        if read.place is Place.RESIDENT and read.tensor.batched
    )


def _overwrites(context: _Context) -> tuple[Token, ...]:
    """Return the tokens of tensors that must have left for DRAM before a result takes over their space."""
    return tuple(
        Token(
            write.overwrites,
            Flow(write.tensor.nbytes * context.samples, context.profiles.results, 0, write.tensor.nbytes),
        )
        for write in context.placed.writes
        if write.overwrites is not None and write.overwrites in context.site.leaving
    )


def _posts(context: _Context) -> tuple[Token, ...]:
    """Return the tokens of results that stay on chip."""
    return tuple(
        Token(write.tensor.name, Flow(write.tensor.nbytes * context.samples, context.profiles.results))
        for write in context.placed.writes
        if write.kept and write.tensor.batched
    )


def _reserves(site: Site) -> tuple[tuple[str, int], ...]:
    """Return the resident tensors that come with the command, and their bytes.

    A result that takes over another's space, or is added to a sum in place, takes no space of its own.
    """
    loaded = [read.tensor for read in site.placed.reads if read.place is Place.LOADED]
    made = [
        write.tensor
        for write in site.placed.writes
        if write.kept and write.tensor.batched and write.overwrites is None and not write.accumulated_in_place
    ]
    return tuple((tensor.name, tensor.nbytes * site.samples) for tensor in (*loaded, *made))


def _releases(site: Site) -> tuple[tuple[str, int], ...]:
    """Return the resident tensors whose space is free after the command, and their bytes.

    A tensor whose space a result takes over is not among them.
    """
    tensors = {read.tensor.name: read.tensor for read in site.placed.reads}
    tensors |= {write.tensor.name: write.tensor for write in site.placed.writes}
    taken_over = {write.overwrites for write in site.placed.writes}
    return tuple((name, tensors[name].nbytes * site.samples) for name in site.placed.frees if name not in taken_over)
