"""The analytic engine: every command in closed form, one after the other.

Instead of steps it follows four points of each command: when its first and its last operands arrive, and when its
first and its last results are there.  Units still run in order and ahead of each other as space allows, so the
overlap between layers is kept.  What is lost is how single steps wait for each other and for other cores: all cores
are taken to do the same at the same time and to share DRAM evenly.

Time is counted in whole *ticks*, so that iterations which repeat do so exactly; they are then computed only once.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from functools import lru_cache

from wavecore.engines.command_ticks import (
    TICKS_PER_CYCLE,
    Body,
    BodyTicks,
    CommandTicks,
    Span,
    TransferTicks,
    Wanted,
    body_ticks,
    transfer_ticks,
)
from wavecore.engines.memory import REQUEST_BYTES
from wavecore.engines.timing import LazyRows, ProgressCallback, RowTiming, Stall, Timing
from wavecore.engines.unit_ticks import CROWDED, LOADED, SWEPT, Arrival, Late, UnitTicks
from wavecore.hardware.dram import sustained_bytes_per_second
from wavecore.hardware.specs import DRAM_KINDS, Accelerator, UnitKind
from wavecore.plan.model import QueueOrder
from wavecore.plan.placement import Direction
from wavecore.program.commands import Program, RowKey, Segment
from wavecore.program.counts import count_totals


class _CoreTimes:
    """One core, which represents all of them: the times at which its units are free, and what is available when."""

    __slots__ = (
        "cycles", "drained", "dram", "frontier", "late", "latency", "on_chip", "overlapped", "peak",
        "port_ticks_per_byte", "releases", "size", "stored", "ticks_per_byte", "units", "used",
    )  # fmt: skip

    def __init__(
        self,
        units: dict[str, UnitTicks],
        buffer_bytes: int,
        ticks_per_byte: float,
        port_ticks_per_byte: float,
        latency: int,
        overlapped: bool,
    ) -> None:
        self.units = units
        self.overlapped = overlapped  # a unit that waits in a command works on others meanwhile
        self.size = buffer_bytes
        self.ticks_per_byte = ticks_per_byte  # to or from DRAM
        self.port_ticks_per_byte = port_ticks_per_byte  # through the buffer's port, each way
        self.latency = latency  # ticks until the first data of a transfer arrive
        self.dram = self.frontier = self.drained = 0
        self.used = self.peak = 0
        self.releases: deque[tuple[int, int]] = deque()
        self.on_chip: dict[str, Span] = {}
        self.late: dict[str, Late] = {}  # of what is on chip
        self.stored: dict[str, Span] = {}
        self.cycles: dict[RowKey, int] = defaultdict(int)

    def run(self, cost: CommandTicks, again: bool) -> None:
        """Advance every unit by one command, the first time or ``again``."""
        first_in, early_in, load, store = self._transfers(cost, again)
        room, asked, stored_last = self._space(cost), self.dram, 0
        if cost.stored:
            stored_first, stored_last = _latest(self.stored, cost.stored)
            asked = max(asked, stored_first)
        begin = max(room, asked)
        loaded = max(begin + load, stored_last)
        latency = self.latency if load else 0
        arrival = (begin + first_in + latency, begin + early_in, loaded + latency, asked, room)
        start, end, late = self._first_stage(cost, arrival)
        last = self._later_stages(cost, start, end) if len(cost.stages) > 1 else end
        first = start + (last - start) * cost.lead.part // cost.lead.whole
        ahead = max(0, self.size - self._used_at(start))
        if self.overlapped and cost.streamed > ahead:  # the last loads wait until the first ones have been used
            loaded = max(loaded, end - (end - start) * ahead // cost.streamed)
        self.dram = loaded + store
        done = max(last, self.dram, first + store if store else last)
        self._settle(cost, last if cost.at_end else first, last, done)
        if cost.posts:
            skew = cost.stages[0].drain
            swept = last - end - skew if len(cost.stages) > 1 else cost.stages[0].ticks
            self.late.update(dict.fromkeys(cost.posts, (skew, swept, late[2])))

    def _transfers(self, cost: CommandTicks, again: bool) -> TransferTicks:
        """Return the ticks of a command's transfers; those of stores follow the loads.

        Loads and stores share DRAM.  Each has its own path through the port, which compressed data pass in dense form.
        """
        dram = transfer_ticks(cost.packed or cost.moved, self.ticks_per_byte, again)
        if cost.packed is None and self.port_ticks_per_byte <= self.ticks_per_byte:
            return dram  # the port is faster than DRAM
        port = transfer_ticks(cost.moved, self.port_ticks_per_byte, again)
        both = max(dram.load + dram.store, port.load, port.store)
        load = max(dram.load, port.load)
        return TransferTicks(max(dram.first, port.first), max(dram.early, port.early), load, both - load)

    def _first_stage(self, cost: CommandTicks, arrival: Arrival) -> tuple[int, int, Late]:
        """Return when the unit that takes the operands begins and ends a command, and why not earlier.

        It begins with the first operands when its results have room, and cannot end before it has worked on the last.
        """
        stage = cost.stages[0]
        unit = self.units[stage.unit]
        arrived_first, arrived_early, arrived_last, asked, room = arrival
        other, ready_last = _latest(self.on_chip, cost.awaited) if cost.awaited else (0, 0)
        late = SWEPT
        if len(cost.stages) > 1:  # results wait in the slots until the next stage's unit is free
            other = max(other, self.units[cost.stages[1].unit].free - unit.result_slots * cost.slot_steps * stage.step)
        start = max(unit.free, arrived_first, other)
        if start > unit.free:
            if arrived_first >= other:
                unit.waits_for_operands(start, asked, room)
                late = CROWDED if room > asked else LOADED
            else:
                late = self._late(cost.awaited, other)
                unit.waits_for_results(start - unit.free, late)
            if stage.fill:
                unit.waits(Stall.ARRAY, stage.fill)
                start += stage.fill
        loaded = max(arrived_last + cost.after_operands, arrived_early + cost.after_early)
        end = max(start + stage.ticks, loaded, ready_last + cost.after_operands)
        if self.overlapped:
            unit.free = start + stage.work
            if loaded > unit.free:
                unit.waits(Stall.DRAM, loaded - unit.free)
                unit.free = loaded
        else:
            unit.free = end
            if stage.ticks > stage.work:
                unit.waits_for_results(stage.ticks - stage.work, (stage.skew, 0, Stall.VECTOR))
        if end > start + stage.ticks:
            late = LOADED if loaded == end else self._late(cost.awaited, ready_last)
            if not self.overlapped:
                unit.waits_for_results(end - start - stage.ticks, late)
        return start, end, late

    def _late(self, awaited: tuple[Wanted, ...], tick: int) -> Late:
        """Return why one of the tensors that a command waits for is there only at a tick."""
        for name, _ in awaited:
            if tick in self.on_chip.get(name, ()):
                return self.late.get(name, SWEPT)
        return SWEPT

    def _later_stages(self, cost: CommandTicks, start: int, end: int) -> int:
        """Let results pass through the other stages, step by step; return when the last one leaves."""
        before = cost.stages[0]
        self.drained = before.drain
        for stage in cost.stages[1:]:
            unit, unit_before = self.units[stage.unit], self.units[before.unit]
            begun = max(unit.free, start + (end - start) // cost.steps)
            last = max(begun + stage.ticks, end + stage.step) + before.drain
            unit.free = begun + stage.work if self.overlapped else last
            held = unit_before.result_slots * cost.slot_steps * stage.step  # results that wait in the slots
            taken = unit.free - before.drain - held
            if taken > unit_before.free:
                unit_before.waits(Stall.VECTOR, taken - unit_before.free)
                unit_before.free = taken
            before, start, end = stage, begun, last
        return end

    def _space(self, cost: CommandTicks) -> int:
        """Take the command's space; return when it is free."""
        time, releases, used = 0, self.releases, self.used + cost.needs
        while releases and used > self.size:
            time, nbytes = releases.popleft()
            used -= nbytes
        self.used = used
        if used > self.peak:
            self.peak = min(used, self.size)
        return time

    def _used_at(self, tick: int) -> int:
        """Return the bytes that are taken at a tick."""
        while self.releases and self.releases[0][0] <= tick:
            self.used -= self.releases.popleft()[1]
        return self.used

    def _settle(self, cost: CommandTicks, first: int, last: int, done: int) -> None:
        """Record what a finished command leaves behind."""
        if self.releases:
            done = max(done, self.releases[-1][0])
        self.releases.append((done, cost.frees))
        if cost.posts:
            self.on_chip.update(dict.fromkeys(cost.posts, (first, last)))
        for name in cost.stores:
            self.stored[name] = (first, done)
        if done > self.frontier:
            self.cycles[cost.row] += done - self.frontier
            self.frontier = done


def _latest(times: dict[str, Span], wanted: tuple[Wanted, ...]) -> Span:
    """Return when the first step's and all parts of the wanted tensors are available."""
    first = last = 0
    for name, whole in wanted:
        there = times.get(name)
        if there is not None:
            first = max(first, there[1] if whole else there[0])
            last = max(last, there[1])
    return first, last


@dataclass(frozen=True, slots=True)
class _IterationState:
    """What the next iteration finds: used bytes, and the ticks at which queues, space and tensors are ready."""

    used: int
    queues: tuple[int, ...]
    releases: tuple[tuple[int, int], ...]
    made: list[Span]
    late: list[Late | None]

    def follows(self, other: _IterationState) -> bool:
        """Return whether this state equals the other one, except that all times are later by the same amount."""
        later = self.queues[-1] - other.queues[-1]
        if (self.used, self.late) != (other.used, other.late) or any(
            a != b + later for a, b in zip(self.queues, other.queues, strict=True)
        ):
            return False
        return (
            len(self.releases) == len(other.releases)
            and all(a == (time + later, size) for a, (time, size) in zip(self.releases, other.releases, strict=True))
            and all(a == (first + later, last + later) for a, (first, last) in zip(self.made, other.made, strict=True))
        )


class _Repetition:
    """Finds out when an iteration leaves the core as the one before did, only later.

    Every later iteration then does the same: all times that are compared move by the same amount.  What other segments
    made must be available so early that no iteration waits for it.
    """

    def __init__(self, core: _CoreTimes, body: BodyTicks) -> None:
        self.core = core
        self.keys = tuple(dict.fromkeys(cost.row for cost in body.costs))
        self.posts = tuple(dict.fromkeys(name for cost in body.costs for name in cost.posts))
        self.stores = tuple(dict.fromkeys(name for cost in body.costs for name in cost.stores))
        self.outside = body.outside
        self._units = list(core.units.values())
        self._state: _IterationState | None = None
        self._counted: tuple[int, ...] = ()
        self._frontier = 0
        self._begun = 0

    def begin(self) -> None:
        """Record what the next iteration begins with."""
        core = self.core
        self._begun = min(core.dram, *(unit.free for unit in self._units))
        self._frontier = core.frontier
        self._counted = self._counts()

    def _counts(self) -> tuple[int, ...]:
        stalls = [ticks for unit in self._units for ticks in unit.stalls.values()]
        return (*stalls, *(self.core.cycles[key] for key in self.keys))

    def repeats(self) -> bool:
        """Return whether the iteration that has just ended left the same behind as the one before."""
        core, before = self.core, self._state
        made = [core.on_chip[name] for name in self.posts] + [core.stored[name] for name in self.stores]
        queues = (core.dram, *(unit.free for unit in self._units), core.frontier)
        self._state = state = _IterationState(
            core.used, queues, tuple(core.releases), made, [core.late.get(name) for name in self.posts]
        )
        if before is None or not state.follows(before):
            return False
        old = (times[name][1] for name in self.outside for times in (core.on_chip, core.stored) if name in times)
        return max(old, default=0) <= self._begun

    def again(self, times: int) -> None:
        """Add ``times`` more iterations, each like the last one."""
        core, later = self.core, (self.core.frontier - self._frontier) * times
        gained = iter([(after - before) * times for before, after in zip(self._counted, self._counts(), strict=True)])
        for unit in self._units:
            for cause in unit.stalls:
                unit.stalls[cause] += next(gained)
            unit.free += later
        for key in self.keys:
            core.cycles[key] += next(gained)
        core.dram += later
        core.frontier += later
        core.releases = deque((time + later, nbytes) for time, nbytes in core.releases)
        for names, table in ((self.posts, core.on_chip), (self.stores, core.stored)):
            for name in names:
                table[name] = (table[name][0] + later, table[name][1] + later)


def run_analytic(
    program: Program, accelerator: Accelerator, progress: ProgressCallback | None = None, *, repeat: bool = True
) -> Timing:
    """Time ``program`` in closed form, command by command; without ``repeat`` every iteration is computed."""
    core = _core(program, accelerator)
    segments = program.cores[0]
    commands = 0
    before_update: tuple[int, Late] | None = None
    for number, segment in enumerate(segments):
        if segment.direction is Direction.UPDATE and before_update is None:
            before_update = core.frontier, _late_end(core)
        core.used += segment.held_bytes
        commands += _run_segment(core, segment, repeat)
        core.releases.append((core.frontier, segment.held_bytes))
        if progress is not None:
            progress((number + 1) / len(segments))
    for unit in core.units.values():
        end, late = before_update or (core.frontier, _late_end(core))
        left = max(0, end - unit.free)
        unit.waits_for_results(left, late)
        unit.waits(Stall.UPDATE, core.frontier - unit.free - left)
    return _timing(program, core, commands)


def _late_end(core: _CoreTimes) -> Late:
    """Return why all that was computed is not done earlier: the last results are drained, swept and stored."""
    return (core.drained, 0, Stall.DRAM if core.dram == core.frontier else Stall.VECTOR)


def _core(program: Program, accelerator: Accelerator) -> _CoreTimes:
    """Return a core that has its share of what DRAM sustains."""
    cores, clock, memory = len(program.cores), accelerator.chip.clock_hz, accelerator.memory
    sustained = sustained_bytes_per_second(memory, cores * REQUEST_BYTES)
    port = float(accelerator.core.memory_port_bytes_per_cycle)
    rate = float(sustained) / clock / cores
    latency = (memory.trcd_seconds + memory.tcl_seconds + memory.controller_seconds) * clock
    units = {
        unit.name: UnitTicks(unit.result_slots, dict.fromkeys(Stall, 0) if unit.kind is UnitKind.ARRAY else {})
        for unit in accelerator.units
        if unit.kind not in DRAM_KINDS
    }
    return _CoreTimes(
        units,
        program.buffer_bytes,
        TICKS_PER_CYCLE / rate,
        TICKS_PER_CYCLE / port,
        round(latency * TICKS_PER_CYCLE),
        program.order is QueueOrder.OVERLAPPED,
    )


def _run_segment(core: _CoreTimes, segment: Segment, repeat: bool) -> int:
    """Run a group in one direction; return how many commands were computed."""
    played = iteration = 0
    body: Body | None = None
    repetition: _Repetition | None = None
    while iteration < len(segment.iterations):
        if body is not segment.iterations[iteration][1]:
            body = segment.iterations[iteration][1]
            costs = body_ticks(body)
            repetition = _Repetition(core, costs) if repeat and iteration + 2 < len(segment.iterations) else None
        if repetition is not None:
            repetition.begin()
        for cost in costs.costs:
            core.run(cost, iteration > 0)
        played += len(costs.costs)
        iteration += 1
        if repetition is not None and repetition.repeats():
            alike = _alike(segment, iteration, body)
            repetition.again(alike)
            iteration += alike
            repetition = None
    return played


def _alike(segment: Segment, iteration: int, body: Body) -> int:
    """Return how many iterations from this one on have the same commands."""
    alike = 0
    while iteration + alike < len(segment.iterations) and segment.iterations[iteration + alike][1] is body:
        alike += 1
    return alike


def _timing(program: Program, core: _CoreTimes, commands: int) -> Timing:
    step = -(-core.frontier // TICKS_PER_CYCLE)
    busy: dict[str, int] = defaultdict(int)
    for segment in program.cores[0]:
        for body, times in segment.bodies:
            for unit, cycles in _body_busy(body):
                busy[unit] += cycles * times
    return Timing(
        step_cycles=step,
        rows=LazyRows(lambda: _rows(program, core, step)),
        units={name: unit.timing(busy[name], step) for name, unit in core.units.items()},
        dram_bytes=count_totals(program).dram_bytes,
        buffer_peak_bytes=core.peak,
        events=commands,
    )


@lru_cache(maxsize=1 << 12)
def _body_busy(body: Body) -> tuple[tuple[str, int], ...]:
    """Return the busy cycles of each unit over a command list."""
    busy: dict[str, int] = defaultdict(int)
    for command in body:
        for stage in command.work.stages:
            busy[stage.unit] += stage.cycles
    return tuple(busy.items())


def _rows(program: Program, core: _CoreTimes, step: int) -> dict[RowKey, RowTiming]:
    """Return the rows in order, their ticks rounded to cycles that still add up."""
    busy: dict[RowKey, dict[str, int]] = defaultdict(lambda: dict.fromkeys(core.units, 0))
    for segment in program.cores[0]:
        for body, times in segment.bodies:
            for command in body:
                for stage in command.work.stages:
                    busy[command.row][stage.unit] += stage.cycles * times
    rows, running, given = {}, 0, 0
    for key, units in busy.items():
        running += core.cycles[key]
        cycles = -(-running // TICKS_PER_CYCLE) - given
        given += cycles
        rows[key] = RowTiming(cycles, units)
    assert given == step
    return rows
