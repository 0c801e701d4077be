"""The event engine: every core's four queues as SimPy processes around the shared DRAM.

Exact inside a step (closed forms), event-driven between steps.  The load queue runs ahead as far as the buffer has
room; all space is taken there, in program order, so a program whose every operation fits cannot deadlock.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from wavecore.engines.emitter import ProbeEmitter
from wavecore.engines.instances import CommandInstance, CommandInstances
from wavecore.engines.memory import REQUEST_BYTES, SharedMemory
from wavecore.engines.probe import Cause, Probe, Queue, Signal
from wavecore.engines.timing import ProgressCallback, RowTiming, Timing
from wavecore.engines.tokens import Counter, Space, TensorCounters
from wavecore.errors import InvariantError
from wavecore.hardware.specs import Accelerator
from wavecore.program.commands import After, Load, Program, Store
from wavecore.training.operations import Phase, TensorClass

Process = Generator[simpy.Event, Any, None]
DRAIN_SLOTS = 2  # finished steps that the accumulators can hold: one draining, one filling


@dataclass
class _RowUsage:
    """What one layer and phase has used on one core."""

    cycles: int = 0
    array: int = 0
    vector: int = 0


@dataclass
class _Stalls:
    """Cycles in which the array waited, by what for."""

    dram: int = 0
    vector: int = 0
    dependency: int = 0


def run_events(
    program: Program, accelerator: Accelerator, progress: ProgressCallback | None = None, probe: Probe | None = None
) -> Timing:
    """Run ``program`` event by event; ``probe`` is told what happens, and changes nothing.

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
        self.moved: Tally[tuple[TensorClass, bool]] = Tally()
        self.instances = CommandInstances(program)
        self.cores = [_CoreQueues(self, index) for index in range(count)]
        self.progress = progress
        self._commands = sum(
            len(body) for segments in program.cores for segment in segments for _, body in segment.iterations
        )
        self._done = 0
        for core in self.cores:
            for process in (core.load_queue, core.array_queue, core.vector_queue, core.store_queue):
                env.process(process())

    def command_done(self) -> None:
        """Tell whoever watches how far the simulation is."""
        self._done += 1
        if self.progress is not None:
            self.progress(self._done / self._commands)

    def timing(self) -> Timing:
        """Collect the outcome once every process has ended."""
        for index, core in enumerate(self.cores):
            if not core.finished:
                raise InvariantError(
                    f"core {index}",
                    f"stopped at cycle {self.env.now}: {core.doing()}",
                    "a report of this bug",
                )
            if core.space.used:
                raise InvariantError(f"core {index}", f"{core.space.used} bytes of the buffer were never freed")
        slowest = max(self.cores, key=lambda core: core.end)
        step = slowest.end
        count = len(self.cores)
        rows = {
            key: RowTiming(
                row.cycles,
                sum(core.rows[key].array for core in self.cores) // count,
                sum(core.rows[key].vector for core in self.cores) // count,
            )
            for key, row in slowest.rows.items()
        }
        busy = sum(core.array_busy for core in self.cores) // count
        dram, vector = (sum(getattr(core.stalls, name) for core in self.cores) // count for name in ("dram", "vector"))
        return Timing(
            step_cycles=step,
            rows=rows,
            array_busy_cycles=busy,
            stall_dram_cycles=dram,
            stall_vector_cycles=vector,
            stall_dependency_cycles=step - busy - dram - vector,
            dram_bytes=self.moved,
            buffer_peak_bytes=max(core.space.peak for core in self.cores),
            events=self.memory.requests + sum(core.computed.value for core in self.cores),
        )


class _CoreQueues:
    """One core: its buffer, its queues' counters, and the processes that are its queues."""

    def __init__(self, machine: _EventMachine, index: int) -> None:
        env = machine.env
        self.machine = machine
        self.env = env
        self.index = index
        self.tell = None if machine.probe is None else ProbeEmitter(machine.probe, env, index)
        self.space = Space(env, machine.program.buffer_bytes, Signal(index, Cause.SPACE), self.tell)
        self.loaded = Counter(env, Signal(index, Cause.LOADS))  # steps whose loads have arrived
        self.multiplied = Counter(env, Signal(index, Cause.PRODUCTS))  # GEMM steps that the array has finished
        self.computed = Counter(env, Signal(index, Cause.RESULTS))  # steps that the vector unit has finished
        self.on_chip = TensorCounters(env, index, Cause.ON_CHIP)
        self.in_dram = TensorCounters(env, index, Cause.IN_DRAM)
        self.rows: dict[tuple[str, Phase], _RowUsage] = defaultdict(_RowUsage)
        self.stalls = _Stalls()
        self.array_busy = 0
        self.end = 0
        self.finished = False
        self.port = machine.accelerator.core.memory_port_bytes_per_cycle
        self._at: dict[str, str] = {}

    def doing(self) -> str:
        """Where each queue stands, for the message of a halt."""
        return ", ".join(f"{queue} queue in {what}" for queue, what in self._at.items())

    # -- load queue ------------------------------------------------------------------------------------

    def load_queue(self) -> Process:
        """Take space and read DRAM, step by step, as far ahead as there is room."""
        last_done = 0
        for instance in self.machine.instances.of(self.index):
            command, table = instance.command, instance.table
            self._at["load"] = command.name
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
                    done = yield from self._transfer(instance, step, nbytes, index, load)
                    last_done = max(last_done, done)
                    if load.posts:
                        self._later(last_done, self.on_chip[load.posts], nbytes)
                self._later(last_done, self.loaded, 1)

    def _take(self, nbytes: int) -> Process:
        if nbytes:
            if not self.space.fits(nbytes):
                yield self.space.room(nbytes)
            self.space.take(nbytes)

    def _later(self, cycle: int, counter: Counter, amount: int) -> None:
        """Let a counter grow at a cycle, now if that has passed."""
        if self.tell is not None:
            self.tell.posted("load", counter.signal, cycle)
        delay = cycle - int(self.env.now)
        if delay <= 0:
            counter.add(amount)
            return
        timeout = self.env.timeout(delay)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: counter.add(amount))

    def _await_store(self, instance: CommandInstance, load: Load, due: int) -> Process:
        """Wait until what is read has been written: this core's samples so far, or every core's gradient."""
        tensor = load.transfer.tensor
        if load.after is After.ALL:
            for core in self.machine.cores:
                whole = core.in_dram[tensor.name]
                needed = self.machine.instances.stores(core.index)[tensor.name] * tensor.nbytes
                if whole.value < needed:
                    yield whole.reached(needed, "load", self.tell)
            return
        needed = instance.stored_before(load, due)
        counter = self.in_dram[tensor.name]
        if counter.value < needed:
            yield counter.reached(needed, "load", self.tell)

    def _transfer(
        self, instance: CommandInstance, step: int, nbytes: int, index: int, move: Load | Store
    ) -> Generator[simpy.Event, Any, int]:
        """Move bytes in turns of `REQUEST_BYTES`; return the cycle at which the last of them is there.

        What is compressed in DRAM passes the buffer's port dense.
        """
        env, memory, transfer = self.env, self.machine.memory, move.transfer
        write = transfer.write
        packed = instance.table.packed.get((write, index, step), nbytes)
        self.machine.moved[transfer.traffic_class, write] += packed
        queue = self.index + write * len(self.machine.cores)
        begun = now = done = int(env.now)
        left = packed
        while left:
            part = min(left, REQUEST_BYTES)
            port_free = now - (-part * nbytes // (self.port * packed))
            done = yield memory.request(queue, part, write)
            now = int(env.now)
            if now < port_free:
                yield env.timeout(port_free - now)
                now = port_free
            left -= part
        if self.tell is not None:
            self.tell.moved("store" if write else "load", begun, instance, step, nbytes, transfer.tensor.name)
        return max(done, now)

    # -- array queue -----------------------------------------------------------------------------------

    def array_queue(self) -> Process:
        """Run the output tiles of each GEMM step when its operands are there and an accumulator is free."""
        sequence = finished = 0
        free_at = 0
        drained: list[int] = []
        for instance in self.machine.instances.of(self.index):
            command, table = instance.command, instance.table
            if not command.work.array_cycles:
                sequence += command.steps
                continue
            self._at["array"] = command.name
            awaits = command.waits or command.overwrites
            row = self.rows[command.unit, command.phase]
            for step in range(command.steps):
                sequence += 1
                idle_from = int(self.env.now)
                if self.loaded.value < sequence:
                    yield self.loaded.reached(sequence, "array", self.tell)
                    self.stalls.dram += int(self.env.now) - idle_from
                if command.begins_time_step(step) and self.computed.value < sequence - 1:
                    yield self.computed.reached(sequence - 1, "array", self.tell)  # what the step before hands on
                idle_from = int(self.env.now)
                if awaits:
                    yield from self._await_tokens("array", instance, step)
                if len(drained) >= DRAIN_SLOTS and self.computed.value < drained[-DRAIN_SLOTS]:
                    yield self.computed.reached(drained[-DRAIN_SLOTS], "array", self.tell)
                self.stalls.vector += int(self.env.now) - idle_from
                filled = self.env.now > free_at or not finished
                if filled:
                    yield self.env.timeout(command.work.fill_cycles)
                cycles = table.array[step]
                yield self.env.timeout(cycles)
                free_at = int(self.env.now)
                row.array += cycles
                self.array_busy += cycles
                finished += 1
                drained = [*drained[-DRAIN_SLOTS:], sequence]
                self.multiplied.add(1)
                if self.tell is not None:
                    self.tell.multiplied(instance, step, filled)
                    self.tell.posted("array", self.multiplied.signal)

    def _await_tokens(self, queue: Queue, instance: CommandInstance, step: int) -> Process:
        """Wait for the resident tensors that a step reads."""
        for name, needed, sample_bytes in instance.table.waits[step]:
            counter = self.on_chip[name]
            threshold = needed + sample_bytes * instance.first_sample
            if counter.value < threshold:
                yield counter.reached(threshold, queue, self.tell)
        for name, needed, sample_bytes in instance.table.overwrites[step]:
            counter = self.in_dram[name]
            threshold = needed + sample_bytes * instance.first_sample
            if counter.value < threshold:
                yield counter.reached(threshold, queue, self.tell)

    # -- vector queue ----------------------------------------------------------------------------------

    def vector_queue(self) -> Process:
        """Drain the array's steps and run the sweeps of everything that is no GEMM."""
        sequence = gemm_steps = 0
        for instance in self.machine.instances.of(self.index):
            command, table = instance.command, instance.table
            self._at["vector"] = command.name
            awaits = command.waits or command.overwrites
            row = self.rows[command.unit, command.phase]
            gemm = command.work.array_cycles > 0
            for step in range(command.steps):
                sequence += 1
                if gemm:
                    gemm_steps += 1
                    if self.multiplied.value < gemm_steps:
                        yield self.multiplied.reached(gemm_steps, "vector", self.tell)
                    if command.ends_time_step(step):
                        yield self.env.timeout(command.work.drain_cycles)
                else:
                    if self.loaded.value < sequence:
                        yield self.loaded.reached(sequence, "vector", self.tell)
                    if awaits:
                        yield from self._await_tokens("vector", instance, step)
                cycles = table.vector[step]
                if cycles:
                    yield self.env.timeout(cycles)
                row.vector += cycles
                self._finish(instance, step)

    def _finish(self, instance: CommandInstance, step: int) -> None:
        """Post what a step has made, and give back what it has used."""
        for name, nbytes in instance.table.posts[step]:
            self.on_chip[name].add(nbytes)
        if instance.table.gives[step]:
            self.space.give(instance.table.gives[step])
        self.computed.add(1)
        if self.tell is not None:
            self.tell.swept(instance, step)
            for name, _ in instance.table.posts[step]:
                self.tell.posted("vector", self.on_chip[name].signal)
            if instance.table.gives[step]:
                self.tell.posted("vector", self.space.signal)
            self.tell.posted("vector", self.computed.signal)

    # -- store queue -----------------------------------------------------------------------------------

    def store_queue(self) -> Process:
        """Write DRAM and give resident space back, in program order."""
        sequence = frontier = 0
        for instance in self.machine.instances.of(self.index):
            command, table = instance.command, instance.table
            self._at["store"] = command.name
            for step in range(command.steps):
                sequence += 1
                if not table.stores[step]:
                    continue
                if self.computed.value < sequence:
                    yield self.computed.reached(sequence, "store", self.tell)
                yield from self._store(instance, step)
            if self.computed.value < sequence:
                yield self.computed.reached(sequence, "store", self.tell)
            released = command.stage_bytes + sum(size for _, size in command.releases)
            if instance.closes:
                released += instance.segment.held_bytes
            if released:
                self.space.give(released)
                if self.tell is not None:
                    self.tell.posted("store", self.space.signal)
            row = self.rows[command.unit, command.phase]
            row.cycles += int(self.env.now) - frontier
            frontier = int(self.env.now)
            self.machine.command_done()
        self.end = frontier
        self.finished = True

    def _store(self, instance: CommandInstance, step: int) -> Process:
        """Write the results of one step to DRAM."""
        for index, nbytes, staged, visible in instance.table.stores[step]:
            store = instance.command.stores[index]
            if instance.happens(store):
                yield from self._transfer(instance, step, nbytes, index, store)
                self.in_dram[store.transfer.tensor.name].add(visible)
                if self.tell is not None:
                    self.tell.posted("store", self.in_dram[store.transfer.tensor.name].signal)
            if staged:
                self.space.give(staged)
                if self.tell is not None:
                    self.tell.posted("store", self.space.signal)
