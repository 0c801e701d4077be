"""(training graph, plan, accelerator) -> program.

Every operation of every group becomes one command for each distinct sub-batch size.  What moves over DRAM comes
from `traffic`, cycles and counts from `work`, and the flow of bytes and results over the steps from `pacing`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavecore.blocking import Blocking, block, gradient_bytes
from wavecore.operations import Role, TensorClass
from wavecore.pacing import Paces, outer_blocks, paces, step_counts, two_sweeps
from wavecore.placement import Direction, Place, PlacedOperation, place, place_group
from wavecore.plan import Group, Plan
from wavecore.program import After, Command, Flow, Load, Pace, Program, Segment, Store, Token, token_name, transfers_of
from wavecore.specs import Accelerator
from wavecore.traffic import Transfer, held_bytes, sub_batches, transfers, update_transfers
from wavecore.training import TrainingGraph
from wavecore.work import command_work, update_work


def machine_for(plan: Plan, accelerator: Accelerator) -> Accelerator:
    """Return the accelerator as the plan uses it: a schedule may leave the second weight register idle."""
    double = plan.weight_double_buffering and accelerator.array.weight_double_buffering
    return replace(accelerator, array=replace(accelerator.array, weight_double_buffering=double))


def lower(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Program:
    """Lower a verified ``plan`` to the program that the cores run.

    Raises SpaceError when an operation cannot run in the buffer at all.
    """
    machine = machine_for(plan, accelerator)
    forward = [_segment(training, plan, group, Direction.FORWARD, machine) for group in plan.groups]
    backward = [_segment(training, plan, group, Direction.BACKWARD, machine) for group in reversed(plan.groups)]
    cores = machine.chip.cores
    return Program(
        plan.workload,
        plan.schedule,
        machine.core.global_buffer_bytes,
        tuple((*forward, *backward, _update_segment(training, plan, core, machine)) for core in range(cores)),
    )


@dataclass(frozen=True, slots=True)
class _Site:
    """One operation on one sub-batch; ``held`` and ``stored`` are what its group holds on chip and writes to DRAM."""

    placed: PlacedOperation
    samples: int
    held: frozenset[str]
    stored: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Flows:
    """A site with what decides how its bytes flow; ``written`` are the tensors that commands of the step write."""

    site: _Site
    blocking: Blocking
    paces: Paces
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
    stored = frozenset(write.tensor.name for operation in placed for write in operation.writes if write.stored)
    bodies = {
        samples: tuple(
            _command(training, _Site(operation, samples, group.held, stored), space, accelerator)
            for operation in placed
        )
        for samples in dict.fromkeys(sizes)
    }
    return Segment(
        f"{group.units[0]}..{group.units[-1]}",
        direction,
        tuple((samples, bodies[samples]) for samples in sizes),
        held,
    )


def _command(training: TrainingGraph, site: _Site, space: int, accelerator: Accelerator) -> Command:
    """The command of one operation; one that differs from an earlier one only in its steps shares all else."""
    placed, samples = site.placed, site.samples
    blocking = block(placed, accelerator.array, samples, space)
    parts = (accelerator.array, accelerator.vector, accelerator.core.array_port_bytes_per_cycle)
    key = ("command", site, blocking, parts, accelerator.core.vector_port_bytes_per_cycle)
    draft: Command | None = training.memory.get(key)
    if draft is None:
        draft = training.memory[key] = _draft(training, site, blocking, accelerator)
    spare = space - placed.live_bytes * samples - blocking.stage_bytes
    steps, sweep = step_counts(placed, draft.work, transfers_of(draft), samples, draft.blocks, spare, accelerator.array)
    found: Command | None = training.memory.get((draft, steps, sweep))
    if found is None:
        found = training.memory[draft, steps, sweep] = replace(draft, steps=steps, sweep_steps=sweep)
    return found


def _draft(training: TrainingGraph, site: _Site, blocking: Blocking, accelerator: Accelerator) -> Command:
    """A command whose number of steps is still open."""
    op, samples = site.placed.operation, site.samples
    blocks = outer_blocks(op.gemms, blocking, samples, accelerator.array)
    chosen = paces(site.placed, blocking, blocks)
    flows = _Flows(site, blocking, chosen, _whole_stage(site.placed, blocking), training.written)
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
        work=command_work(site.placed, blocking, samples, accelerator),
    )


def _whole_stage(placed: PlacedOperation, blocking: Blocking) -> int:
    """Space taken as a whole: blocks that are read again, a gradient that is added up, a sample that is held."""
    holds_sample = any(
        read.place is Place.STREAMED and use.passes > read.passes
        for use, read in zip(placed.operation.reads, placed.reads, strict=True)
    )
    if holds_sample or blocking.order in ("row_blocks", "column_blocks"):
        return blocking.stage_bytes
    return gradient_bytes(placed) if blocking.order == "depth" else 0


def _flow(flows: _Flows, total: int, sample_bytes: int, pace: Pace) -> Flow:
    """A flow of samples, which runs ahead of the results by the rows of a window."""
    ahead, rows = flows.placed.operation.lookahead
    runs_ahead = pace in (Pace.EVEN, Pace.FIRST_BLOCK)
    return Flow(total, pace, -(-sample_bytes * ahead // rows) if runs_ahead else 0, sample_bytes)


def _load(flows: _Flows, move: Transfer) -> Load:
    """How a DRAM read flows: partial sums with the gradient, operands by the order, the rest evenly."""
    op, tensor = flows.placed.operation, move.tensor
    after = After.OWN if tensor.name in flows.written else After.NOTHING
    covered = flows.whole_stage > 0 and flows.blocking.order != "depth"
    if tensor.tensor_class is TensorClass.WEIGHT_GRADIENT:
        pace = flows.paces.gradient
        freed = None if flows.whole_stage else pace
        return Load(move, Flow(move.nbytes, pace), freed, after)
    read = next(read for read in flows.placed.reads if read.tensor.name == tensor.name)
    sample_bytes = tensor.nbytes if tensor.batched else 0
    if read.place is Place.LOADED:
        pace = Pace.FIRST_SWEEP if two_sweeps(flows.placed) else flows.paces.resident
        return Load(
            move, _flow(flows, move.nbytes, sample_bytes, pace), None, after, token_name(tensor.name, read.life)
        )
    freed = flows.paces.stationary_freed
    if not tensor.batched and not op.gemms:
        pace, freed = Pace.AT_ONCE, Pace.AT_END  # scales and shifts serve every sample
    elif move.role is Role.STREAMED:
        pace, freed = flows.paces.streamed, flows.paces.streamed_freed
    elif move.role is Role.STATIONARY:
        pace = flows.paces.stationary
    else:
        pace, freed = Pace.EVEN, Pace.EVEN
    whole = move.nbytes == sample_bytes * flows.samples  # what is read again has no sample order
    flow = _flow(flows, move.nbytes, sample_bytes, pace) if whole else Flow(move.nbytes, pace)
    return Load(move, flow, None if covered else freed, after)


def _store(flows: _Flows, move: Transfer) -> Store:
    """How a DRAM write flows: results as they are made, gradients when they are complete."""
    write = next(write for write in flows.placed.writes if write.tensor.name == move.tensor.name)
    if not move.tensor.batched:
        pace = flows.paces.gradient
        return Store(move, Flow(move.nbytes, pace), not write.kept and not flows.whole_stage, pace)
    made = Pace.SECOND_SWEEP if two_sweeps(flows.placed) else Pace.EVEN
    return Store(move, Flow(move.nbytes, made, 0, move.tensor.nbytes), not write.kept, flows.paces.results)


def _waits(flows: _Flows) -> tuple[Token, ...]:
    """Tokens on resident tensors, which earlier commands of the iteration made or loaded."""
    return tuple(
        Token(
            token_name(read.tensor.name, read.life),
            _flow(flows, read.tensor.nbytes * flows.samples, read.tensor.nbytes, flows.paces.resident),
        )
        for read in flows.placed.reads
        if read.place is Place.RESIDENT and read.tensor.batched
    )


def _overwrites(flows: _Flows) -> tuple[Token, ...]:
    """Tensors that must have left for DRAM before a result takes over their space."""
    return tuple(
        Token(
            write.covers,
            Flow(write.tensor.nbytes * flows.samples, flows.paces.results, 0, write.tensor.nbytes),
        )
        for write in flows.placed.writes
        if write.covers is not None and write.covers in flows.site.stored
    )


def _posts(flows: _Flows) -> tuple[Token, ...]:
    return tuple(
        Token(write.tensor.name, Flow(write.tensor.nbytes * flows.samples, flows.paces.results))
        for write in flows.placed.writes
        if write.kept and write.tensor.batched
    )


def _space(site: _Site) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """Resident tensors that come and that go with the command; one that is overwritten in place does neither."""
    placed, samples = site.placed, site.samples
    sizes = {read.tensor.name: read.tensor.nbytes * samples for read in placed.reads}
    sizes |= {write.tensor.name: write.tensor.nbytes * samples for write in placed.writes}
    comes = [read.tensor.name for read in placed.reads if read.place is Place.LOADED]
    comes += [w.tensor.name for w in placed.writes if w.kept and w.tensor.batched and w.covers is None and not w.added]
    covered = {write.covers for write in placed.writes}
    goes = [name for name in placed.frees if name not in covered]
    return tuple((name, sizes[name]) for name in comes), tuple((name, sizes[name]) for name in goes)


def _update_segment(training: TrainingGraph, plan: Plan, core: int, accelerator: Accelerator) -> Segment:
    """Each core updates its share of every layer from the gradients of all cores."""
    cores, vector, core_spec = accelerator.chip.cores, accelerator.vector, accelerator.core
    key = ("update", core, cores, vector, core_spec, accelerator.array)
    commands: tuple[Command, ...] | None = training.memory.get(key)
    if commands is None:
        commands = training.memory[key] = tuple(
            _update_command(operation, core, accelerator)
            for operation in place(training, 0, len(training.units) - 1, Direction.UPDATE, {})
        )
    return Segment("update", Direction.UPDATE, ((plan.batch_per_core, commands),))


def _update_command(placed: PlacedOperation, core: int, accelerator: Accelerator) -> Command:
    op, cores = placed.operation, accelerator.chip.cores
    moves = tuple(update_transfers(placed, core, cores))
    gradients = sum(m.nbytes for m in moves if m.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT)
    work = update_work(placed, moves, gradients * (cores - 1) // cores, accelerator)
    steps, _ = step_counts(placed, work, moves, 1, 1, accelerator.core.global_buffer_bytes, accelerator.array)

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
        order="sweeps",
        loads=tuple(Load(m, Flow(m.nbytes, Pace.EVEN), Pace.EVEN, after(m)) for m in moves if not m.write),
        stores=tuple(Store(m, Flow(m.nbytes, Pace.EVEN), True, Pace.EVEN) for m in moves if m.write),
        waits=(),
        overwrites=(),
        posts=(),
        reserves=(),
        releases=(),
        stage_bytes=0,
        work=work,
    )
