"""Every command of a core in the order of the program, iteration by iteration, and the queues of its units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wavecore.program.commands import Command, Load, Program, Segment, Store
from wavecore.program.list_schedule import Stretch
from wavecore.program.queue_order import Section, sections, stretches
from wavecore.program.step_tables import StepTable, step_table, stored_bytes_needed


class StagePlace(NamedTuple):
    """Where the steps of a command's stage stand in the queue of its unit: step s is the ``base + steps[s]``-th."""

    base: int
    steps: Sequence[int]

    def done(self, step: int) -> int:
        """Return how many steps the unit has finished when it has finished ``step``; with step -1, none of these."""
        return self.base + self.steps[step] + 1 if step >= 0 else 0


@dataclass(frozen=True, slots=True)
class CommandInstance:
    """A command in one iteration.

    ``steps_before`` is the number of steps of all earlier commands of the core; ``places`` are those of its stages.
    """

    command: Command
    table: StepTable
    segment: Segment
    iteration: int
    first_sample: int
    opens: bool  # first command of its segment
    closes: bool  # last command of its segment
    steps_before: int
    places: tuple[StagePlace, ...]

    def happens(self, move: Load | Store) -> bool:
        """Return whether a load or store takes place in this iteration."""
        return move.transfer.happens(self.iteration, len(self.segment.iterations))

    def stored_before(self, load: Load, due: int) -> int:
        """Return the bytes of a tensor that this core must have stored before ``due`` bytes of a load can be read."""
        tensor = load.transfer.tensor
        if not tensor.batched:
            return tensor.nbytes * self.iteration
        return tensor.nbytes * self.first_sample + stored_bytes_needed(self.command, load, due)


class StageWork(NamedTuple):
    """Steps ``first`` to ``end`` (exclusive) of a command's ``number``-th stage."""

    instance: CommandInstance
    number: int
    first: int
    end: int


class _SectionOrder(NamedTuple):
    """The order of a section: what each unit works on, and for each command and stage the places of its steps."""

    commands: tuple[Command, ...]
    stretches: Mapping[str, tuple[Stretch, ...]]
    places: list[list[Sequence[int]]]

    def stage(self, stretch: Stretch, unit: str) -> int:
        """Return the number of the stage that a unit works on in a stretch."""
        stages = self.commands[stretch.command].work.stages
        return next(number for number, stage in enumerate(stages) if stage.unit == unit)


def _section_order(commands: tuple[Command, ...], orders: Mapping[str, tuple[Stretch, ...]]) -> _SectionOrder:
    """Count the places of the steps of every command in the queues of the units of its stages."""
    steps: dict[tuple[int, str], list[int]] = {}
    for unit, order in orders.items():
        place = 0
        for number, first, end in order:
            steps.setdefault((number, unit), []).extend(range(place, place + end - first))
            place += end - first
    places: list[list[Sequence[int]]] = [
        [steps[number, stage.unit] for stage in command.work.stages] for number, command in enumerate(commands)
    ]
    return _SectionOrder(commands, orders, places)


class CommandInstances:
    """The instances of every core; what follows from a command alone is computed once."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stores: dict[int, Counter[str]] = {}
        self._instances: dict[int, tuple[CommandInstance, ...]] = {}
        self._queues: dict[int, dict[str, list[StageWork]]] = {}
        self._orders: dict[tuple[Command, ...], _SectionOrder] = {}
        for core in range(len(program.cores)):
            self._read(core)

    def of(self, core: int) -> Iterator[CommandInstance]:
        """Return every command of a core in order; all queues get the same instances."""
        return iter(self._instances[core])

    def queue(self, core: int, unit: str) -> Iterator[StageWork]:
        """Return what a computing unit of a core works on, in order."""
        return iter(self._queues[core].get(unit, ()))

    def _read(self, core: int) -> None:
        instances: list[CommandInstance] = []
        queues: dict[str, list[StageWork]] = {}
        steps = 0
        unit_steps: Counter[str] = Counter()
        for section in sections(self._program, core):
            order = self._order(section)
            new = list(self._instances_of(section, order.places, steps, unit_steps))
            instances += new
            steps += sum(instance.command.steps for instance in new)
            for unit, works in order.stretches.items():
                queue = queues.setdefault(unit, [])
                queue += (StageWork(new[each.command], order.stage(each, unit), each.first, each.end) for each in works)
                unit_steps[unit] += sum(each.end - each.first for each in works)
        self._instances[core], self._queues[core] = tuple(instances), queues

    def _instances_of(
        self, section: Section, places: Sequence[Sequence[Sequence[int]]], steps: int, unit_steps: Mapping[str, int]
    ) -> Iterator[CommandInstance]:
        at = 0
        for segment, iteration, first_sample in section.parts:
            body = segment.iterations[iteration][1]
            last = iteration == len(segment.iterations) - 1
            for position, command in enumerate(body):
                yield CommandInstance(
                    command,
                    step_table(command),
                    segment,
                    iteration,
                    first_sample,
                    iteration == 0 and position == 0,
                    last and position == len(body) - 1,
                    steps,
                    tuple(
                        StagePlace(unit_steps[stage.unit], at_stage)
                        for stage, at_stage in zip(command.work.stages, places[at], strict=True)
                    ),
                )
                steps += command.steps
                at += 1

    def _order(self, section: Section) -> _SectionOrder:
        if section.commands not in self._orders:
            self._orders[section.commands] = _section_order(section.commands, stretches(self._program, section))
        return self._orders[section.commands]

    def makers(self, core: int) -> Mapping[str, str]:
        """Return the unit that makes each of the tensors that a core's commands make on chip, by token."""
        return {
            token.tensor: command.work.stages[-1].unit
            for segment in self._program.cores[core]
            for body, _ in segment.bodies
            for command in body
            for token in command.posts
        }

    def stores(self, core: int) -> Counter[str]:
        """Return how many times a core stores each tensor in a step."""
        if core not in self._stores:
            self._stores[core] = Counter(
                store.transfer.tensor.name
                for segment in self._program.cores[core]
                for iteration, (_, body) in enumerate(segment.iterations)
                for command in body
                for store in command.stores
                if store.transfer.happens(iteration, len(segment.iterations))
            )
        return self._stores[core]
