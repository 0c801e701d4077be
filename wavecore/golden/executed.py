"""The commands of a core in the order in which they run, each in one iteration, and what it carries between steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wavecore.golden.operands import AnyArray
from wavecore.golden.stores import Copy, TensorKey, broken
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import Command, Flow, Load, Program, Segment, Store, due, progress, transfers_of
from wavecore.program.queue_order import sections, stretches
from wavecore.training.operations import OperandRole, Operation

ALL_ITERATIONS = -1  # the iteration number of a tensor that a segment holds on chip over all its iterations


@dataclass
class ExecutedCommand:
    """A command in one iteration: where it stands in the program, what it has loaded and what it has computed.

    ``where`` is its place for error messages.  ``token_names`` maps each tensor that the command loads, awaits or
    posts on chip to the name of its token; ``later_tokens`` are the tokens that later commands of the same iteration
    use.  ``loaded_steps``, ``multiplied_steps`` and ``computed_steps`` count the steps that are loaded, have left the
    array, and are done; ``loaded_bytes`` counts the bytes loaded so far of each operand.  ``loaded_copies`` are the
    loaded tensors that no other command may read, ``results`` the weight gradients and updated tensors to be stored,
    and ``overwritten`` gives for each result that takes the space of a tensor in the buffer that tensor's key.
    """

    command: Command
    operation: Operation
    segment: Segment
    segment_number: int
    iteration: int
    first_sample: int  # among the samples of the core
    opens_segment: bool
    closes_segment: bool
    where: str
    next_command: Command | None  # of the same iteration
    token_names: dict[str, str]
    later_tokens: frozenset[str]
    loaded_steps: int = 0
    multiplied_steps: int = 0
    computed_steps: int = 0
    loaded_bytes: Counter[tuple[str, OperandRole]] = field(default_factory=Counter)
    loaded_copies: dict[str, Copy] = field(default_factory=dict)
    results: dict[str, AnyArray] = field(default_factory=dict)
    overwritten: dict[str, TensorKey] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the command."""
        return self.command.name

    def happens(self, move: Load | Store) -> bool:
        """Return whether a load or store takes place in this iteration."""
        return move.transfer.happens(self.iteration, len(self.segment.iterations))

    def key(self, tensor: str) -> TensorKey:
        """Return the buffer's key of a batched tensor of this iteration."""
        return self.segment_number, self.iteration, self.token_names.get(tensor, tensor)

    def held_key(self, tensor: str) -> TensorKey:
        """Return the buffer's key of a tensor that the segment holds over all its iterations."""
        return self.segment_number, ALL_ITERATIONS, tensor

    def sub_batch_bytes(self, sample_bytes: int) -> int:
        """Return the bytes of all samples of the sub-batch, given those per sample."""
        return sample_bytes * self.command.samples

    @property
    def sample_range(self) -> slice:
        """The samples of the sub-batch, counted among those of its core."""
        return slice(self.first_sample, self.first_sample + self.command.samples)


def executed_commands(
    program: Program, operations: Mapping[str, Operation], core: int, samples_per_core: int
) -> Iterator[ExecutedCommand]:
    """Yield every command of a core in program order, once per iteration.

    Raises InvariantError where a segment does not run ``samples_per_core`` samples, where its held space is not that
    of the tensors it holds, or where a command is no operation of ``operations`` or runs other samples than its
    iteration.
    """
    for number, segment in enumerate(program.cores[core]):
        _check_held(segment)
        start = 0
        for iteration, (samples, body) in enumerate(segment.iterations):
            later = _later_tokens(body)
            for position, command in enumerate(body):
                where = f"core {core}, {command.name}, iteration {iteration}"
                yield ExecutedCommand(
                    command=command,
                    operation=_operation(segment, samples, command, operations, where),
                    segment=segment,
                    segment_number=number,
                    iteration=iteration,
                    first_sample=start,
                    opens_segment=iteration == 0 and position == 0,
                    closes_segment=iteration == len(segment.iterations) - 1 and position == len(body) - 1,
                    where=where,
                    next_command=body[position + 1] if position + 1 < len(body) else None,
                    token_names=_token_names(command),
                    later_tokens=later[position],
                )
            start += samples
        if start != samples_per_core:
            what = f"runs {start} samples of a core's {samples_per_core}"
            raise broken(f"segment {segment.name} {segment.direction}", what)


def unit_queues(
    program: Program, core: int, commands: Sequence[ExecutedCommand]
) -> dict[str, list[tuple[ExecutedCommand, int]]]:
    """Return for each computing unit of a core the steps that it works on, in order, each with its command."""
    queues: dict[str, list[tuple[ExecutedCommand, int]]] = {}
    begun = 0
    for section in sections(program, core):
        for unit, order in stretches(program, section).items():
            queue = queues.setdefault(unit, [])
            for number, first, end in order:
                queue += ((commands[begun + number], step) for step in range(first, end))
        begun += len(section.commands)
    return queues


def _operation(
    segment: Segment, samples: int, command: Command, operations: Mapping[str, Operation], where: str
) -> Operation:
    """Return the operation that a command carries out; raise InvariantError if there is none or samples differ."""
    if command.name not in operations:
        raise broken(where, "is no operation of the training step")
    if segment.direction is not Direction.UPDATE and command.samples != samples:
        raise broken(where, f"runs {command.samples} of its iteration's {samples} samples")
    return operations[command.name]


def _check_held(segment: Segment) -> None:
    """Raise InvariantError if a segment's held space is not the sum of the tensors held over its iterations."""
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


def new_bytes(flow: Flow, command: Command, step: int, *, ahead: bool = False) -> int:
    """Return the bytes of a flow that ``step`` adds to those of earlier steps; with its lookahead if ``ahead``."""
    measure = due if ahead else progress
    return measure(flow, command, step) - (measure(flow, command, step - 1) if step else 0)


def _token_names(command: Command) -> dict[str, str]:
    """Map each tensor that a command loads, awaits or posts on chip to the name of its token.

    The second and later stays of a tensor on chip have a number: ``name#1`` (see `program.commands.token_name`).
    """
    names = {load.transfer.tensor.name: load.posts for load in command.loads if load.posts}
    return names | {token.tensor.split("#")[0]: token.tensor for token in (*command.waits, *command.posts)}


def _later_tokens(body: tuple[Command, ...]) -> list[frozenset[str]]:
    """Return for each command of an iteration the tokens that later commands of it load, await or post."""
    later: list[frozenset[str]] = [frozenset()]
    for command in reversed(body[1:]):
        later.append(later[-1] | frozenset(_token_names(command).values()))
    return later[::-1]


def unreserved_bytes(command: Command, step: int) -> int:
    """Return the space that a step takes beyond its command's reservations.

    That is space for operands that are loaded for this command alone and for results that are staged for a store.
    """
    loaded = sum(new_bytes(load.flow, command, step, ahead=True) for load in command.loads if load.freed is not None)
    return loaded + sum(new_bytes(store.flow, command, step) for store in command.stores if store.staged)


def freed_bytes(command: Command, step: int) -> int:
    """Return the space of loaded operands that is free again after a step."""
    return sum(
        new_bytes(Flow(load.flow.total, load.freed), command, step) for load in command.loads if load.freed is not None
    )
