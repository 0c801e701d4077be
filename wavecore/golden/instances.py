"""Commands as they come up: each in its iteration, with what it carries from step to step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wavecore.golden.operands import AnyArray
from wavecore.golden.stores import Copy, TensorKey, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Command, Flow, Load, Program, Segment, Store, due, progress, transfers_of
from wavecore.training.operations import Operation

HELD = -1  # the iteration of what is held over all of them


@dataclass
class ExecutedCommand:
    """A command in one iteration, with what it has loaded only for itself and what it has computed."""

    command: Command
    operation: Operation
    segment: Segment
    number: int  # of the segment
    iteration: int
    first_sample: int
    opens: bool
    closes: bool
    where: str
    following: Command | None
    stays: dict[str, str]  # the token under which the command knows a tensor on chip
    later: frozenset[str]  # tokens that later commands of the iteration have to do with
    arrived: Counter[str] = field(default_factory=Counter)
    loaded: dict[str, Copy] = field(default_factory=dict)
    results: dict[str, AnyArray] = field(default_factory=dict)
    covered: list[TensorKey] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the command."""
        return self.command.name

    def happens(self, move: Load | Store) -> bool:
        """Whether a load or store takes place in this iteration."""
        return move.transfer.happens(self.iteration, len(self.segment.iterations))

    def key(self, tensor: str) -> TensorKey:
        """Where a batched tensor of this iteration is in the buffer."""
        return self.number, self.iteration, self.stays.get(tensor, tensor)

    def held(self, tensor: str) -> TensorKey:
        """Where a tensor is that its segment holds over all iterations."""
        return self.number, HELD, tensor

    def bytes_of(self, nbytes: int) -> int:
        """Bytes of all samples of the sub-batch, for so many a sample."""
        return nbytes * self.command.samples

    @property
    def samples(self) -> slice:
        """The sub-batch, among the samples of its core."""
        return slice(self.first_sample, self.first_sample + self.command.samples)


def instances_of(
    program: Program, operations: Mapping[str, Operation], core: int, samples_per_core: int
) -> Iterator[ExecutedCommand]:
    """Every command of a core in order; InvariantError where a segment leaves out samples or holds too little."""
    for number, segment in enumerate(program.cores[core]):
        _check_held(segment)
        start = 0
        for iteration, (samples, body) in enumerate(segment.iterations):
            later = _later(body)
            for position, command in enumerate(body):
                where = f"core {core}, {command.name}, iteration {iteration}"
                yield ExecutedCommand(
                    command=command,
                    operation=_operation(segment, samples, command, operations, where),
                    segment=segment,
                    number=number,
                    iteration=iteration,
                    first_sample=start,
                    opens=iteration == 0 and position == 0,
                    closes=iteration == len(segment.iterations) - 1 and position == len(body) - 1,
                    where=where,
                    following=body[position + 1] if position + 1 < len(body) else None,
                    stays=_stays(command),
                    later=later[position],
                )
            start += samples
        if start != samples_per_core:
            what = f"runs {start} samples of a core's {samples_per_core}"
            raise broken(f"segment {segment.name} {segment.direction}", what)


def _operation(
    segment: Segment, samples: int, command: Command, operations: Mapping[str, Operation], where: str
) -> Operation:
    """What a command stands for."""
    if command.name not in operations:
        raise broken(where, "is no operation of the training step")
    if segment.direction is not Direction.UPDATE and command.samples != samples:
        raise broken(where, f"runs {command.samples} of its iteration's {samples} samples")
    return operations[command.name]


def _check_held(segment: Segment) -> None:
    """The space of a segment is exactly that of what its commands hold over the iterations."""
    held = {
        transfer.tensor.name: transfer.tensor.nbytes
        for _, body in segment.iterations
        for command in body
        for transfer in transfers_of(command)
        if transfer.when in (When.FIRST, When.LAST)
    }
    if sum(held.values()) != segment.held_bytes:
        what = f"holds {', '.join(held) or 'nothing'} in {segment.held_bytes} bytes, not {sum(held.values())}"
        raise broken(f"segment {segment.name} {segment.direction}", what)


def delta(flow: Flow, command: Command, step: int, *, ahead: bool = False) -> int:
    """Bytes of a flow that are new in a step."""
    measure = due if ahead else progress
    return measure(flow, command, step) - (measure(flow, command, step - 1) if step else 0)


def _stays(command: Command) -> dict[str, str]:
    """By tensor, the token of its stay on chip that a command is part of; a later stay has a number behind it."""
    stays = {load.transfer.tensor.name: load.posts for load in command.loads if load.posts}
    return stays | {token.tensor.split("#")[0]: token.tensor for token in (*command.waits, *command.posts)}


def _later(body: tuple[Command, ...]) -> list[frozenset[str]]:
    """For each command the tokens of stays on chip that later ones are part of."""
    later: list[frozenset[str]] = [frozenset()]
    for command in reversed(body[1:]):
        later.append(later[-1] | frozenset(_stays(command).values()))
    return later[::-1]


def taken(command: Command, step: int) -> int:
    """Space that a step takes beside reservations: loads that pass by, results that wait to leave."""
    streams = sum(delta(load.flow, command, step, ahead=True) for load in command.loads if load.freed is not None)
    return streams + sum(delta(store.flow, command, step) for store in command.stores if store.staged)


def freed(command: Command, step: int) -> int:
    """Space of loads that a step has used up."""
    return sum(
        delta(Flow(load.flow.total, load.freed), command, step) for load in command.loads if load.freed is not None
    )
