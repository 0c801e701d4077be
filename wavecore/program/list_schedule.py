"""A static list schedule of the commands of one section: which step each computing unit works on next.

The section is played through once, step by step, with the cycles of every step and the bandwidth of DRAM.  Whenever a
unit is free it takes, among the steps whose operands are there and whose results have room, results that another unit
waits to be rid of, and else the step of the earliest command: the chain of a network's layers is its critical path.
At most `LOOKAHEAD` commands from the earliest unfinished one on are looked at.

Loads, stores and the space of the buffer follow the commands' own order.  All waits are for amounts that only grow, so
what this order made possible once is possible at any speed of the units: it cannot come to a halt.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple

from wavecore.errors import InvariantError
from wavecore.plan.traffic import When
from wavecore.program.commands import After, Command
from wavecore.program.step_tables import StepMove, StepTable, step_table, stored_bytes_needed

LOOKAHEAD = 12  # commands, from the earliest unfinished one of a unit on
LATENCY_CYCLES = 64  # from the end of a request to the data, about that of the presets; it moves no order that matters


class SectionCommand(NamedTuple):
    """A command, and the number of the part of the section (one iteration of one group) that it is in.

    A part that begins with the command takes ``opening_bytes`` of space, and one that ends with it gives back
    ``closing_bytes``: those that its group holds on chip.
    """

    command: Command
    part: int
    opening_bytes: int = 0
    closing_bytes: int = 0


class Stretch(NamedTuple):
    """Steps ``first`` to ``end`` (exclusive) of the section's ``command``-th command (from 0)."""

    command: int
    first: int
    end: int


class _Amount(NamedTuple):
    """A counter, and the value that it must have or the amount that is added to it."""

    counter: int
    amount: int


class _StepWork(NamedTuple):
    """What one step of a command takes, needs and makes.

    ``stored`` is needed in DRAM before its loads, ``needs`` before it works.  Its loads add ``arrivals``, its results
    ``posts``, and its stores ``visible``; when these have left, ``staged_bytes`` of space are free.
    """

    takes: int
    gives: int
    load_bytes: int
    store_bytes: int
    staged_bytes: int
    stored: tuple[_Amount, ...]
    arrivals: tuple[_Amount, ...]
    needs: tuple[_Amount, ...]
    posts: tuple[_Amount, ...]
    visible: tuple[_Amount, ...]


class _Entry:
    """A command while the section is played through: how many steps are loaded, and how many each stage has done.

    ``readers`` are the earlier commands that read what its results take the space of.
    """

    __slots__ = ("command", "cycles", "done", "loaded", "readers", "released", "reserved", "stages", "steps")

    def __init__(self, placed: SectionCommand, table: StepTable, steps: list[_StepWork], readers: list[int]) -> None:
        command = placed.command
        self.command, self.steps, self.readers = command, steps, readers
        self.stages, self.cycles = command.work.stages, table.cycles
        self.reserved = placed.opening_bytes + command.stage_bytes + sum(size for _, size in command.reserves)
        self.released = placed.closing_bytes + command.stage_bytes + sum(size for _, size in command.releases)
        self.loaded = 0
        self.done = [0] * len(self.stages)


class _Reader:
    """Turns the commands of a section into entries; tokens and stored tensors become numbered counters."""

    def __init__(self, commands: tuple[SectionCommand, ...]) -> None:
        self._numbers: dict[tuple[int, str], int] = {}
        self._stored: set[str] = set()
        self._users: dict[tuple[int, str], list[int]] = defaultdict(list)
        self.entries = [self._entry(number, placed) for number, placed in enumerate(commands)]
        self.counters = len(self._numbers)

    def _number(self, part: int, name: str) -> int:
        return self._numbers.setdefault((part, name), len(self._numbers))

    def _in_dram(self, name: str) -> int:
        return self._number(-1, name)

    def _entry(self, number: int, placed: SectionCommand) -> _Entry:
        command, part = placed.command, placed.part
        table = step_table(command)
        steps = [self._step(command, part, table, step) for step in range(command.steps)]
        readers = [user for name in command.takes_over for user in self._users[part, name]]
        for name in (*(token.tensor for token in command.waits), *(load.posts for load in command.loads if load.posts)):
            self._users[part, name.split("#")[0]].append(number)
        self._stored.update(store.transfer.tensor.name for store in command.stores)
        return _Entry(placed, table, steps, readers)

    def _step(self, command: Command, part: int, table: StepTable, step: int) -> _StepWork:
        loads = [each for each in table.loads[step] if _repeats(command.loads[each.number].transfer.when)]
        stores = [each for each in table.stores[step] if _repeats(command.stores[each.number].transfer.when)]
        packed = table.packed
        stored, arrivals = [], []
        for number, nbytes, due in loads:
            load = command.loads[number]
            name = load.transfer.tensor.name
            if load.after is not After.NOTHING and name in self._stored:
                stored.append(_Amount(self._in_dram(name), stored_bytes_needed(command, load, due)))
            if load.posts:
                arrivals.append(_Amount(self._number(part, load.posts), nbytes))
        needs = [_Amount(self._number(part, need.tensor), need.nbytes) for need in table.waits[step]]
        needs += [
            _Amount(self._in_dram(need.tensor), need.nbytes)
            for need in table.overwrites[step]
            if need.tensor in self._stored
        ]
        return _StepWork(
            table.takes[step],
            table.gives[step],
            sum(packed.get(StepMove(False, each.number, step), each.nbytes) for each in loads),
            sum(packed.get(StepMove(True, each.number, step), each.nbytes) for each in stores),
            sum(each.staged_bytes for each in table.stores[step]),
            tuple(stored),
            tuple(arrivals),
            tuple(needs),
            tuple(_Amount(self._number(part, post.tensor), post.nbytes) for post in table.posts[step]),
            tuple(
                _Amount(self._in_dram(command.stores[each.number].transfer.tensor.name), each.visible_bytes)
                for each in stores
            ),
        )


def _repeats(when: When) -> bool:
    """Whether a transfer takes place in an iteration that is neither the first nor the last."""
    return when in (When.ALWAYS, When.AFTER_FIRST)


class _Unit:
    """A computing unit: the commands with a stage on it, as (command, stage), and what it has worked on."""

    def __init__(self, name: str, entries: list[_Entry], slots: int) -> None:
        self.stages = [
            (number, at)
            for number, entry in enumerate(entries)
            for at, stage in enumerate(entry.stages)
            if stage.unit == name
        ]
        self.slots = slots
        self.first = 0  # the earliest of ``stages`` that is not done
        self.idle = True
        self.free_at = -1
        self.held: deque[tuple[int, int]] = deque()  # (command, step) of results that another unit is still to take
        self.worked: list[tuple[int, int]] = []


class _Player:
    """Plays a section through; what happens at a cycle is in a heap of (cycle, number, what to do)."""

    def __init__(
        self, commands: tuple[SectionCommand, ...], space_bytes: int, bytes_per_cycle: float, slots: Mapping[str, int]
    ) -> None:
        reader = _Reader(commands)
        self.entries = reader.entries
        self.counters = [0] * reader.counters
        names = dict.fromkeys(stage.unit for entry in self.entries for stage in entry.stages)
        self.units = {name: _Unit(name, self.entries, slots.get(name, 0)) for name in names}
        self.free_bytes = space_bytes
        self.bytes_per_cycle = bytes_per_cycle
        self.now = self.dram_free = self.arrived = 0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.sequence = 0
        self.loading = self.storing = (0, -1)  # command and step; step -1 is its reservation
        self.load_idle = self.store_idle = True

    def play(self) -> None:
        """Run until every command is done; raise InvariantError if the section comes to a halt."""
        self._start_all()
        while self.events:
            self.now = self.events[0][0]
            while self.events and self.events[0][0] == self.now:
                heapq.heappop(self.events)[2]()
            self._start_all()
        if self.storing[0] < len(self.entries):
            raise InvariantError(
                f"the order of {self.entries[self.storing[0]].command.name}", "comes to a halt", "a report of this bug"
            )

    def _at(self, cycle: int, action: Callable[[], None]) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (cycle, self.sequence, action))

    def _start_all(self) -> None:
        """Start whatever can start now."""
        again = True
        while again:
            again = self.load_idle and self._load()
            for unit in self.units.values():
                if unit.idle:
                    again |= self._work(unit)
            again |= self.store_idle and self._store()

    def _add(self, amounts: tuple[_Amount, ...]) -> None:
        for counter, amount in amounts:
            self.counters[counter] += amount

    def _there(self, needs: tuple[_Amount, ...]) -> bool:
        return all(self.counters[counter] >= amount for counter, amount in needs)

    def _move(self, nbytes: int) -> int:
        """Take DRAM for ``nbytes``; return the cycle at which it is free again."""
        self.dram_free = max(self.now, self.dram_free) + int(nbytes / self.bytes_per_cycle)
        return self.dram_free

    # -- loads and stores, in the commands' own order ------------------------------------------------

    def _load(self) -> bool:
        """Reserve space and begin loads, as far as there is space; return whether anything was done."""
        moved = False
        while self.loading[0] < len(self.entries):
            number, at = self.loading
            entry = self.entries[number]
            takes = entry.reserved if at < 0 else entry.steps[at].takes
            if takes > self.free_bytes or (at >= 0 and not self._there(entry.steps[at].stored)):
                return moved
            self.free_bytes -= takes
            self.loading = (number, at + 1) if at + 1 < entry.command.steps else (number + 1, -1)
            moved = True
            if at < 0:
                continue
            step = entry.steps[at]
            if step.load_bytes:
                self.arrived = self._move(step.load_bytes) + LATENCY_CYCLES
                self.load_idle = False
                self._at(self.dram_free, self._loaded)
            if self.arrived > self.now:
                self._at(self.arrived, partial(self._arrive, entry, step))
            else:
                self._arrive(entry, step)
            if not self.load_idle:
                return moved
        return moved

    def _loaded(self) -> None:
        self.load_idle = True

    def _arrive(self, entry: _Entry, step: _StepWork) -> None:
        entry.loaded += 1
        self._add(step.arrivals)

    def _store(self) -> bool:
        """Begin stores and release space, as far as commands are done; return whether anything was done."""
        moved = False
        while self.storing[0] < len(self.entries):
            number, at = self.storing[0], self.storing[1] + 1
            entry = self.entries[number]
            if at == entry.command.steps:
                self.free_bytes += entry.released
                self.storing = (number + 1, -1)
                moved = True
                continue
            if entry.done[-1] <= at:
                return moved
            self.storing = (number, at)
            moved = True
            step = entry.steps[at]
            if not step.store_bytes:
                self._leave(step)
                continue
            self.store_idle = False
            self._at(self._move(step.store_bytes), partial(self._leave, step))
            return moved
        return moved

    def _leave(self, step: _StepWork) -> None:
        self.store_idle = True
        self.free_bytes += step.staged_bytes
        self._add(step.visible)

    # -- computing units -----------------------------------------------------------------------------

    def _work(self, unit: _Unit) -> bool:
        """Begin the next step of a unit if one is ready; return whether one is."""
        while unit.first < len(unit.stages):
            number, at = unit.stages[unit.first]
            if self.entries[number].done[at] < self.entries[number].command.steps:
                break
            unit.first += 1
        if unit.slots and len(unit.held) >= unit.slots:
            number, step = unit.held[0]
            if self.entries[number].done[1] <= step:
                return False
        chosen = self._choose(unit)
        if chosen is None:
            return False
        number, at = chosen
        entry = self.entries[number]
        step, stage = entry.done[at], entry.stages[at]
        cycles = entry.cycles[at][step]
        if self.now > unit.free_at:
            cycles += stage.fill_cycles
        if at and entry.command.ends_time_step(step):
            cycles += entry.stages[at - 1].drain_cycles
        unit.idle = False
        unit.worked.append((number, step))
        self._at(self.now + cycles, partial(self._finish, unit, number, at))
        return True

    def _choose(self, unit: _Unit) -> tuple[int, int] | None:
        """Return the command and the stage of the step that a unit works on next, None if none is ready."""
        best = None
        for number, at in unit.stages[unit.first : unit.first + LOOKAHEAD]:
            entry = self.entries[number]
            if not entry.loaded:
                break  # and so has no later command
            if entry.done[at] < entry.command.steps and self._ready(entry, at):
                if at or len(entry.stages) > 1:
                    return number, at  # results that the other unit is to be rid of, or work for it
                best = best or (number, at)
        return best

    def _ready(self, entry: _Entry, at: int) -> bool:
        """Whether the next step of a stage has its operands, and its results the space that they take over."""
        step, command = entry.done[at], entry.command
        if at:
            return entry.done[at - 1] > step
        if entry.loaded <= step or (step and command.begins_time_step(step) and entry.done[-1] < step):
            return False
        while entry.readers:
            reader = self.entries[entry.readers[-1]]
            if reader.done[-1] < reader.command.steps:
                return False
            entry.readers.pop()
        return self._there(entry.steps[step].needs)

    def _finish(self, unit: _Unit, number: int, at: int) -> None:
        entry = self.entries[number]
        step = entry.done[at]
        entry.done[at] += 1
        unit.idle = True
        unit.free_at = self.now
        if at == len(entry.stages) - 1:
            self._add(entry.steps[step].posts)
            self.free_bytes += entry.steps[step].gives
        elif unit.slots:
            if len(unit.held) >= unit.slots:
                unit.held.popleft()
            unit.held.append((number, step))


def _stretches(worked: list[tuple[int, int]]) -> tuple[Stretch, ...]:
    """Join steps of one command that follow each other."""
    joined: list[Stretch] = []
    for number, step in worked:
        if joined and joined[-1].command == number:
            joined[-1] = joined[-1]._replace(end=step + 1)
        else:
            joined.append(Stretch(number, step, step + 1))
    return tuple(joined)


@lru_cache(maxsize=1 << 10)
def list_schedule(
    commands: tuple[SectionCommand, ...], space_bytes: int, bytes_per_cycle: float, slots: tuple[tuple[str, int], ...]
) -> Mapping[str, tuple[Stretch, ...]]:
    """Return for each unit the stretches of steps on which it works, in order.

    ``space_bytes`` of the buffer are free for the section, a core moves ``bytes_per_cycle`` to and from DRAM, and
    ``slots`` are the finished steps whose results each unit can hold.
    """
    player = _Player(commands, space_bytes, bytes_per_cycle, dict(slots))
    player.play()
    return {name: _stretches(unit.worked) for name, unit in player.units.items()}
