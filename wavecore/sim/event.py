"""The event engine: every core's four queues as SimPy processes around the shared DRAM.

Exact inside a step (closed forms), event-driven between steps.  The load queue runs ahead as far as the buffer has
room; all space is taken there, in program order, so a program whose every operation fits cannot deadlock.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import simpy

from wavecore.errors import InvariantError
from wavecore.operations import Phase, TensorClass
from wavecore.program import After, Command, Load, Program, Segment, Store
from wavecore.sim.memory import REQUEST_BYTES, SharedMemory
from wavecore.sim.tables import StepTable, step_table
from wavecore.sim.timing import DramProbe, Progress, RowTiming, Timing
from wavecore.sim.tokens import Counter, Space
from wavecore.specs import Accelerator

Process = Generator[simpy.Event, Any, None]
DRAIN_SLOTS = 2  # finished steps that the accumulators can hold: one draining, one filling


@dataclass
class _Row:
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


@dataclass(frozen=True, slots=True)
class _Turn:
    """A command as it comes up in one iteration."""

    command: Command
    table: StepTable
    segment: Segment
    iteration: int
    first_sample: int
    opens: bool  # first command of its segment
    closes: bool  # last command of its segment

    def happens(self, move: Load | Store) -> bool:
        """Whether a load or store takes place in this iteration."""
        return move.transfer.happens(self.iteration, len(self.segment.iterations))


def run_events(
    program: Program, accelerator: Accelerator, progress: Progress | None = None, probe: DramProbe | None = None
) -> Timing:
    """Run ``program`` event by event; ``probe`` is told of every request to DRAM.

    Raises InvariantError if it comes to a halt before its end.
    """
    env = simpy.Environment()
    machine = _Machine(env, program, accelerator, progress, probe)
    env.run()
    return machine.timing()


class _Machine:
    """All cores, their memory, and what they have in common."""

    def __init__(
        self,
        env: simpy.Environment,
        program: Program,
        accelerator: Accelerator,
        progress: Progress | None,
        probe: DramProbe | None,
    ) -> None:
        self.env = env
        self.program = program
        self.accelerator = accelerator
        count = len(program.cores)
        self.memory = SharedMemory(env, accelerator, 2 * count, probe)
        self.moved: Tally[tuple[TensorClass, bool]] = Tally()
        self.tables: dict[int, StepTable] = {}
        self.cores = [_Core(self, index) for index in range(count)]
        self.progress = progress
        self._commands = sum(
            len(body) for segments in program.cores for segment in segments for _, body in segment.iterations
        )
        self._done = 0
        for core in self.cores:
            for process in (core.load_queue, core.array_queue, core.vector_queue, core.store_queue):
                env.process(process())

    def table(self, command: Command) -> StepTable:
        """The step table of a command, made once."""
        key = id(command)
        if key not in self.tables:
            self.tables[key] = step_table(command)
        return self.tables[key]

    def turns(self, core: int) -> Iterator[_Turn]:
        """Every command of a core in order."""
        for segment in self.program.cores[core]:
            start = 0
            last_iteration = len(segment.iterations) - 1
            for iteration, (samples, body) in enumerate(segment.iterations):
                for position, command in enumerate(body):
                    yield _Turn(
                        command,
                        self.table(command),
                        segment,
                        iteration,
                        start,
                        iteration == 0 and position == 0,
                        iteration == last_iteration and position == len(body) - 1,
                    )
                start += samples

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


class _Core:
    """One core: its buffer, its queues' counters, and the processes that are its queues."""

    def __init__(self, machine: _Machine, index: int) -> None:
        env = machine.env
        self.machine = machine
        self.env = env
        self.index = index
        self.space = Space(env, machine.program.buffer_bytes)
        self.loaded = Counter(env)  # steps whose loads have arrived
        self.multiplied = Counter(env)  # GEMM steps that the array has finished
        self.computed = Counter(env)  # steps that the vector unit has finished
        self.on_chip: dict[str, Counter] = defaultdict(lambda: Counter(env))
        self.in_dram: dict[str, Counter] = defaultdict(lambda: Counter(env))
        self.rows: dict[tuple[str, Phase], _Row] = defaultdict(_Row)
        self.stalls = _Stalls()
        self.array_busy = 0
        self.end = 0
        self.finished = False
        self.port = machine.accelerator.core.memory_port_bytes_per_cycle
        self._at: dict[str, str] = {}
        self._stores: Tally[str] | None = None

    def doing(self) -> str:
        """Where each queue stands, for the message of a halt."""
        return ", ".join(f"{queue} queue in {what}" for queue, what in self._at.items())

    # -- load queue ------------------------------------------------------------------------------------

    def load_queue(self) -> Process:
        """Take space and read DRAM, step by step, as far ahead as there is room."""
        last_done = 0
        for turn in self.machine.turns(self.index):
            command, table = turn.command, turn.table
            self._at["load"] = command.name
            reserved = command.stage_bytes + sum(size for _, size in command.reserves)
            if turn.opens:
                reserved += turn.segment.held_bytes
            yield from self._take(reserved)
            for step in range(command.steps):
                yield from self._take(table.takes[step])
                for index, nbytes, due in table.loads[step]:
                    load = command.loads[index]
                    if not turn.happens(load):
                        continue
                    yield from self._await_store(turn, load, due)
                    done = yield from self._transfer(nbytes, False, load.transfer.traffic_class)
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
        delay = cycle - int(self.env.now)
        if delay <= 0:
            counter.add(amount)
            return
        timeout = self.env.timeout(delay)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: counter.add(amount))

    def _await_store(self, turn: _Turn, load: Load, due: int) -> Process:
        """Wait until what is read has been written: this core's samples so far, or every core's gradient."""
        if load.after is After.NOTHING:
            return
        tensor = load.transfer.tensor
        if load.after is After.ALL:
            for core in self.machine.cores:
                whole = core.in_dram[tensor.name]
                iterations = core.gradient_stores(tensor.name)
                if whole.value < iterations * tensor.nbytes:
                    yield whole.reached(iterations * tensor.nbytes)
            return
        if tensor.batched:
            size = tensor.nbytes * turn.command.samples
            needed = tensor.nbytes * turn.first_sample + min(size, due * size // load.flow.total)
            if load.flow.total > size:  # read more than once: the first pass already meets the last sample
                needed = tensor.nbytes * turn.first_sample + size
        else:
            needed = tensor.nbytes * turn.iteration
        counter = self.in_dram[tensor.name]
        if counter.value < needed:
            yield counter.reached(needed)

    def gradient_stores(self, name: str) -> int:
        """How many times this core stores a weight gradient."""
        if self._stores is None:
            self._stores = Tally(
                store.transfer.tensor.name
                for segment in self.machine.program.cores[self.index]
                for iteration, (_, body) in enumerate(segment.iterations)
                for command in body
                for store in command.stores
                if store.transfer.happens(iteration, len(segment.iterations))
            )
        return self._stores[name]

    def _transfer(self, nbytes: int, write: bool, kind: TensorClass) -> Generator[simpy.Event, Any, int]:
        """Move bytes in turns of `REQUEST_BYTES`; return the cycle at which the last of them is there."""
        self.machine.moved[kind, write] += nbytes
        queue = self.index + write * len(self.machine.cores)
        done = int(self.env.now)
        while nbytes:
            part = min(nbytes, REQUEST_BYTES)
            started = int(self.env.now)
            done = yield self.machine.memory.request(queue, part, write)
            port_free = started - (-part // self.port)
            if self.env.now < port_free:
                yield self.env.timeout(port_free - int(self.env.now))
            nbytes -= part
        return max(done, int(self.env.now))

    # -- array queue -----------------------------------------------------------------------------------

    def array_queue(self) -> Process:
        """Run the output tiles of each GEMM step when its operands are there and an accumulator is free."""
        sequence = finished = 0
        free_at = 0
        drained: list[int] = []
        for turn in self.machine.turns(self.index):
            command, table = turn.command, turn.table
            if not command.work.array_cycles:
                sequence += command.steps
                continue
            self._at["array"] = command.name
            row = self.rows[command.unit, command.phase]
            for step in range(command.steps):
                sequence += 1
                idle_from = int(self.env.now)
                if self.loaded.value < sequence:
                    yield self.loaded.reached(sequence)
                    self.stalls.dram += int(self.env.now) - idle_from
                idle_from = int(self.env.now)
                yield from self._await_tokens(turn, step)
                if len(drained) >= DRAIN_SLOTS and self.computed.value < drained[-DRAIN_SLOTS]:
                    yield self.computed.reached(drained[-DRAIN_SLOTS])
                self.stalls.vector += int(self.env.now) - idle_from
                if self.env.now > free_at or not finished:
                    yield self.env.timeout(command.work.fill_cycles)
                cycles = table.array[step]
                yield self.env.timeout(cycles)
                free_at = int(self.env.now)
                row.array += cycles
                self.array_busy += cycles
                finished += 1
                drained = [*drained[-DRAIN_SLOTS:], sequence]
                self.multiplied.add(1)

    def _await_tokens(self, turn: _Turn, step: int) -> Process:
        """Wait for the resident tensors that a step reads."""
        for name, needed, sample_bytes in turn.table.waits[step]:
            counter = self.on_chip[name]
            threshold = needed + sample_bytes * turn.first_sample
            if counter.value < threshold:
                yield counter.reached(threshold)
        for name, needed, sample_bytes in turn.table.overwrites[step]:
            counter = self.in_dram[name]
            threshold = needed + sample_bytes * turn.first_sample
            if counter.value < threshold:
                yield counter.reached(threshold)

    # -- vector queue ----------------------------------------------------------------------------------

    def vector_queue(self) -> Process:
        """Drain the array's steps and run the sweeps of everything that is no GEMM."""
        sequence = gemm_steps = 0
        for turn in self.machine.turns(self.index):
            command, table = turn.command, turn.table
            self._at["vector"] = command.name
            row = self.rows[command.unit, command.phase]
            gemm = command.work.array_cycles > 0
            for step in range(command.steps):
                sequence += 1
                if gemm:
                    gemm_steps += 1
                    if self.multiplied.value < gemm_steps:
                        yield self.multiplied.reached(gemm_steps)
                    if step == command.steps - 1:
                        yield self.env.timeout(command.work.drain_cycles)
                else:
                    if self.loaded.value < sequence:
                        yield self.loaded.reached(sequence)
                    yield from self._await_tokens(turn, step)
                cycles = table.vector[step]
                if cycles:
                    yield self.env.timeout(cycles)
                row.vector += cycles
                for name, nbytes in table.posts[step]:
                    self.on_chip[name].add(nbytes)
                if table.gives[step]:
                    self.space.give(table.gives[step])
                self.computed.add(1)

    # -- store queue -----------------------------------------------------------------------------------

    def store_queue(self) -> Process:
        """Write DRAM and give resident space back, in program order."""
        sequence = frontier = 0
        for turn in self.machine.turns(self.index):
            command, table = turn.command, turn.table
            self._at["store"] = command.name
            for step in range(command.steps):
                sequence += 1
                if not table.stores[step]:
                    continue
                if self.computed.value < sequence:
                    yield self.computed.reached(sequence)
                yield from self._store(turn, step)
            if self.computed.value < sequence:
                yield self.computed.reached(sequence)
            released = command.stage_bytes + sum(size for _, size in command.releases)
            if turn.closes:
                released += turn.segment.held_bytes
            if released:
                self.space.give(released)
            row = self.rows[command.unit, command.phase]
            row.cycles += int(self.env.now) - frontier
            frontier = int(self.env.now)
            self.machine.command_done()
        self.end = frontier
        self.finished = True

    def _store(self, turn: _Turn, step: int) -> Process:
        """Write the results of one step to DRAM."""
        for index, nbytes, staged, visible in turn.table.stores[step]:
            store = turn.command.stores[index]
            if turn.happens(store):
                yield from self._transfer(nbytes, True, store.transfer.traffic_class)
                self.in_dram[store.transfer.tensor.name].add(visible)
            if staged:
                self.space.give(staged)
