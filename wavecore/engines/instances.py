"""Every command of a core in the order of the program, iteration by iteration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from wavecore.engines.step_tables import StepTable, step_table
from wavecore.program.commands import Command, Load, Program, Segment, Store


@dataclass(frozen=True, slots=True)
class CommandInstance:
    """A command in one iteration.

    ``steps_before`` is the number of steps of all earlier commands of the core; ``stage_steps_before``, for each
    stage of the command, the number of those that have a stage on the same unit.
    """

    command: Command
    table: StepTable
    segment: Segment
    iteration: int
    first_sample: int
    opens: bool  # first command of its segment
    closes: bool  # last command of its segment
    steps_before: int
    stage_steps_before: tuple[int, ...]

    def happens(self, move: Load | Store) -> bool:
        """Return whether a load or store takes place in this iteration."""
        return move.transfer.happens(self.iteration, len(self.segment.iterations))

    def stage_on(self, unit: str) -> int | None:
        """Return the number of the command's stage on a unit of the core, None if it has none there."""
        for number, stage in enumerate(self.command.work.stages):
            if stage.unit == unit:
                return number
        return None

    def stored_before(self, load: Load, due: int) -> int:
        """Return the bytes of a tensor that this core must have stored before ``due`` bytes of a load can be read."""
        tensor = load.transfer.tensor
        if not tensor.batched:
            return tensor.nbytes * self.iteration
        size = tensor.nbytes * self.command.samples
        before = tensor.nbytes * self.first_sample
        if load.flow.total > size or self.command.time_steps:  # the first pass, or time step, meets the last sample
            return before + size
        return before + min(size, due * size // load.flow.total)


class CommandInstances:
    """The instances of every core; what follows from a command alone is computed once."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._tables: dict[int, StepTable] = {}
        self._stores: dict[int, Counter[str]] = {}
        self._instances: dict[int, tuple[CommandInstance, ...]] = {}

    def of(self, core: int) -> Iterator[CommandInstance]:
        """Return every command of a core in order; all queues get the same instances."""
        if core not in self._instances:
            self._instances[core] = tuple(self._make(core))
        return iter(self._instances[core])

    def _make(self, core: int) -> Iterator[CommandInstance]:
        steps = 0
        stage_steps: Counter[str] = Counter()
        for segment in self._program.cores[core]:
            start = 0
            last_iteration = len(segment.iterations) - 1
            for iteration, (samples, body) in enumerate(segment.iterations):
                for position, command in enumerate(body):
                    yield CommandInstance(
                        command,
                        self._table(command),
                        segment,
                        iteration,
                        start,
                        iteration == 0 and position == 0,
                        iteration == last_iteration and position == len(body) - 1,
                        steps,
                        tuple(stage_steps[stage.unit] for stage in command.work.stages),
                    )
                    steps += command.steps
                    for stage in command.work.stages:
                        stage_steps[stage.unit] += command.steps
                start += samples

    def _table(self, command: Command) -> StepTable:
        key = id(command)
        if key not in self._tables:
            self._tables[key] = step_table(command)
        return self._tables[key]

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
