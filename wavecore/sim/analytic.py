"""The analytic engine: every command in closed form, one after the other.

Instead of steps it follows four points of each command: when its first and its last operands arrive, and when its
first and its last results are there.  Queues still run in order and ahead of each other as space allows, so the
overlap between layers is kept; what is lost is the play of single steps against each other and against the other
cores, which are taken to be in step and to share DRAM evenly.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from functools import lru_cache

from wavecore.counts import executions
from wavecore.dram import sustained_bytes_per_second
from wavecore.operations import Phase, TensorClass
from wavecore.program import After, Command, Pace, Program, transfers_of
from wavecore.sim.memory import REQUEST_BYTES
from wavecore.sim.timing import Progress, RowTiming, Timing
from wavecore.specs import Accelerator

_WHOLE = (Pace.AT_ONCE, Pace.ROUND_START)


@dataclass(frozen=True, slots=True)
class _Cost:
    """A command reduced to numbers: DRAM bytes, compute cycles, space, and whom it waits for."""

    first_bytes: int
    early_bytes: int  # arrive while the first outer block runs
    partial_bytes: int
    load_bytes: int
    store_bytes: int
    array: int
    vector: int
    tail: float  # share of the compute time that is left when the last operand arrives
    lead: float  # share of the compute time after which the first result is there
    needs: int
    frees: int
    stored: tuple[tuple[str, bool], ...]  # tensors that earlier commands store, and whether all of them is needed
    awaited: tuple[tuple[str, bool], ...]  # the same for tensors on chip
    posts: tuple[str, ...]
    stores: tuple[str, ...]


@lru_cache(maxsize=1 << 15)
def _cost(command: Command) -> _Cost:
    """Reduce a command to numbers."""
    work, steps = command.work, command.steps
    whole = sum(load.flow.total for load in command.loads if load.flow.pace in _WHOLE)
    flowing = [load for load in command.loads if load.flow.pace not in _WHOLE]
    always = sum(load.flow.total for load in command.loads if load.transfer.when != "after_first")
    partial = sum(load.flow.total for load in command.loads if load.transfer.when == "after_first")
    retained = sum(load.flow.total for load in command.loads if load.freed is Pace.AT_END)
    if command.order == "depth":
        whole //= command.blocks
        rounds = sum(load.flow.total for load in command.loads if load.flow.pace is Pace.ROUND_START)
        retained = 2 * rounds // command.blocks
    first = whole + sum(load.flow.total // steps + load.flow.lookahead for load in flowing)
    staged = sum(store.flow.total for store in command.stores if store.staged)
    streaming = sum(load.flow.total for load in flowing if load.freed is not None) + staged
    stage = retained + min(streaming, 2 * -(-streaming // steps))
    lead = 1 / (2 * command.samples) + 1 / steps if command.sweep_steps else 1 / steps
    loads = [load for load in command.loads if load.after is not After.NOTHING]
    return _Cost(
        first_bytes=min(first, always),
        early_bytes=whole + sum(load.flow.total for load in flowing if load.flow.pace is Pace.FIRST_BLOCK),
        partial_bytes=partial,
        load_bytes=always,
        store_bytes=sum(store.flow.total for store in command.stores),
        array=work.array_cycles,
        vector=work.vector_cycles,
        tail=lead,
        lead=lead,
        needs=command.stage_bytes + sum(size for _, size in command.reserves) + stage,
        frees=command.stage_bytes + sum(size for _, size in command.releases) + stage,
        stored=tuple(
            (load.transfer.tensor.name, load.after is After.ALL or load.flow.pace in _WHOLE) for load in loads
        ),
        awaited=tuple((token.tensor, token.flow.pace is Pace.AT_ONCE) for token in command.waits),
        posts=(*(token.tensor for token in command.posts), *(load.posts for load in command.loads if load.posts)),
        stores=tuple(store.transfer.tensor.name for store in command.stores),
    )


@dataclass(slots=True)
class _Row:
    cycles: float = 0.0
    array: int = 0
    vector: int = 0


class _Core:
    """One core, standing for all: the times at which its queues are free, and what is on chip when."""

    def __init__(self, program: Program, accelerator: Accelerator) -> None:
        self.program = program
        self.accelerator = accelerator
        cores = len(program.cores)
        clock = accelerator.chip.clock_hz
        sustained = sustained_bytes_per_second(accelerator.memory, REQUEST_BYTES, run_requests=cores)
        self.bytes_per_cycle = min(
            float(sustained) / clock / cores, float(accelerator.core.memory_port_bytes_per_cycle)
        )
        memory = accelerator.memory
        self.latency = (memory.trcd_seconds + memory.tcl_seconds + memory.controller_seconds) * clock
        self.dram = self.array = self.vector = self.frontier = 0.0
        self.used = 0
        self.peak = 0
        self.releases: deque[tuple[float, int]] = deque()
        self.there: dict[str, tuple[float, float]] = {}  # tensor -> first and last results on chip
        self.stored: dict[str, tuple[float, float]] = {}  # tensor -> first and last results in DRAM
        self.rows: dict[tuple[str, Phase], _Row] = defaultdict(_Row)
        self.stall_dram = self.stall_vector = 0.0
        self.array_busy = 0

    def run(self, command: Command, iteration: int) -> None:
        """Advance every queue by one command."""
        cost, rate = _cost(command), self.bytes_per_cycle
        begin = max(self._space(cost), self.dram, _latest(self.stored, cost.stored)[0])
        load = (cost.load_bytes + (cost.partial_bytes if iteration else 0)) / rate
        store = cost.store_bytes / rate
        latency = self.latency if load else 0.0
        arrived_first = begin + cost.first_bytes / rate + latency
        arrived_last = begin + load + latency
        ready = _latest(self.there, cost.awaited)
        if cost.array:
            early = begin + cost.early_bytes / rate
            first, last = self._multiply(command, cost, arrived_first, early, arrived_last, ready)
        else:
            start = max(self.vector, arrived_first, ready[0])
            last = max(start + cost.vector, max(arrived_last, ready[1]) + cost.tail * cost.vector)
            first = start + cost.lead * (last - start)
            self.vector = last
        self.dram = begin + load + store
        done = max(last, self.dram, first + store if store else last)
        self._settle(command, cost, first, last, done)

    def _multiply(
        self,
        command: Command,
        cost: _Cost,
        arrived_first: float,
        arrived_early: float,
        arrived_last: float,
        ready: tuple[float, float],
    ) -> tuple[float, float]:
        """A GEMM and its drain: when its first and its last results are there."""
        ready_first, ready_last = ready
        work, steps = command.work, command.steps
        operands = max(arrived_first, ready_first)
        vector_wait = self.vector - 2 * cost.array / steps  # results wait in the accumulators
        start = max(self.array, operands, vector_wait)
        if start > self.array:
            gap = start - self.array
            if arrived_first >= max(ready_first, vector_wait):
                self.stall_dram += gap
            else:
                self.stall_vector += gap
            start += work.fill_cycles
        late = max(arrived_last, ready_last) + cost.array * cost.tail
        late = max(late, arrived_early + cost.array * (1 - 1 / command.blocks))
        end = max(start + cost.array, late)
        if late > start + cost.array:
            if arrived_last >= ready_last:
                self.stall_dram += end - start - cost.array
            else:
                self.stall_vector += end - start - cost.array
        drain_start = max(self.vector, start + (end - start) / steps)
        last = max(drain_start + cost.vector, end + cost.vector / steps) + work.drain_cycles
        end = max(end, last - work.drain_cycles - 2 * cost.vector / steps)
        self.array, self.vector = end, last
        skipped = 1 - 1 / command.blocks if command.order == "panels" else 0.0
        lead = skipped + 1 / steps
        return start + lead * (last - start), last

    def _space(self, cost: _Cost) -> float:
        """Take the command's space; return when it is there."""
        time = 0.0
        while self.releases and self.used + cost.needs > self.program.buffer_bytes:
            time, nbytes = self.releases.popleft()
            self.used -= nbytes
        self.used += cost.needs
        self.peak = max(self.peak, min(self.used, self.program.buffer_bytes))
        return time

    def _settle(self, command: Command, cost: _Cost, first: float, last: float, done: float) -> None:
        """Book what a finished command leaves behind."""
        if self.releases:
            done = max(done, self.releases[-1][0])
        self.releases.append((done, cost.frees))
        for name in cost.posts:
            self.there[name] = (first, last)
        for name in cost.stores:
            self.stored[name] = (first, done)
        row = self.rows[command.unit, command.phase]
        row.array += cost.array
        row.vector += cost.vector
        if done > self.frontier:
            row.cycles += done - self.frontier
            self.frontier = done
        self.array_busy += cost.array


def _latest(times: dict[str, tuple[float, float]], wanted: tuple[tuple[str, bool], ...]) -> tuple[float, float]:
    """When the first and the last of what is wanted are there; of some, the first takes the whole."""
    first = last = 0.0
    for name, whole in wanted:
        there = times.get(name)
        if there is not None:
            first = max(first, there[1] if whole else there[0])
            last = max(last, there[1])
    return first, last


def run_analytic(program: Program, accelerator: Accelerator, progress: Progress | None = None) -> Timing:
    """Evaluate ``program`` command by command in closed form."""
    core = _Core(program, accelerator)
    commands = 0
    for segment in program.cores[0]:
        core.used += segment.held_bytes
        for iteration, (_, body) in enumerate(segment.iterations):
            for command in body:
                core.run(command, iteration)
                commands += 1
        core.releases.append((core.frontier, segment.held_bytes))
    step = round(core.frontier)
    rows = _whole_cycles(core, step)
    busy = core.array_busy
    dram = min(round(core.stall_dram), step - busy)
    vector = min(round(core.stall_vector), step - busy - dram)
    return Timing(
        step_cycles=step,
        rows=rows,
        array_busy_cycles=busy,
        stall_dram_cycles=dram,
        stall_vector_cycles=vector,
        stall_dependency_cycles=step - busy - dram - vector,
        dram_bytes=_moved(program),
        buffer_peak_bytes=core.peak,
        events=commands,
    )


def _whole_cycles(core: _Core, step: int) -> dict[tuple[str, Phase], RowTiming]:
    """Round the rows' cycles so that they still add up."""
    rows, running, given = {}, 0.0, 0
    for key, row in core.rows.items():
        running += row.cycles
        cycles = round(running) - given
        given += cycles
        rows[key] = RowTiming(cycles, row.array, row.vector)
    assert given == step
    return rows


def _moved(program: Program) -> Counter[tuple[TensorClass, bool]]:
    """DRAM bytes of all cores, counted command by command."""
    moved: Counter[tuple[TensorClass, bool]] = Counter()
    for command, runs, _ in executions(program):
        for transfer in transfers_of(command):
            moved[transfer.traffic_class, transfer.write] += transfer.nbytes * runs[transfer.when]
    return moved
