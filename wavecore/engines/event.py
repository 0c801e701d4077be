"""The event engine: the units of every core as SimPy processes around the shared DRAM.

Exact inside a step (closed forms), event-driven between steps.  The load queue runs ahead as far as the buffer has
room; all space is taken there, in program order, so a program whose every operation fits cannot deadlock.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import simpy

from wavecore.engines.emitter import ProbeEmitter
from wavecore.engines.instances import CommandInstance, CommandInstances, StagePlace, StageWork
from wavecore.engines.memory import REQUEST_BYTES, SharedMemory
from wavecore.engines.probe import DONE_CAUSES, Cause, Probe, Queue, Signal
from wavecore.engines.stalls import Posted, QueueState, StallAccount
from wavecore.engines.timing import ProgressCallback, RowTiming, Stall, Timing, UnitTiming, mean_timing
from wavecore.engines.tokens import Counter, Space, TensorCounters
from wavecore.errors import InvariantError
from wavecore.hardware.specs import DRAM_KINDS, Accelerator, UnitKind, UnitSpec
from wavecore.program.addresses import allocate
from wavecore.program.commands import After, Command, Load, Program, RowKey, Store
from wavecore.program.step_tables import StepMove
from wavecore.training.operations import Phase, TensorClass

Process = Generator[simpy.Event, Any, None]

WORK = {
    UnitKind.LOAD: Stall.DRAM,
    UnitKind.ARRAY: Stall.ARRAY,
    UnitKind.VECTOR: Stall.VECTOR,
    UnitKind.STORE: Stall.DRAM,
}
"""What the time of an array counts for that waits for the work of a unit of that kind."""


@dataclass
class _RowUsage:
    """What one layer and phase has used on one core."""

    cycles: int = 0
    busy_cycles: Tally[str] = field(default_factory=Tally)


class _Threshold(NamedTuple):
    """A value of a counter of finished steps."""

    done: Counter
    steps: int


class _Stage(NamedTuple):
    """A stage of a command: its unit, and where its steps stand in the unit's queue."""

    unit: _ComputingUnit
    place: StagePlace


class _ComputingUnit:
    """One computing unit of a core.

    ``done`` counts the steps that it has finished.  ``held`` are those whose results go on to another unit and fill
    the slots until the other unit has reached the threshold.
    """

    def __init__(self, env: simpy.Environment, core: int, spec: UnitSpec) -> None:
        self.name = spec.name
        self.state = QueueState(spec.name, WORK[spec.kind], counted=spec.kind is UnitKind.ARRAY)
        self.done = Counter(env, Signal(core, DONE_CAUSES[spec.kind], unit=spec.name), self.state)
        self.slots = spec.result_slots
        self.held: deque[_Threshold] = deque()
        self.free_at = -1
        self.busy_cycles = 0

    def timing(self, after: int) -> UnitTiming:
        """Return what the unit did, and its waits for the ``after`` cycles that other cores go on for."""
        stalls = self.state.stalls or {}
        if stalls:
            stalls = {**stalls, Stall.CORE: stalls[Stall.CORE] + after}
        return UnitTiming(busy_cycles=self.busy_cycles, stall_cycles=stalls)

    def taken_before(self, room: int) -> _Threshold | None:
        """Return what must be reached before one of ``room`` steps' results is taken, None if there is room now."""
        held = self.held
        while held and held[0].done.value >= held[0].steps:
            held.popleft()
        return held[-room] if len(held) >= room else None


def run_events(
    program: Program, accelerator: Accelerator, progress: ProgressCallback | None = None, probe: Probe | None = None
) -> Timing:
    """Run ``program`` event by event; what happens is reported to ``probe``, which changes nothing.

    Raises InvariantError if it comes to a halt before its end.
    """
    env = simpy.Environment()
    machine = _EventMachine(env, program, accelerator, progress, probe)
    env.run()
    return machine.timing()


class _EventMachine:
    """All cores, their memory, and what they have in common."""

    def __init__(
        self,
        env: simpy.Environment,
        program: Program,
        accelerator: Accelerator,
        progress: ProgressCallback | None,
        probe: Probe | None,
    ) -> None:
        self.env = env
        self.program = program
        self.accelerator = accelerator
        self.probe = probe
        count = len(program.cores)
        self.memory = SharedMemory(env, accelerator, 2 * count, probe)
        self.addresses = allocate(program, accelerator.memory)
        self.moved: Tally[tuple[TensorClass, bool]] = Tally()
        self.instances = CommandInstances(program)
        self.cores = [_CoreQueues(self, index) for index in range(count)]
        self.progress = progress
        self._commands = sum(
            len(body) for segments in program.cores for segment in segments for _, body in segment.iterations
        )
        self._done = 0
        for core in self.cores:
            for unit in accelerator.units:
                env.process(core.process(unit))

    def command_done(self) -> None:
        """Count a finished command and report the progress."""
        self._done += 1
        if self.progress is not None:
            self.progress(self._done / self._commands)

    def timing(self) -> Timing:
        """Collect the outcome once every process has ended."""
        for index, core in enumerate(self.cores):
            if not core.finished:
                raise InvariantError(
                    f"core {index}",
                    f"stopped at cycle {self.env.now}: {core.position()}",
                    "a report of this bug",
                )
            if core.space.used:
                raise InvariantError(f"core {index}", f"{core.space.used} bytes of the buffer were never freed")
        slowest = max(self.cores, key=lambda core: core.end)
        names = list(slowest.units)
        rows = {
            key: RowTiming(
                row.cycles,
                {name: self._mean([core.rows[key].busy_cycles[name] for core in self.cores]) for name in names},
            )
            for key, row in slowest.rows.items()
        }
        return Timing(
            step_cycles=slowest.end,
            rows=rows,
            units={
                name: mean_timing([core.units[name].timing(slowest.end - core.end) for core in self.cores])
                for name in names
            },
            dram_bytes=self.moved,
            buffer_peak_bytes=max(core.space.peak for core in self.cores),
            events=self.memory.requests + sum(core.finished_steps for core in self.cores),
        )

    def _mean(self, values: list[int]) -> int:
        """Return the mean over the cores, rounded down."""
        return sum(values) // len(self.cores)


class _CoreQueues:
    """One core: its buffer, its queues' counters, and the processes that are its units."""

    def __init__(self, machine: _EventMachine, index: int) -> None:
        env = machine.env
        self.machine = machine
        self.env = env
        self.index = index
        self.emitter = None if machine.probe is None else ProbeEmitter(machine.probe, env, index)
        self.space = Space(env, machine.program.buffer_bytes, Signal(index, Cause.SPACE), self.emitter)
        self.load, self.store = (
            QueueState(unit.name, WORK[kind])
            for kind in DRAM_KINDS
            for unit in machine.accelerator.units
            if unit.kind is kind
        )
        self.stalls = StallAccount(env, self.store)
        self.loaded = Counter(env, Signal(index, Cause.LOADS), self.load)  # steps whose loads have arrived
        self.units = {
            unit.name: _ComputingUnit(env, index, unit)
            for unit in machine.accelerator.units
            if unit.kind not in DRAM_KINDS
        }
        makers = {token: self.units[unit].state for token, unit in machine.instances.makers(index).items()}
        self.on_chip = TensorCounters(env, index, Cause.ON_CHIP, self.load, makers)
        self.in_dram = TensorCounters(env, index, Cause.IN_DRAM, self.store)
        self.whole_step = Posted(self.store)
        self.rows: dict[RowKey, _RowUsage] = defaultdict(_RowUsage)
        self.finished_steps = 0
        self.end = 0
        self.finished = False
        self.port = machine.accelerator.core.memory_port_bytes_per_cycle
        self._at: dict[str, str] = {}

    def process(self, unit: UnitSpec) -> Process:
        """Return the process that is a unit of this core."""
        if unit.kind is UnitKind.LOAD:
            return self.load_queue()
        if unit.kind is UnitKind.STORE:
            return self.store_queue()
        return self.compute_queue(self.units[unit.name])

    def position(self) -> str:
        """Return the command that each queue is in, for the message of a halt."""
        return ", ".join(f"{queue} queue in {command}" for queue, command in self._at.items())

    def _begin(self, queue: QueueState, command: Command, work: Stall) -> None:
        """Record that a queue begins a command; its work counts as ``work``, or as the update."""
        self._at[queue.name] = command.name
        self.stalls.begins(queue, Stall.UPDATE if command.phase is Phase.UPDATE else work)

    def _wait(self, queue: QueueState, counter: Counter, needed: int) -> Process:
        """Wait until a counter, of this core or of another, is at ``needed``."""
        self.stalls.waits(queue, counter if counter.signal.core == self.index else Stall.CORE, needed)
        yield counter.reached(needed, queue.name, self.emitter)
        self.stalls.works(queue)

    # -- load queue ------------------------------------------------------------------------------------

    def load_queue(self) -> Process:
        """Take space and read DRAM, step by step, as far ahead as there is room."""
        queue, last_done = self.load, 0
        for instance in self.machine.instances.of(self.index):
            command, table = instance.command, instance.table
            self._begin(queue, command, Stall.DRAM)
            reserved = command.stage_bytes + sum(size for _, size in command.reserves)
            if instance.opens:
                reserved += instance.segment.held_bytes
            yield from self._take(reserved)
            for step in range(command.steps):
                if table.takes[step]:
                    yield from self._take(table.takes[step])
                for index, nbytes, due in table.loads[step]:
                    load = command.loads[index]
                    if not instance.happens(load):
                        continue
                    if load.after is not After.NOTHING:
                        yield from self._await_store(instance, load, due)
                    done = yield from self._transfer(queue.name, instance, step, due - nbytes, nbytes, index, load)
                    last_done = max(last_done, done)
                    if load.posts:
                        self._later(last_done, self.on_chip[load.posts], nbytes)
                self._later(last_done, self.loaded, 1)

    def _take(self, nbytes: int) -> Process:
        if nbytes:
            if not self.space.fits(nbytes):
                self.stalls.waits(self.load, Stall.SPACE)
                yield self.space.room(nbytes, self.load.name)
                self.stalls.works(self.load)
            self.space.take(nbytes)

    def _later(self, cycle: int, counter: Counter, amount: int) -> None:
        """Add to a counter of loads at a cycle, or now if that has passed."""
        if self.emitter is not None:
            self.emitter.posted(self.load.name, counter.signal, cycle)
        counter.coming += amount
        delay = cycle - int(self.env.now)
        if delay <= 0:
            counter.add(amount)
            return
        timeout = self.env.timeout(delay)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: counter.add(amount))

    def _await_store(self, instance: CommandInstance, load: Load, due: int) -> Process:
        """Wait until the data of a load are in DRAM: this core's samples so far, or the gradients of all cores."""
        tensor = load.transfer.tensor
        if load.after is After.ALL:
            for core in self.machine.cores:
                whole = core.in_dram[tensor.name]
                needed = self.machine.instances.stores(core.index)[tensor.name] * tensor.nbytes
                if whole.value < needed:
                    yield from self._wait(self.load, whole, needed)
            return
        needed = instance.stored_before(load, due)
        counter = self.in_dram[tensor.name]
        if counter.value < needed:
            yield from self._wait(self.load, counter, needed)

    def _transfer(
        self,
        name: Queue,
        instance: CommandInstance,
        step: int,
        offset: int,
        nbytes: int,
        index: int,
        move: Load | Store,
    ) -> Generator[simpy.Event, Any, int]:
        """Move bytes in requests of `REQUEST_BYTES`; return the cycle at which the last of them is there.

        Data that are compressed in DRAM pass the buffer's port dense.
        """
        env, memory, transfer = self.env, self.machine.memory, move.transfer
        write = transfer.write
        compressed = instance.table.packed
        packed = compressed.get(StepMove(write, index, step), nbytes) if compressed else nbytes
        self.machine.moved[transfer.traffic_class, write] += packed
        queue = self.index + write * len(self.machine.cores)
        begun = now = done = int(env.now)
        place, command = self.machine.addresses.place, instance.command
        left = packed
        while left:
            address, contiguous = place(transfer, self.index, instance.first_sample, command.samples, offset)
            part = min(left, REQUEST_BYTES, contiguous)
            port_free = now - (-part * nbytes // (self.port * packed))
            done = yield memory.request(queue, address, part, write)
            now = int(env.now)
            if now < port_free:
                yield env.timeout(port_free - now)
                now = port_free
            left -= part
            offset += part
        if self.emitter is not None:
            self.emitter.moved(name, begun, instance, step, nbytes, transfer.tensor.name)
        return max(done, now)

    # -- computing units -------------------------------------------------------------------------------

    def compute_queue(self, unit: _ComputingUnit) -> Process:
        """StageWork on the unit's queue."""
        own = unit.state.work
        for work in self.machine.instances.queue(self.index, unit.name):
            self._begin(unit.state, work.instance.command, own)
            yield from self._run_stage(unit, work)
        if unit.state.stalls is not None:
            self.stalls.waits(unit.state, self.whole_step, 1)

    def _run_stage(self, unit: _ComputingUnit, work: StageWork) -> Process:
        """Work on steps of one stage: each begins when its inputs are there and its results have room."""
        instance, number, first, end = work
        env, command, cycles, held = self.env, instance.command, instance.table.cycles[number], unit.held
        before, after = self._neighbour(instance, number - 1), self._neighbour(instance, number + 1)
        room = unit.slots * command.work.slot_steps(command.steps)
        awaits_more = bool(command.waits or command.overwrites or command.time_steps)
        for step in range(first, end):
            if before is not None:
                if before.unit.done.value < before.place.done(step) or command.ends_time_step(step):
                    yield from self._await_results(unit, instance, number, step)
            elif awaits_more or self.loaded.value <= instance.steps_before + step:
                yield from self._await_operands(unit, instance, step)
            if after is not None and (taken := unit.taken_before(room)) is not None:
                yield from self._wait(unit.state, taken.done, taken.steps)
            if env.now > unit.free_at:
                yield from self._fill(unit, command.work.stages[number].fill_cycles)
            if cycles[step]:
                yield env.timeout(cycles[step])
            unit.free_at = int(env.now)
            if after is None:
                self._finish(instance, step)
            else:
                held.append(_Threshold(after.unit.done, after.place.done(step)))
            unit.done.add(1)
            if self.emitter is not None:
                self._report(self.emitter, unit, instance, number, step)
        worked = sum(cycles[first:end])
        unit.busy_cycles += worked
        self.rows[command.row].busy_cycles[unit.name] += worked

    def _neighbour(self, instance: CommandInstance, number: int) -> _Stage | None:
        """Return a stage of a command; None if there is no such stage."""
        stages = instance.command.work.stages
        if not 0 <= number < len(stages):
            return None
        return _Stage(self.units[stages[number].unit], instance.places[number])

    def _await_operands(self, unit: _ComputingUnit, instance: CommandInstance, step: int) -> Process:
        """Wait for all that the first stage of a step reads."""
        command = instance.command
        needed = instance.steps_before + step + 1
        if self.loaded.value < needed:
            yield from self._wait(unit.state, self.loaded, needed)
        if command.begins_time_step(step):  # it needs what the time step before hands on
            last = self._last_stage(instance)
            needed = last.place.done(step - 1)
            if last.unit.done.value < needed:
                yield from self._wait(unit.state, last.unit.done, needed)
        if command.waits or command.overwrites:
            yield from self._await_tokens(unit, instance, step)

    def _await_results(self, unit: _ComputingUnit, instance: CommandInstance, number: int, step: int) -> Process:
        """Wait for the results of the stage before; at the end of every time step they come with the drain."""
        before = instance.command.work.stages[number - 1]
        done, needed = self.units[before.unit].done, instance.places[number - 1].done(step)
        if done.value < needed:
            yield from self._wait(unit.state, done, needed)
        if before.drain_cycles and instance.command.ends_time_step(step):
            self.stalls.waits(unit.state, Stall.ARRAY)
            yield self.env.timeout(before.drain_cycles)
            self.stalls.works(unit.state)
            if self.emitter is not None:
                self.emitter.drained(unit.name, before.drain_cycles)

    def _fill(self, unit: _ComputingUnit, cycles: int) -> Process:
        """Fill a unit that was idle."""
        if cycles:
            self.stalls.waits(unit.state, unit.state.work)
            yield self.env.timeout(cycles)
            self.stalls.works(unit.state)
            if self.emitter is not None:
                self.emitter.filled(unit.name, cycles)

    def _await_tokens(self, unit: _ComputingUnit, instance: CommandInstance, step: int) -> Process:
        """Wait for the resident tensors that a step reads, and for those in DRAM whose space it writes over."""
        for needs, counters in (
            (instance.table.waits[step], self.on_chip),
            (instance.table.overwrites[step], self.in_dram),
        ):
            for name, nbytes, sample_bytes in needs:
                counter = counters[name]
                threshold = nbytes + sample_bytes * instance.first_sample
                if counter.value < threshold:
                    yield from self._wait(unit.state, counter, threshold)

    def _finish(self, instance: CommandInstance, step: int) -> None:
        """Post what a step has made, and give back what it has used."""
        for name, nbytes in instance.table.posts[step]:
            self.on_chip[name].add(nbytes)
        if instance.table.gives[step]:
            self.space.give(instance.table.gives[step])
        self.finished_steps += 1

    def _report(
        self, emitter: ProbeEmitter, unit: _ComputingUnit, instance: CommandInstance, number: int, step: int
    ) -> None:
        """Report a unit's work on a step and the signals that it has posted."""
        table = instance.table
        emitter.worked(unit.name, instance, step, table.cycles[number][step])
        if number == len(table.cycles) - 1:
            for name, _ in table.posts[step]:
                emitter.posted(unit.name, self.on_chip[name].signal)
            if table.gives[step]:
                emitter.posted(unit.name, self.space.signal)
        emitter.posted(unit.name, unit.done.signal)

    def _last_stage(self, instance: CommandInstance) -> _Stage:
        """Return the stage that finishes a command's steps."""
        return _Stage(self.units[instance.command.work.stages[-1].unit], instance.places[-1])

    # -- store queue -----------------------------------------------------------------------------------

    def store_queue(self) -> Process:
        """Write DRAM and give resident space back, in program order."""
        queue, frontier = self.store, 0
        for instance in self.machine.instances.of(self.index):
            command, table = instance.command, instance.table
            self._begin(queue, command, Stall.DRAM)
            last = self._last_stage(instance)
            computed = last.unit.done
            for step in range(command.steps):
                if not table.stores[step]:
                    continue
                if computed.value < last.place.done(step):
                    yield from self._wait(queue, computed, last.place.done(step))
                yield from self._store(instance, step)
            if computed.value < last.place.done(command.steps - 1):
                yield from self._wait(queue, computed, last.place.done(command.steps - 1))
            released = command.stage_bytes + sum(size for _, size in command.releases)
            if instance.closes:
                released += instance.segment.held_bytes
            if released:
                self.space.give(released)
                if self.emitter is not None:
                    self.emitter.posted(queue.name, self.space.signal)
            row = self.rows[command.row]
            row.cycles += int(self.env.now) - frontier
            frontier = int(self.env.now)
            self.machine.command_done()
        self.stalls.end()
        self.end = frontier
        self.finished = True

    def _store(self, instance: CommandInstance, step: int) -> Process:
        """Write the results of one step to DRAM."""
        queue = self.store
        for index, nbytes, sent, staged, visible in instance.table.stores[step]:
            store = instance.command.stores[index]
            if instance.happens(store):
                yield from self._transfer(queue.name, instance, step, sent - nbytes, nbytes, index, store)
                self.in_dram[store.transfer.tensor.name].add(visible)
                if self.emitter is not None:
                    self.emitter.posted(queue.name, self.in_dram[store.transfer.tensor.name].signal)
            if staged:
                self.space.give(staged)
                if self.emitter is not None:
                    self.emitter.posted(queue.name, self.space.signal)
