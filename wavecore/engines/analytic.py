"""The analytic engine: every command in closed form, one after the other.

Instead of steps it follows four points of each command: when its first and its last operands arrive, and when its
first and its last results are there.  Queues still run in order and ahead of each other as space allows, so the
overlap between layers is kept; what is lost is the play of single steps against each other and against the other
cores, which are taken to be in step and to share DRAM evenly.

Time is counted in whole *ticks*, so that iterations which repeat do so exactly, and are not played again.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from wavecore.engines.memory import REQUEST_BYTES
from wavecore.engines.timing import LazyRows, ProgressCallback, RowTiming, Timing
from wavecore.hardware.dram import sustained_bytes_per_second
from wavecore.hardware.specs import Accelerator
from wavecore.plan.blocking import LoopOrder
from wavecore.program.commands import After, Command, Load, Program, Segment, StepProfile, Store, transfers_of
from wavecore.program.counts import count_totals
from wavecore.training.operations import Phase

TICKS_PER_CYCLE = 1024
_WHOLE = (StepProfile.AT_ONCE, StepProfile.ROUND_START)

Body = tuple[Command, ...]
Wanted = tuple[tuple[str, bool], ...]
"""Tensors, and whether the first use of each needs all of it."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What a command moves, and what of it its first results need."""

    first: int
    early: int  # arrive while the first outer block runs
    partial: int  # of earlier iterations
    load: int
    store: int
    stage: int  # buffer space that comes and goes step by step


def _dram(move: Load | Store) -> int:
    """Bytes of a move that pass DRAM's pins."""
    return move.transfer.dram_bytes


def _dense(move: Load | Store) -> int:
    """Bytes of a move that pass the buffer's port."""
    return move.flow.total


@lru_cache(maxsize=1 << 14)
def _bytes(command: Command, size: Callable[[Load | Store], int] = _dense) -> _Bytes:
    """Sum up what a command moves, each transfer in its ``size``."""
    steps = command.steps
    whole = sum(size(load) for load in command.loads if load.flow.profile in _WHOLE)
    flowing = [load for load in command.loads if load.flow.profile not in _WHOLE]
    always = sum(size(load) for load in command.loads if load.transfer.when != "after_first")
    retained = sum(load.flow.total for load in command.loads if load.freed is StepProfile.AT_END)
    if command.order.in_rounds:
        whole //= command.blocks
        rounds = sum(load.flow.total for load in command.loads if load.flow.profile is StepProfile.ROUND_START)
        retained = 2 * rounds // command.blocks
    first = whole + sum(
        size(load) // steps + load.flow.lookahead * size(load) // max(1, load.flow.total) for load in flowing
    )
    staged = sum(store.flow.total for store in command.stores if store.staged)
    streaming = sum(load.flow.total for load in flowing if load.freed is not None) + staged
    return _Bytes(
        first=min(first, always),
        early=whole + sum(size(load) for load in flowing if load.flow.profile is StepProfile.FIRST_BLOCK),
        partial=sum(size(load) for load in command.loads if load.transfer.when == "after_first"),
        load=always,
        store=sum(size(store) for store in command.stores),
        stage=retained + min(streaming, 2 * -(-streaming // steps)),
    )


@dataclass(frozen=True, slots=True)
class _Cost:
    """A command reduced to numbers: what it moves, ticks of its computations, space, and whom it waits for."""

    key: tuple[str, Phase]
    moved: _Bytes
    packed: _Bytes | None  # the same over DRAM's pins, where anything is compressed there
    array: int
    vector: int
    array_cycles: int
    fill: int
    drain: int
    array_step: int
    vector_step: int
    array_after_operands: int  # computing that is left when the last operand arrives
    array_after_early: int
    vector_after_operands: int
    lead: tuple[int, int]  # share of the time between start and last result after which the first result is there
    at_end: bool  # all results are there together
    steps: int
    needs: int
    frees: int
    stored: Wanted  # that earlier commands store
    awaited: Wanted  # the same on chip
    posts: tuple[str, ...]
    stores: tuple[str, ...]


@lru_cache(maxsize=1 << 15)
def _cost(command: Command) -> _Cost:
    """Reduce a command to numbers."""
    work, steps, moved = command.work, command.steps, _bytes(command)
    compressed = any(each.packed_bytes is not None for each in transfers_of(command))
    array, vector = work.array_cycles * TICKS_PER_CYCLE, work.vector_cycles * TICKS_PER_CYCLE
    if command.time_steps:
        array = _serial(command, array, vector)
    lead = (1, steps)
    if command.sweep_steps:
        sweeps = steps // command.sweep_steps
        lead = (steps + sweeps, sweeps * steps)
    elif command.order == LoopOrder.LEFT_STAYS and array:
        lead = (steps * (command.blocks - 1) + command.blocks, steps * command.blocks)
    tail = lead if command.sweep_steps else (1, steps)
    ordered = [each for each in command.loads if each.after is not After.NOTHING]
    return _Cost(
        key=(command.unit, command.phase),
        moved=moved,
        packed=_bytes(command, _dram) if compressed else None,
        array=array,
        vector=vector,
        array_cycles=work.array_cycles,
        fill=work.fill_cycles * TICKS_PER_CYCLE,
        drain=work.drain_cycles * TICKS_PER_CYCLE,
        array_step=array // steps,
        vector_step=vector // steps,
        array_after_operands=array * tail[0] // tail[1],
        array_after_early=array * (command.blocks - 1) // command.blocks,
        vector_after_operands=vector * tail[0] // tail[1],
        lead=lead,
        at_end=bool(command.time_steps),
        steps=steps,
        needs=command.stage_bytes + sum(size for _, size in command.reserves) + moved.stage,
        frees=command.stage_bytes + sum(size for _, size in command.releases) + moved.stage,
        stored=tuple(
            (
                each.transfer.tensor.name,
                bool(command.time_steps) or each.after is After.ALL or each.flow.profile in _WHOLE,
            )
            for each in ordered
        ),
        awaited=tuple((token.tensor, token.flow.profile is StepProfile.AT_ONCE) for token in command.waits),
        posts=(*(token.tensor for token in command.posts), *(each.posts for each in command.loads if each.posts)),
        stores=tuple(store.transfer.tensor.name for store in command.stores),
    )


def _serial(command: Command, array: int, vector: int) -> int:
    """Ticks until the last product of a command whose time steps wait for each other.

    A time step is filled, drained and swept by itself; what it is cut into still overlaps.  What is paid of the first
    one's beginning and of the last one's end anyway is left out.
    """
    times, steps = command.time_steps, command.steps
    ends = (command.work.fill_cycles + command.work.drain_cycles) * TICKS_PER_CYCLE
    overlapped = max(array // times + vector // steps, array // steps + vector // times)
    return times * (ends + overlapped) - ends - vector // steps


@lru_cache(maxsize=1 << 12)
def _costs(body: Body) -> tuple[tuple[_Cost, ...], tuple[str, ...]]:
    """The costs of an iteration's commands, and the tensors that they wait for and that others made."""
    costs = tuple(_cost(command) for command in body)
    made = {name for cost in costs for name in (*cost.posts, *cost.stores)}
    wanted = (name for cost in costs for name, _ in (*cost.stored, *cost.awaited))
    return costs, tuple(dict.fromkeys(name for name in wanted if name not in made))


def _ticks(moved: _Bytes, rate: float, again: bool) -> tuple[int, int, int, int]:
    """Ticks of the first operands, of those that the first block needs, of all loads, and of the stores."""
    load = moved.load + moved.partial if again else moved.load
    return int(moved.first * rate), int(moved.early * rate), int(load * rate), int(moved.store * rate)


class _CoreTimes:
    """One core, standing for all: the times at which its queues are free, and what is on chip when."""

    __slots__ = (
        "array", "array_busy", "cycles", "dram", "frontier", "latency", "peak", "port_ticks_per_byte", "releases",
        "size", "stall_dram", "stall_vector", "stored", "there", "ticks_per_byte", "used", "vector",
    )  # fmt: skip

    def __init__(self, buffer_bytes: int, ticks_per_byte: float, port_ticks_per_byte: float, latency: int) -> None:
        self.size = buffer_bytes
        self.ticks_per_byte = ticks_per_byte  # to or from DRAM
        self.port_ticks_per_byte = port_ticks_per_byte  # through the buffer's port, each way
        self.latency = latency  # ticks until the first of a transfer is there
        self.dram = self.array = self.vector = self.frontier = 0
        self.used = self.peak = 0
        self.releases: deque[tuple[int, int]] = deque()
        self.there: dict[str, tuple[int, int]] = {}  # tensor -> first and last results on chip
        self.stored: dict[str, tuple[int, int]] = {}  # tensor -> first and last results in DRAM
        self.cycles: dict[tuple[str, Phase], int] = defaultdict(int)
        self.stall_dram = self.stall_vector = 0
        self.array_busy = 0

    def run(self, cost: _Cost, again: bool) -> None:
        """Advance every queue by one command, the first time or ``again``."""
        first_in, early_in, load, store = self._transfers(cost, again)
        begin = max(self._space(cost), self.dram)
        if cost.stored:
            begin = max(begin, _latest(self.stored, cost.stored)[0])
        latency = self.latency if load else 0
        arrived_first = begin + first_in + latency
        arrived_last = begin + load + latency
        ready = _latest(self.there, cost.awaited) if cost.awaited else (0, 0)
        if cost.array:
            first, last = self._multiply(cost, arrived_first, begin + early_in, arrived_last, ready)
        else:
            start = max(self.vector, arrived_first, ready[0])
            last = max(start + cost.vector, max(arrived_last, ready[1]) + cost.vector_after_operands)
            first = start + (last - start) * cost.lead[0] // cost.lead[1]
            self.vector = last
        self.dram = begin + load + store
        done = max(last, self.dram, first + store if store else last)
        self._settle(cost, last if cost.at_end else first, last, done)

    def _transfers(self, cost: _Cost, again: bool) -> tuple[int, int, int, int]:
        """Ticks of the first operands, of those that the first block needs, of all loads, and of stores behind them.

        Loads and stores share DRAM, and each have a way of their own through the port, where compressed data are dense.
        """
        first, early, load, store = _ticks(cost.packed or cost.moved, self.ticks_per_byte, again)
        if cost.packed is None and self.port_ticks_per_byte <= self.ticks_per_byte:
            return first, early, load, store  # the port holds nothing up
        port = _ticks(cost.moved, self.port_ticks_per_byte, again)
        both = max(load + store, port[2], port[3])
        load = max(load, port[2])
        return max(first, port[0]), max(early, port[1]), load, both - load

    def _multiply(
        self, cost: _Cost, arrived_first: int, arrived_early: int, arrived_last: int, ready: tuple[int, int]
    ) -> tuple[int, int]:
        """A GEMM and its drain: when its first and its last results are there."""
        ready_first, ready_last = ready
        vector_wait = self.vector - 2 * cost.array_step  # results wait in the accumulators
        start = max(self.array, arrived_first, ready_first, vector_wait)
        if start > self.array:
            self._stall(arrived_first >= max(ready_first, vector_wait), start - self.array)
            start += cost.fill
        late = max(arrived_last, ready_last) + cost.array_after_operands
        late = max(late, arrived_early + cost.array_after_early)
        end = max(start + cost.array, late)
        if late > start + cost.array:
            self._stall(arrived_last >= ready_last, end - start - cost.array)
        drain_start = max(self.vector, start + (end - start) // cost.steps)
        last = max(drain_start + cost.vector, end + cost.vector_step) + cost.drain
        self.array = max(end, last - cost.drain - 2 * cost.vector_step)
        self.vector = last
        return start + (last - start) * cost.lead[0] // cost.lead[1], last

    def _stall(self, for_dram: bool, ticks: int) -> None:
        if for_dram:
            self.stall_dram += ticks
        else:
            self.stall_vector += ticks

    def _space(self, cost: _Cost) -> int:
        """Take the command's space; return when it is there."""
        time, releases, used = 0, self.releases, self.used + cost.needs
        while releases and used > self.size:
            time, nbytes = releases.popleft()
            used -= nbytes
        self.used = used
        if used > self.peak:
            self.peak = min(used, self.size)
        return time

    def _settle(self, cost: _Cost, first: int, last: int, done: int) -> None:
        """Book what a finished command leaves behind."""
        if self.releases:
            done = max(done, self.releases[-1][0])
        self.releases.append((done, cost.frees))
        for name in cost.posts:
            self.there[name] = (first, last)
        for name in cost.stores:
            self.stored[name] = (first, done)
        if done > self.frontier:
            self.cycles[cost.key] += done - self.frontier
            self.frontier = done
        self.array_busy += cost.array_cycles


def _latest(times: dict[str, tuple[int, int]], wanted: Wanted) -> tuple[int, int]:
    """When the first and the last of what is wanted are there; of some, the first takes the whole."""
    first = last = 0
    for name, whole in wanted:
        there = times.get(name)
        if there is not None:
            first = max(first, there[1] if whole else there[0])
            last = max(last, there[1])
    return first, last


@dataclass(frozen=True, slots=True)
class _IterationState:
    """What an iteration leaves behind for the next: space, and the times of everything."""

    used: int
    queues: tuple[int, ...]
    releases: tuple[tuple[int, int], ...]
    made: list[tuple[int, int]]

    def follows(self, other: _IterationState) -> bool:
        """Whether this is the other state, all of it later by the same time."""
        later = self.queues[-1] - other.queues[-1]
        if self.used != other.used or any(a != b + later for a, b in zip(self.queues, other.queues, strict=True)):
            return False
        return (
            len(self.releases) == len(other.releases)
            and all(a == (time + later, size) for a, (time, size) in zip(self.releases, other.releases, strict=True))
            and all(a == (first + later, last + later) for a, (first, last) in zip(self.made, other.made, strict=True))
        )


class _Repetition:
    """Tells when an iteration has left the core as the one before did, only later.

    Every later one then does the same: whatever is compared moves by one and the same time.  What other segments
    left must lie too far back to be waited for.
    """

    def __init__(self, core: _CoreTimes, costs: tuple[_Cost, ...], outside: tuple[str, ...]) -> None:
        self.core = core
        self.keys = tuple(dict.fromkeys(cost.key for cost in costs))
        self.posts = tuple(dict.fromkeys(name for cost in costs for name in cost.posts))
        self.stores = tuple(dict.fromkeys(name for cost in costs for name in cost.stores))
        self.outside = outside
        self._state: _IterationState | None = None
        self._counted: tuple[int, ...] = ()
        self._frontier = 0
        self._begun = 0

    def begin(self) -> None:
        """Note what the next iteration begins with."""
        core = self.core
        self._begun = min(core.dram, core.array, core.vector)
        self._frontier = core.frontier
        self._counted = self._counts()

    def _counts(self) -> tuple[int, ...]:
        core = self.core
        return (core.stall_dram, core.stall_vector, core.array_busy, *(core.cycles[key] for key in self.keys))

    def repeats(self) -> bool:
        """Whether the iteration that has just ended left the same behind as the one before."""
        core, before = self.core, self._state
        made = [core.there[name] for name in self.posts] + [core.stored[name] for name in self.stores]
        queues = (core.dram, core.array, core.vector, core.frontier)
        self._state = state = _IterationState(core.used, queues, tuple(core.releases), made)
        if before is None or not state.follows(before):
            return False
        old = (times[name][1] for name in self.outside for times in (core.there, core.stored) if name in times)
        return max(old, default=0) <= self._begun

    def again(self, times: int) -> None:
        """Let so many more iterations pass, each like the last one."""
        core, later = self.core, (self.core.frontier - self._frontier) * times
        gained = [after - before for before, after in zip(self._counted, self._counts(), strict=True)]
        core.stall_dram += gained[0] * times
        core.stall_vector += gained[1] * times
        core.array_busy += gained[2] * times
        for key, ticks in zip(self.keys, gained[3:], strict=True):
            core.cycles[key] += ticks * times
        for name in ("dram", "array", "vector", "frontier"):
            setattr(core, name, getattr(core, name) + later)
        core.releases = deque((time + later, nbytes) for time, nbytes in core.releases)
        for names, table in ((self.posts, core.there), (self.stores, core.stored)):
            for name in names:
                table[name] = (table[name][0] + later, table[name][1] + later)


def run_analytic(
    program: Program, accelerator: Accelerator, progress: ProgressCallback | None = None, *, repeat: bool = True
) -> Timing:
    """Time ``program`` in closed form, command by command; without ``repeat`` every iteration is played."""
    core = _core(program, accelerator)
    segments = program.cores[0]
    commands = 0
    for number, segment in enumerate(segments):
        core.used += segment.held_bytes
        commands += _run_segment(core, segment, repeat)
        core.releases.append((core.frontier, segment.held_bytes))
        if progress is not None:
            progress((number + 1) / len(segments))
    return _timing(program, core, commands)


def _core(program: Program, accelerator: Accelerator) -> _CoreTimes:
    """A core that has its share of what DRAM sustains."""
    cores, clock, memory = len(program.cores), accelerator.chip.clock_hz, accelerator.memory
    sustained = sustained_bytes_per_second(memory, REQUEST_BYTES, run_requests=cores)
    port = float(accelerator.core.memory_port_bytes_per_cycle)
    rate = float(sustained) / clock / cores
    latency = (memory.trcd_seconds + memory.tcl_seconds + memory.controller_seconds) * clock
    return _CoreTimes(
        program.buffer_bytes, TICKS_PER_CYCLE / rate, TICKS_PER_CYCLE / port, round(latency * TICKS_PER_CYCLE)
    )


def _run_segment(core: _CoreTimes, segment: Segment, repeat: bool) -> int:
    """Run a group in one direction; return how many commands were played."""
    played = iteration = 0
    body: Body | None = None
    repetition: _Repetition | None = None
    while iteration < len(segment.iterations):
        if body is not segment.iterations[iteration][1]:
            body = segment.iterations[iteration][1]
            costs, outside = _costs(body)
            repetition = (
                _Repetition(core, costs, outside) if repeat and iteration + 2 < len(segment.iterations) else None
            )
        if repetition is not None:
            repetition.begin()
        for cost in costs:
            core.run(cost, iteration > 0)
        played += len(costs)
        iteration += 1
        if repetition is not None and repetition.repeats():
            alike = _alike(segment, iteration, body)
            repetition.again(alike)
            iteration += alike
            repetition = None
    return played


def _alike(segment: Segment, iteration: int, body: Body) -> int:
    """How many iterations from this one on have the same commands."""
    alike = 0
    while iteration + alike < len(segment.iterations) and segment.iterations[iteration + alike][1] is body:
        alike += 1
    return alike


def _timing(program: Program, core: _CoreTimes, commands: int) -> Timing:
    step = -(-core.frontier // TICKS_PER_CYCLE)
    busy = core.array_busy
    dram = min(core.stall_dram // TICKS_PER_CYCLE, step - busy)
    vector = min(core.stall_vector // TICKS_PER_CYCLE, step - busy - dram)
    return Timing(
        step_cycles=step,
        rows=LazyRows(lambda: _rows(program, core, step)),
        array_busy_cycles=busy,
        stall_dram_cycles=dram,
        stall_vector_cycles=vector,
        stall_dependency_cycles=step - busy - dram - vector,
        dram_bytes=count_totals(program).dram_bytes,
        buffer_peak_bytes=core.peak,
        events=commands,
    )


@lru_cache(maxsize=1 << 12)
def _busy(body: Body) -> tuple[tuple[tuple[str, Phase], int, int], ...]:
    """Array and vector cycles of the rows of a command list."""
    array: dict[tuple[str, Phase], int] = defaultdict(int)
    vector: dict[tuple[str, Phase], int] = defaultdict(int)
    for command in body:
        key = (command.unit, command.phase)
        array[key] += command.work.array_cycles
        vector[key] += command.work.vector_cycles
    return tuple((key, cycles, vector[key]) for key, cycles in array.items())


def _rows(program: Program, core: _CoreTimes, step: int) -> dict[tuple[str, Phase], RowTiming]:
    """The rows in order, their ticks rounded to cycles that still add up."""
    busy: dict[tuple[str, Phase], tuple[int, int]] = {}
    for segment in program.cores[0]:
        for body, times in segment.bodies:
            for key, array, vector in _busy(body):
                before = busy.get(key, (0, 0))
                busy[key] = before[0] + array * times, before[1] + vector * times
    rows, running, given = {}, 0, 0
    for key, (array, vector) in busy.items():
        running += core.cycles[key]
        cycles = -(-running // TICKS_PER_CYCLE) - given
        given += cycles
        rows[key] = RowTiming(cycles, array, vector)
    assert given == step
    return rows
