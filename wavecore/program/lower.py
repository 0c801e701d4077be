"""(training graph, plan, accelerator) -> program.

Every operation of every group becomes one command for each distinct sub-batch size.  What moves over DRAM comes
from `traffic`, cycles and counts from `work`, and the flow of bytes and results over the steps from `pacing`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from wavecore.hardware.specs import Accelerator
from wavecore.plan.blocking import (
    UNLIMITED_BYTES,
    Blocking,
    LoopOrder,
    ample_bytes,
    block,
    gradient_bytes,
    leaving_bytes,
)
from wavecore.plan.model import Group, Plan
from wavecore.plan.placement import Direction, Place, PlacedOperation, place, place_group
from wavecore.plan.traffic import Transfer, held_bytes, sub_batches, transfers, update_transfers
from wavecore.program.commands import (
    After,
    Command,
    CommandCost,
    Flow,
    Load,
    Program,
    Segment,
    StepProfile,
    Store,
    Token,
    token_name,
    transfers_of,
)
from wavecore.program.costs import command_work, update_work
from wavecore.program.flows import StepProfiles, ample_spare_bytes, outer_blocks, step_counts, step_profiles, two_sweeps
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import OperandRole, TensorClass


def machine_for(plan: Plan, accelerator: Accelerator) -> Accelerator:
    """Return the accelerator as the plan uses it: a schedule may leave the second weight register idle."""
    double = plan.weight_double_buffering and accelerator.array.weight_double_buffering
    return replace(accelerator, array=replace(accelerator.array, weight_double_buffering=double))


def lower(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Program:
    """Lower a verified ``plan`` to the program that the cores run.

    Raises SpaceError when an operation cannot run in the buffer at all.
    """
    machine = machine_for(plan, accelerator)
    space, cores = machine.core.global_buffer_bytes, machine.chip.cores

    def fresh() -> tuple[Plan, Program]:
        forward = [_segment(training, plan, group, Direction.FORWARD, machine) for group in plan.groups]
        backward = [_segment(training, plan, group, Direction.BACKWARD, machine) for group in reversed(plan.groups)]
        updates = [_update_segment(training, plan, core, machine) for core in range(cores)]
        segments = tuple((*forward, *backward, update) for update in updates)
        return plan, Program(plan.workload, plan.schedule, space, segments)

    # what is remembered holds the plan, so that no other can have its identity
    key = (id(plan), space, cores, _sizes(training, machine))
    found: tuple[Plan, Program] = training.memory.recall("program", key, fresh)
    return found[1]


@dataclass(frozen=True, slots=True)
class _Site:
    """One operation on one sub-batch.

    ``held`` are those of its tensors that its group holds on chip, ``leaving`` those that it overwrites and that
    its group writes to DRAM before.
    """

    placed: PlacedOperation
    samples: int
    held: frozenset[str]
    leaving: frozenset[str]


def _site(placed: PlacedOperation, samples: int, held: frozenset[str], stored: Set[str]) -> _Site:
    op = placed.operation
    own = held.intersection((*(use.tensor for use in op.reads), *op.writes))
    covered = (write.overwrites for write in placed.writes if write.overwrites is not None)
    return _Site(placed, samples, own, frozenset(name for name in covered if name in stored))


@dataclass(frozen=True, slots=True)
class _Flows:
    """A site with what decides how its bytes flow; ``written`` are the tensors that commands of the step write."""

    site: _Site
    blocking: Blocking
    step_profiles: StepProfiles
    whole_stage: int
    written: frozenset[str]

    @property
    def placed(self) -> PlacedOperation:
        """The site's operation."""
        return self.site.placed

    @property
    def samples(self) -> int:
        """The site's sub-batch."""
        return self.site.samples


def _segment(
    training: TrainingGraph, plan: Plan, group: Group, direction: Direction, accelerator: Accelerator
) -> Segment:
    placed = place_group(training, group, direction, plan.normalization_passes)
    held = held_bytes(placed, group.held)
    space = accelerator.core.global_buffer_bytes - held
    sizes = sub_batches(group, plan.batch_per_core)
    bodies = {
        samples: tuple(
            command if space >= ample else _command(training, site, space, accelerator)
            for site, ample, command in _ample_body(training, placed, samples, group.held, accelerator)
        )
        for samples in dict.fromkeys(sizes)
    }
    return Segment(
        f"{group.units[0]}..{group.units[-1]}",
        direction,
        tuple((samples, bodies[samples]) for samples in sizes),
        held,
    )


def _ample_body(
    training: TrainingGraph,
    placed: tuple[PlacedOperation, ...],
    samples: int,
    held: frozenset[str],
    accelerator: Accelerator,
) -> tuple[tuple[_Site, int, Command], ...]:
    """Each operation of a group with its command in an ample buffer, and how many bytes make one ample."""

    def fresh() -> tuple[tuple[_Site, int, Command], ...]:
        stored = {write.tensor.name for operation in placed for write in operation.writes if write.stored}
        sites = [_site(operation, samples, held, stored) for operation in placed]
        return tuple((site, *_ample_command(training, site, accelerator)) for site in sites)

    key = (placed, samples, held, _sizes(training, accelerator))
    body: tuple[tuple[_Site, int, Command], ...] = training.memory.recall("body", key, fresh)
    return body


class _MachineSizes:
    """What of a machine a command's work depends on: one object for all machines alike in it."""


def _sizes(training: TrainingGraph, accelerator: Accelerator) -> _MachineSizes:
    core = accelerator.core
    ports = core.array_port_bytes_per_cycle, core.vector_port_bytes_per_cycle
    sizes: _MachineSizes = training.memory.recall(
        "sizes", (accelerator.array, accelerator.vector, accelerator.units, ports), _MachineSizes
    )
    return sizes


def _ample_command(training: TrainingGraph, site: _Site, accelerator: Accelerator) -> tuple[int, Command]:
    """The bytes from which on room no longer matters to a site, and its command there."""

    def fresh() -> tuple[int, Command]:
        placed, samples, array = site.placed, site.samples, accelerator.array
        command = _command(training, site, UNLIMITED_BYTES, accelerator)
        blocking = block(placed, array, samples, UNLIMITED_BYTES)
        spare = ample_spare_bytes(placed, command.work, transfers_of(command), array)
        by_steps = placed.live_bytes * samples + blocking.stage_bytes + spare
        return max(by_steps, ample_bytes(placed, array, samples)), command

    found: tuple[int, Command] = training.memory.recall("site", (site, _sizes(training, accelerator)), fresh)
    return found


def _command(training: TrainingGraph, site: _Site, space: int, accelerator: Accelerator) -> Command:
    """The command of one operation: its flows, which hang on blocking, and its work and steps."""
    placed, samples, array = site.placed, site.samples, accelerator.array
    blocking = block(placed, array, samples, space)
    recall, sizes = training.memory.recall, _sizes(training, accelerator)
    kind = training.units[training.unit_index[placed.operation.unit]].kind
    blocks = outer_blocks(placed.operation.gemms, blocking, samples, array)
    draft: Command = recall("draft", (site, blocking, blocks), lambda: _draft(training, site, blocking, blocks))
    work: CommandCost = recall(
        "work", (placed, samples, blocking, sizes), lambda: command_work(placed, blocking, samples, accelerator, kind)
    )
    spare = space - placed.live_bytes * samples - blocking.stage_bytes
    steps, sweep = step_counts(placed, work, transfers_of(draft), samples, blocks, spare, array)
    found: Command = recall(
        "command", (draft, sizes, steps, sweep), lambda: replace(draft, work=work, steps=steps, sweep_steps=sweep)
    )
    return found


def _draft(training: TrainingGraph, site: _Site, blocking: Blocking, blocks: int) -> Command:
    """A command whose work and number of steps are still open."""
    op, samples = site.placed.operation, site.samples
    chosen = step_profiles(site.placed, blocking, blocks)
    flows = _Flows(site, blocking, chosen, _whole_stage(site.placed, blocking, samples), training.written)
    moves = tuple(transfers(site.placed, blocking, samples, site.held))
    reserves, releases = _space(site)
    return Command(
        name=op.name,
        unit=op.unit,
        phase=op.phase,
        samples=samples,
        steps=0,
        blocks=blocks,
        sweep_steps=0,
        order=blocking.order,
        loads=tuple(_load(flows, move) for move in moves if not move.write),
        stores=tuple(_store(flows, move) for move in moves if move.write),
        waits=_waits(flows),
        overwrites=_overwrites(flows),
        posts=_posts(flows),
        reserves=reserves,
        releases=releases,
        stage_bytes=flows.whole_stage,
        work=CommandCost(),
        time_steps=op.time_steps,
    )


def _whole_stage(placed: PlacedOperation, blocking: Blocking, samples: int) -> int:
    """Space taken as a whole: blocks that are read again, a gradient that is added up, a sample that is held.

    What results on their way to DRAM need of a stage they take step by step.  Of a recurrent layer it is the state that
    time steps hand on.
    """
    if placed.operation.time_steps:
        return placed.operation.state_bytes * samples
    holds_sample = any(
        read.place is Place.STREAMED and use.passes > read.passes
        for use, read in zip(placed.operation.reads, placed.reads, strict=True)
    )
    if holds_sample or blocking.order in (LoopOrder.ROW_BLOCKS, LoopOrder.COLUMN_BLOCKS):
        return blocking.stage_bytes - leaving_bytes(placed)
    return gradient_bytes(placed) if blocking.order == LoopOrder.OUTPUT_STAYS else 0


def _flow(flows: _Flows, total: int, sample_bytes: int, profile: StepProfile) -> Flow:
    """A flow of samples, which runs ahead of the results by the rows of a window."""
    ahead, rows = flows.placed.operation.lookahead
    runs_ahead = profile in (StepProfile.EVEN, StepProfile.FIRST_BLOCK)
    return Flow(total, profile, -(-sample_bytes * ahead // rows) if runs_ahead else 0, sample_bytes)


def _load(flows: _Flows, move: Transfer) -> Load:
    """How a DRAM read flows: partial sums with the gradient, operands by the order, the rest evenly."""
    op, tensor = flows.placed.operation, move.tensor
    after = After.OWN if tensor.name in flows.written else After.NOTHING
    covered = flows.whole_stage > 0 and flows.blocking.order != LoopOrder.OUTPUT_STAYS and not op.time_steps
    if tensor.tensor_class is TensorClass.WEIGHT_GRADIENT:
        profile = flows.step_profiles.gradient
        freed = None if flows.whole_stage else profile
        return Load(move, Flow(move.nbytes, profile), freed, after)
    read = next(read for read in flows.placed.reads if read.tensor.name == tensor.name)
    sample_bytes = tensor.nbytes if tensor.batched else 0
    if read.place is Place.LOADED:
        profile = StepProfile.FIRST_SWEEP if two_sweeps(flows.placed) else flows.step_profiles.resident
        return Load(
            move, _flow(flows, move.nbytes, sample_bytes, profile), None, after, token_name(tensor.name, read.life)
        )
    freed = flows.step_profiles.right_freed
    if not tensor.batched and not op.gemms:
        profile, freed = StepProfile.AT_ONCE, StepProfile.AT_END  # scales and shifts serve every sample
    elif move.role is OperandRole.LEFT:
        profile, freed = flows.step_profiles.left, flows.step_profiles.left_freed
    elif move.role is OperandRole.RIGHT:
        profile = flows.step_profiles.right
    else:
        profile, freed = StepProfile.EVEN, StepProfile.EVEN
    whole = move.nbytes == sample_bytes * flows.samples  # what is read again has no sample order
    flow = _flow(flows, move.nbytes, sample_bytes, profile) if whole else Flow(move.nbytes, profile)
    return Load(move, flow, None if covered else freed, after)


def _store(flows: _Flows, move: Transfer) -> Store:
    """How a DRAM write flows: results as they are made, gradients when they are complete."""
    write = next(write for write in flows.placed.writes if write.tensor.name == move.tensor.name)
    if not move.tensor.batched:
        profile = flows.step_profiles.gradient
        return Store(move, Flow(move.nbytes, profile), not write.kept and not flows.whole_stage, profile)
    made = StepProfile.SECOND_SWEEP if two_sweeps(flows.placed) else StepProfile.EVEN
    return Store(move, Flow(move.nbytes, made, 0, move.tensor.nbytes), not write.kept, flows.step_profiles.results)


def _waits(flows: _Flows) -> tuple[Token, ...]:
    """Tokens on resident tensors, which earlier commands of the iteration made or loaded."""
    return tuple(
        Token(
            token_name(read.tensor.name, read.life),
            _flow(flows, read.tensor.nbytes * flows.samples, read.tensor.nbytes, flows.step_profiles.resident),
        )
        for read in flows.placed.reads
        if read.place is Place.RESIDENT and read.tensor.batched
    )


def _overwrites(flows: _Flows) -> tuple[Token, ...]:
    """Tensors that must have left for DRAM before a result takes over their space."""
    return tuple(
        Token(
            write.overwrites,
            Flow(write.tensor.nbytes * flows.samples, flows.step_profiles.results, 0, write.tensor.nbytes),
        )
        for write in flows.placed.writes
        if write.overwrites is not None and write.overwrites in flows.site.leaving
    )


def _posts(flows: _Flows) -> tuple[Token, ...]:
    return tuple(
        Token(write.tensor.name, Flow(write.tensor.nbytes * flows.samples, flows.step_profiles.results))
        for write in flows.placed.writes
        if write.kept and write.tensor.batched
    )


def _space(site: _Site) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """Resident tensors that come and that go with the command; one that is overwritten in place does neither."""
    placed, samples = site.placed, site.samples
    sizes = {read.tensor.name: read.tensor.nbytes * samples for read in placed.reads}
    sizes |= {write.tensor.name: write.tensor.nbytes * samples for write in placed.writes}
    comes = [read.tensor.name for read in placed.reads if read.place is Place.LOADED]
    comes += [
        w.tensor.name
        for w in placed.writes
        if w.kept and w.tensor.batched and w.overwrites is None and not w.accumulated_in_place
    ]
    covered = {write.overwrites for write in placed.writes}
    goes = [name for name in placed.frees if name not in covered]
    return tuple((name, sizes[name]) for name in comes), tuple((name, sizes[name]) for name in goes)


def _update_segment(training: TrainingGraph, plan: Plan, core: int, accelerator: Accelerator) -> Segment:
    """Each core updates its share of every layer from the gradients of all cores."""
    space = accelerator.core.global_buffer_bytes

    def fresh() -> tuple[tuple[PlacedOperation, int, Command], ...]:
        placed = place(training, 0, len(training.units) - 1, Direction.UPDATE, {})
        return tuple((operation, *_ample_update(operation, core, accelerator)) for operation in placed)

    key = ("update", core, accelerator.chip.cores, _sizes(training, accelerator))
    commands = tuple(
        command if space >= ample else _update_command(operation, core, space, accelerator)
        for operation, ample, command in training.memory.recall("body", key, fresh)
    )
    return Segment("update", Direction.UPDATE, ((plan.batch_per_core, commands),))


def _ample_update(placed: PlacedOperation, core: int, accelerator: Accelerator) -> tuple[int, Command]:
    """The bytes from which on room no longer matters to an update, and its command there."""
    command = _update_command(placed, core, UNLIMITED_BYTES, accelerator)
    return ample_spare_bytes(placed, command.work, transfers_of(command), accelerator.array), command


def _update_command(placed: PlacedOperation, core: int, space: int, accelerator: Accelerator) -> Command:
    op, cores = placed.operation, accelerator.chip.cores
    moves = tuple(update_transfers(placed, core, cores))
    gradients = sum(m.nbytes for m in moves if m.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT)
    work = update_work(placed, moves, gradients * (cores - 1) // cores, accelerator)
    steps, _ = step_counts(placed, work, moves, 1, 1, space, accelerator.array)

    def after(move: Transfer) -> After:
        return After.ALL if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT else After.NOTHING

    return Command(
        name=op.name,
        unit=op.unit,
        phase=op.phase,
        samples=1,
        steps=steps,
        blocks=1,
        sweep_steps=0,
        order=LoopOrder.SWEEPS,
        loads=tuple(
            Load(m, Flow(m.nbytes, StepProfile.EVEN), StepProfile.EVEN, after(m)) for m in moves if not m.write
        ),
        stores=tuple(Store(m, Flow(m.nbytes, StepProfile.EVEN), True, StepProfile.EVEN) for m in moves if m.write),
        waits=(),
        overwrites=(),
        posts=(),
        reserves=(),
        releases=(),
        stage_bytes=0,
        work=work,
    )
