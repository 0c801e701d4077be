"""Runs a lowered program on real numbers and watches that every value is where, and when, the program says.

The four queues of each core advance in a random order that only tokens, buffer space and the two steps that
the accumulators hold restrict, so a value that is read too early is read too early in some order.  Beside the
tokens the interpreter keeps its own record of which bytes of a tensor are in DRAM and in the buffer, and checks
every step against it:

* what a step reads must be there as far as its results depend on it (`reach`), in this iteration's copy;
* what is read from DRAM must have been stored, by this core or, for an update, by all cores;
* a resident tensor must have space, is gone when that is released, and is nobody's to read once overwritten;
* space taken never exceeds the buffer, and all of it is given back.

Availability is checked step by step; numbers are worked out once a command, when its last step leaves the
vector unit, from what its loads have copied and what lies in the buffer then.  Batched tensors are private to
a core.  Labels and dropout masks are given, not moved.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from wavecore.golden.kernels import Array
from wavecore.golden.numbers import Outcome, StepData
from wavecore.golden.reach import needs
from wavecore.golden.semantics import Given, Semantics, evaluate, semantics, update
from wavecore.golden.stores import Buffer, Cell, Key, Resident, broken
from wavecore.ir import LayerGraph
from wavecore.operations import Operation, TensorClass
from wavecore.placement import Direction
from wavecore.program import After, Command, Flow, Load, Program, Segment, Store, Token, due, progress
from wavecore.training import TrainingGraph
from wavecore.traffic import When

ACCUMULATED_STEPS = 2  # finished steps that the accumulators hold
BURSTS = (1, 3, 20, 1 << 30)  # steps that a queue may go before another has its turn
HELD = -1  # the iteration of what is held over all of them


def interpret(
    graph: LayerGraph, training: TrainingGraph, program: Program, data: StepData, *, seed: int = 0
) -> Outcome:
    """Run ``program`` on ``data``; ``seed`` chooses the order in which the queues advance.

    Raises InvariantError, which names the command and the tensor, where the program reads what is not there.
    """
    return _Machine(semantics(graph, training), program, data).run(random.Random(seed))


@dataclass
class _Turn:
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
    arrived: Counter[str] = field(default_factory=Counter)
    loaded: dict[str, Array] = field(default_factory=dict)
    results: dict[str, Array] = field(default_factory=dict)
    covered: list[Key] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.command.name

    def happens(self, move: Load | Store) -> bool:
        return move.transfer.happens(self.iteration, len(self.segment.iterations))

    def key(self, tensor: str) -> Key:
        return self.number, self.iteration, tensor

    def held(self, tensor: str) -> Key:
        return self.number, HELD, tensor

    def bytes_of(self, nbytes: int) -> int:
        return nbytes * self.command.samples

    @property
    def samples(self) -> slice:
        return slice(self.first_sample, self.first_sample + self.command.samples)


def _delta(flow: Flow, command: Command, step: int, *, ahead: bool = False) -> int:
    """Bytes of a flow that are new in a step."""
    measure = due if ahead else progress
    return measure(flow, command, step) - (measure(flow, command, step - 1) if step else 0)


class _Machine:
    """All cores, their DRAM, and the step's numbers."""

    def __init__(self, meaning: Semantics, program: Program, data: StepData) -> None:
        self.meaning, self.program, self.data = meaning, program, data
        self.tensors = meaning.training.tensors
        self.batch = len(data.images)
        self.per_core = self.batch // len(program.cores)
        self.operations = {
            op.name: op for unit in meaning.training.units for op in (*unit.forward, *unit.backward, *unit.update)
        }
        self.shared: dict[str, Cell] = {}
        for unit, weight in data.weights.items():
            state = np.stack([weight, data.momentum[unit]])
            self.shared[f"{unit}.weight"] = Cell(weight.copy())
            self.shared[f"{unit}.optimizer"] = Cell(state)
        self.updating: set[str] = set()
        self._needs: dict[int, list[dict[str, int]]] = {}
        self.cores = [_Core(self, index) for index in range(len(program.cores))]

    def needs(self, turn: _Turn, step: int) -> dict[str, int]:
        """What the results of a step depend on, worked out once a command."""
        key = id(turn.command)
        if key not in self._needs:
            self._needs[key] = needs(self.meaning, turn.operation, turn.command)
        return self._needs[key][step]

    def run(self, order: random.Random) -> Outcome:
        queues = {
            (core.index, queue.__name__): queue()
            for core in self.cores
            for queue in (core.load_queue, core.array_queue, core.vector_queue, core.store_queue)
        }
        while queues:
            progressed = False
            for name in order.sample(sorted(queues), len(queues)):
                steps = order.choice(BURSTS)
                while steps:
                    moved = next(queues[name], None)
                    if moved is None:
                        del queues[name]
                        progressed = True
                        break
                    if not moved:
                        break
                    progressed = True
                    steps -= 1
            if not progressed:
                stands = "; ".join(core.doing() for core in self.cores)
                raise broken("program", f"comes to a halt: {stands}")
        return self._outcome()

    def _outcome(self) -> Outcome:
        for core in self.cores:
            core.check_empty()
        for name, cell in self.shared.items():
            if cell.ready_bytes != self.tensors[name].nbytes:
                raise broken(name, f"{cell.ready_bytes} of {self.tensors[name].nbytes} bytes were updated")
        units = list(self.data.weights)
        gradients = {
            unit: np.sum([core.dram[f"{unit}.weight_gradient"].values for core in self.cores], axis=0) for unit in units
        }
        return Outcome(
            loss=float(sum(core.loss for core in self.cores)) / self.batch,
            gradients=gradients,
            weights={unit: self._value(f"{unit}.weight") for unit in units},
            momentum={unit: self._value(f"{unit}.optimizer")[1] for unit in units},
        )

    def _value(self, name: str) -> Array:
        values = self.shared[name].values
        assert values is not None
        return values


class _Core:
    """One core: its buffer, its part of DRAM, its tokens, and its four queues as generators.

    A queue yields True after each step that it has made and False when it cannot go on yet.
    """

    def __init__(self, machine: _Machine, index: int) -> None:
        self.machine, self.index = machine, index
        self.tensors = machine.tensors
        self.buffer = Buffer(machine.program.buffer_bytes)
        self.dram: dict[str, Cell] = defaultdict(Cell)
        self.on_chip: Counter[tuple[int, str]] = Counter()  # tokens, by segment and tensor
        self.in_dram: Counter[str] = Counter()  # tokens
        self.loaded = self.multiplied = self.drained = self.computed = 0
        self.loss: float = 0.0
        self.at: dict[str, str] = {}
        first = index * machine.per_core
        self.mine = slice(first, first + machine.per_core)
        images = machine.data.images[self.mine]
        name = machine.meaning.graph.layers[0].name
        self.dram[name] = Cell(images.reshape(len(images), -1), self.tensors[name].nbytes * len(images))
        self.turns = list(self._turns())
        self.gradient_stores = Counter(
            store.transfer.tensor.name for turn in self.turns for store in turn.command.stores if turn.happens(store)
        )

    def _turns(self) -> Iterator[_Turn]:
        for number, segment in enumerate(self.machine.program.cores[self.index]):
            start = 0
            self._check_held(segment)
            for iteration, (samples, body) in enumerate(segment.iterations):
                for position, command in enumerate(body):
                    where = f"core {self.index}, {command.name}, iteration {iteration}"
                    operation = self.machine.operations.get(command.name)
                    if operation is None:
                        raise broken(where, "is no operation of the training step")
                    if segment.direction is not Direction.UPDATE and command.samples != samples:
                        raise broken(where, f"runs {command.samples} of its iteration's {samples} samples")
                    yield _Turn(
                        command,
                        operation,
                        segment,
                        number,
                        iteration,
                        start,
                        iteration == 0 and position == 0,
                        iteration == len(segment.iterations) - 1 and position == len(body) - 1,
                        where,
                        body[position + 1] if position + 1 < len(body) else None,
                    )
                start += samples
            if start != self.machine.per_core:
                raise broken(f"segment {segment.name} {segment.direction}", f"runs {start} samples of a core's "
                             f"{self.machine.per_core}")  # fmt: skip

    def _check_held(self, segment: Segment) -> None:
        """The space of a segment is exactly that of what its commands hold over the iterations."""
        held = {
            move.transfer.tensor.name: move.transfer.tensor.nbytes
            for _, body in segment.iterations
            for command in body
            for move in (*command.loads, *command.stores)
            if move.transfer.when in (When.FIRST, When.LAST)
        }
        if sum(held.values()) != segment.held_bytes:
            what = f"holds {', '.join(held) or 'nothing'} in {segment.held_bytes} bytes, not {sum(held.values())}"
            raise broken(f"segment {segment.name} {segment.direction}", what)

    def doing(self) -> str:
        """Where each queue stands."""
        return f"core {self.index}: " + ", ".join(f"{queue} queue in {what}" for queue, what in self.at.items())

    def check_empty(self) -> None:
        """Nothing is left in the buffer."""
        left = ", ".join(self.buffer.left())
        if left or self.buffer.used:
            raise broken(f"core {self.index}", f"{self.buffer.used} bytes of the buffer were never freed: {left}")

    # -- load queue ------------------------------------------------------------------------------------

    def load_queue(self) -> Iterator[bool]:
        """Take space and copy from DRAM, as far ahead as there is room."""
        for turn in self.turns:
            command = turn.command
            self.at["load"] = turn.where
            reserved = command.stage_bytes + sum(size for _, size in command.reserves)
            yield from self._take(reserved + (turn.segment.held_bytes if turn.opens else 0))
            self._settle(turn)
            for step in range(command.steps):
                yield from self._take(_taken(command, step))
                for load in command.loads:
                    new = _delta(load.flow, command, step, ahead=True)
                    if new and turn.happens(load):
                        while not self._stored(turn, load, step):
                            yield False
                        self._load(turn, load, step, new)
                self.loaded += 1
                yield True
        self.at.pop("load", None)

    def _take(self, nbytes: int) -> Iterator[bool]:
        while not self.buffer.fits(nbytes):
            yield False
        self.buffer.take(nbytes)

    def _settle(self, turn: _Turn) -> None:
        """Give every tensor that comes on chip with a command its place."""
        command = turn.command
        arriving = {load.transfer.tensor.name for load in command.loads if load.posts}
        posted = [token.tensor for token in command.posts]
        for name, size in command.reserves:
            nbytes = turn.bytes_of(self.tensors[name].nbytes)
            if name not in arriving and name not in posted:
                raise broken(turn.where, f"reserves space for {name}, which it neither loads nor makes")
            if size != nbytes:
                raise broken(turn.where, f"reserves {size} bytes for {name}, which has {nbytes}")
            self.buffer.add(turn.where, turn.key(name), nbytes, size)
        reserved = {name for name, _ in command.reserves}
        for name in (*arriving, *posted):
            if name not in reserved:
                self._settle_without_space(turn, name, name in arriving)
        for move in (*command.loads, *command.stores):
            tensor = move.transfer.tensor
            if move.transfer.when in (When.FIRST, When.LAST) and turn.held(tensor.name) not in self.buffer.residents:
                self.buffer.add(turn.where, turn.held(tensor.name), tensor.nbytes, 0)

    def _settle_without_space(self, turn: _Turn, name: str, loaded: bool) -> None:
        """A result without space overwrites what dies in its operation, or drains into the sum that follows."""
        op, command = turn.operation, turn.command
        nbytes = turn.bytes_of(self.tensors[name].nbytes)
        released = {tensor for tensor, _ in command.releases}
        if name == op.writes[0] and not loaded:
            for old in op.in_place:
                resident = self.buffer.residents.get(turn.key(old))
                if resident is None or old in released or not resident.space_bytes:
                    continue
                if resident.space_bytes != nbytes:
                    raise broken(turn.where, f"{name} takes the place of {old}, which is not of its size")
                turn.covered.append(turn.key(old))
                self.buffer.add(turn.where, turn.key(name), nbytes, resident.space_bytes)
                return
        following = turn.following
        if following is not None and not loaded:
            adds = self.machine.operations[following.name]
            if adds.sums and any(use.tensor == name for use in adds.reads) and self._joins(turn, adds, name):
                self.buffer.add(turn.where, turn.key(name), nbytes, 0)
                return
        raise broken(turn.where, f"puts {name} on chip, for which no space is reserved")

    def _joins(self, turn: _Turn, adds: Operation, name: str) -> bool:
        """Whether a sum has a term on chip, other than ``name``, that ``name`` can be added to."""
        others = (self.buffer.residents.get(turn.key(old)) for old in adds.in_place if old != name)
        return any(other is not None and other.space_bytes for other in others)

    def _stored(self, turn: _Turn, load: Load, step: int) -> bool:
        """Whether the tokens let a load read DRAM."""
        tensor = load.transfer.tensor
        if load.after is After.NOTHING:
            return True
        if load.after is After.ALL:
            return all(
                core.in_dram[tensor.name] >= core.gradient_stores[tensor.name] * tensor.nbytes
                for core in self.machine.cores
            )
        if not tensor.batched:
            return self.in_dram[tensor.name] >= tensor.nbytes * turn.iteration
        size = turn.bytes_of(tensor.nbytes)
        ready = size if load.flow.total > size else due(load.flow, turn.command, step)
        return self.in_dram[tensor.name] >= tensor.nbytes * turn.first_sample + ready

    def _load(self, turn: _Turn, load: Load, step: int, new: int) -> None:
        """Copy one step's bytes from DRAM; the numbers come with the last of them."""
        tensor = load.transfer.tensor
        turn.arrived[tensor.name] += new
        resident = self._destination(turn, load)
        if turn.segment.direction is Direction.UPDATE:
            cells = self._update_sources(turn, load)
        else:
            cells = [self._source(turn, load)]
        if resident is not None:
            resident.ready_bytes += new
        if load.posts:
            self.on_chip[turn.number, tensor.name] += new
        if due(load.flow, turn.command, step) < load.flow.total:
            return
        values = [_values(turn.where, tensor.name, cell) for cell in cells]
        value = values[0] if len(values) == 1 else np.sum(np.stack(values), axis=0)
        value = (value[turn.samples] if tensor.batched else value).copy()
        if resident is not None:
            resident.values = value
        else:
            turn.loaded[tensor.name] = value

    def _destination(self, turn: _Turn, load: Load) -> Resident | None:
        """The resident tensor that a load fills; None where it streams."""
        name = load.transfer.tensor.name
        if load.posts:
            return self.buffer.find(turn.where, turn.key(name), turn.name)
        return self.buffer.find(turn.where, turn.held(name)) if load.transfer.when is When.FIRST else None

    def _source(self, turn: _Turn, load: Load) -> Cell:
        """The cell that a load reads, if what it reads is there."""
        tensor = load.transfer.tensor
        if tensor.tensor_class in (TensorClass.WEIGHT, TensorClass.OPTIMIZER):
            if tensor.name in self.machine.updating:
                raise broken(turn.where, f"reads {tensor.name} after its update began")
            return self.machine.shared[tensor.name]
        cell, arrived = self.dram[tensor.name], turn.arrived[tensor.name]
        if tensor.batched:
            needed = tensor.nbytes * turn.first_sample + min(arrived, turn.bytes_of(tensor.nbytes))
        else:
            needed = tensor.nbytes * (turn.iteration - 1) + arrived
        if cell.ready_bytes < needed:
            raise broken(
                turn.where, f"reads {needed} bytes of {tensor.name} from DRAM, of which {cell.ready_bytes} are stored"
            )
        return cell

    def _update_sources(self, turn: _Turn, load: Load) -> list[Cell]:
        """Every core's complete gradient, or the optimizer's state."""
        name = load.transfer.tensor.name
        if name in self.machine.shared:
            return [self.machine.shared[name]]
        cells = [core.dram[name] for core in self.machine.cores]
        for core, cell in zip(self.machine.cores, cells, strict=True):
            if cell.samples != self.machine.per_core:
                what = f"reads {name} of core {core.index} with {cell.samples} of {self.machine.per_core} samples in it"
                raise broken(turn.where, what)
        return cells

    # -- array and vector queues -----------------------------------------------------------------------

    def array_queue(self) -> Iterator[bool]:
        """Multiply, step by step, what is there."""
        sequence = 0
        for turn in self.turns:
            if not turn.command.work.array_cycles:
                sequence += turn.command.steps
                continue
            self.at["array"] = turn.where
            for step in range(turn.command.steps):
                sequence += 1
                while (
                    self.loaded < sequence
                    or self.multiplied - self.drained >= ACCUMULATED_STEPS
                    or not self._tokens(turn, step)
                ):
                    yield False
                self._check_reads(turn, step)
                self.multiplied += 1
                yield True
        self.at.pop("array", None)

    def _tokens(self, turn: _Turn, step: int) -> bool:
        """Whether the waits of a step are satisfied."""

        def needed(token: Token) -> int:
            return due(token.flow, turn.command, step) + token.flow.sample_bytes * turn.first_sample

        return all(self.on_chip[turn.number, token.tensor] >= needed(token) for token in turn.command.waits) and all(
            self.in_dram[token.tensor] >= needed(token) for token in turn.command.overwrites
        )

    def _check_reads(self, turn: _Turn, step: int) -> None:
        """Everything that the results so far depend on must be there."""
        if turn.segment.direction is Direction.UPDATE:
            return
        for name, needed in self.machine.needs(turn, step).items():
            streams = next((load for load in turn.command.loads if load.transfer.tensor.name == name), None)
            if streams is not None and not streams.posts:
                last = step == turn.command.steps - 1
                size = turn.bytes_of(self.tensors[name].nbytes)
                there = turn.arrived[name] if streams.flow.total == size or last else needed
            else:
                self._check_awaited(turn, name, streams)
                there = self.buffer.find(turn.where, turn.key(name), turn.name).ready_bytes
            if there < needed:
                raise broken(
                    f"{turn.where}, step {step}", f"reads {needed} bytes of {name}, of which {there} are there"
                )

    def _check_awaited(self, turn: _Turn, name: str, load: Load | None) -> None:
        """A tensor that a command finds on chip is one that it has waited for, whole."""
        awaited = sum(token.flow.total for token in turn.command.waits if token.tensor == name)
        if load is None and not awaited:
            raise broken(turn.where, f"reads {name}, which it neither loads nor waits for")
        if load is None and awaited < turn.bytes_of(self.tensors[name].nbytes):
            raise broken(turn.where, f"waits for {awaited} bytes of {name}, which has more")

    def vector_queue(self) -> Iterator[bool]:
        """Drain the array, run the sweeps, and with the last step of a command work out its results."""
        sequence = gemm_steps = 0
        for turn in self.turns:
            command = turn.command
            self.at["vector"] = turn.where
            gemm = command.work.array_cycles > 0
            for step in range(command.steps):
                sequence += 1
                gemm_steps += gemm
                while self.multiplied < gemm_steps if gemm else self.loaded < sequence or not self._tokens(turn, step):
                    yield False
                if not gemm:
                    self._check_reads(turn, step)
                self.drained = gemm_steps
                self._produce(turn, step)
                self.buffer.used -= _freed(command, step)
                self.computed += 1
                yield True
        self.at.pop("vector", None)

    def _produce(self, turn: _Turn, step: int) -> None:
        """Make one step's results known, and on the last step make them."""
        command = turn.command
        for token in command.posts:
            new = _delta(token.flow, command, step)
            self.on_chip[turn.number, token.tensor] += new
            resident = self.buffer.find(turn.where, turn.key(token.tensor))
            resident.ready_bytes += new
            for key in turn.covered:
                if new and token.tensor == turn.operation.writes[0]:
                    self.buffer.residents[key].taken_by = turn.name
                    self.buffer.residents[key].taken_bytes += new
        if step < command.steps - 1:
            return
        if turn.segment.direction is Direction.UPDATE:
            self._update(turn)
            return
        given = Given(
            self.machine.data.labels[self.mine][turn.samples],
            {name: kept[self.mine][turn.samples] for name, kept in self.machine.data.kept.items()},
            self.machine.batch,
        )
        reads = {use.tensor: self._operand(turn, use.tensor) for use in turn.operation.reads}
        results = evaluate(self.machine.meaning, turn.operation, reads, given)
        self.loss += float(results.pop("loss", np.zeros(1)).sum())
        for name, value in results.items():
            self._deposit(turn, name, value)

    def _operand(self, turn: _Turn, name: str) -> Array:
        """The numbers of a tensor, from where the command finds it."""
        if name in turn.loaded:
            return turn.loaded[name]
        key = turn.key(name) if self.tensors[name].batched else turn.held(name)
        resident = self.buffer.find(turn.where, key, turn.name)
        if resident.values is None:
            raise broken(turn.where, f"reads {name} before it is there")
        return resident.values

    def _deposit(self, turn: _Turn, name: str, value: Array) -> None:
        """Put a result where the command says: on chip, or beside the store that takes it away."""
        stores = [store for store in turn.command.stores if store.transfer.tensor.name == name]
        if not self.tensors[name].batched:
            if not stores:
                raise broken(turn.where, f"makes {name}, which it does not store")
            self._accumulate(turn, name, value, stores[0])
            return
        posted = any(token.tensor == name for token in turn.command.posts)
        if posted:
            self.buffer.find(turn.where, turn.key(name)).values = value
        elif not stores:
            raise broken(turn.where, f"makes {name}, which it neither keeps nor stores")
        turn.results[name] = value

    def _accumulate(self, turn: _Turn, name: str, value: Array, store: Store) -> None:
        """Add a weight gradient to the partial sum of earlier iterations, in the buffer or from DRAM."""
        if store.transfer.when is When.LAST:
            held = self.buffer.find(turn.where, turn.held(name))
            held.values = value if held.values is None else held.values + value
            held.samples += turn.command.samples
            turn.results[name] = held.values
            return
        if turn.iteration:
            if name not in turn.loaded:
                raise broken(turn.where, f"adds to {name} of earlier iterations, which it does not load")
            value = value + turn.loaded[name]
        turn.results[name] = value

    def _update(self, turn: _Turn) -> None:
        """This core's share of a layer's weights and momentum."""
        gradient, (master, momentum) = (
            self._operand(turn, f"{turn.command.unit}.{name}") for name in ("weight_gradient", "optimizer")
        )
        weight, velocity = update(gradient, master, momentum)
        turn.results[f"{turn.command.unit}.weight"] = weight
        turn.results[f"{turn.command.unit}.optimizer"] = np.stack([weight, velocity])

    # -- store queue -----------------------------------------------------------------------------------

    def store_queue(self) -> Iterator[bool]:
        """Write DRAM, and give space back in program order."""
        sequence = 0
        for turn in self.turns:
            command = turn.command
            self.at["store"] = turn.where
            for step in range(command.steps):
                sequence += 1
                while self.computed < sequence:
                    yield False
                for store in command.stores:
                    if turn.happens(store):
                        self._store(turn, store, step)
                    if store.staged:
                        self.buffer.used -= _delta(store.flow, command, step)
                yield True
            self._release(turn)
        self.at.pop("store", None)

    def _store(self, turn: _Turn, store: Store, step: int) -> None:
        """Write one step's results to DRAM; the numbers go with the last of them."""
        tensor, command = store.transfer.tensor, turn.command
        seen = _delta(Flow(store.flow.total, store.visible), command, step)
        resident = self.buffer.residents.get(turn.key(tensor.name))
        if resident is not None and not store.staged:
            if resident.taken_bytes > resident.left_bytes:
                raise broken(turn.where, f"stores {tensor.name}, which {resident.taken_by} has overwritten")
            resident.left_bytes += seen
        self.in_dram[tensor.name] += seen
        cell = self.machine.shared.get(tensor.name) or self.dram[tensor.name]
        if tensor.batched and not step and cell.ready_bytes != tensor.nbytes * turn.first_sample:
            raise broken(turn.where, f"stores {tensor.name} from sample {turn.first_sample}, out of order")
        cell.ready_bytes += seen
        if turn.segment.direction is Direction.UPDATE:
            self.machine.updating.add(tensor.name)
        if step == command.steps - 1:
            self._write(turn, tensor.name, cell, store)

    def _write(self, turn: _Turn, name: str, cell: Cell, store: Store) -> None:
        value = turn.results[name]
        if turn.segment.direction is Direction.UPDATE:
            cores, count = len(self.machine.cores), value.shape[-1]
            mine = slice(count * self.index // cores, count * (self.index + 1) // cores)
            assert cell.values is not None
            cell.values[..., mine] = value[..., mine]
        elif self.tensors[name].batched:
            if cell.values is None:
                empty = np.nan if value.dtype.kind == "f" else 0
                cell.values = np.full((self.machine.per_core, value.shape[1]), empty, dtype=value.dtype)
            cell.values[turn.samples] = value
        else:
            held = store.transfer.when is When.LAST
            cell.values = value.copy()
            cell.samples += self.buffer.find(turn.where, turn.held(name)).samples if held else turn.command.samples

    def _release(self, turn: _Turn) -> None:
        """End a command: give back what it and the tensors that die with it took."""
        command = turn.command
        self.buffer.used -= command.stage_bytes
        for name, size in command.releases:
            resident = self.buffer.find(turn.where, turn.key(name), turn.name)
            if resident.space_bytes != size:
                raise broken(turn.where, f"releases {size} bytes of {name}, which has {resident.space_bytes}")
            del self.buffer.residents[turn.key(name)]
            self.buffer.used -= size
        for key in turn.covered:
            del self.buffer.residents[key]
        for use in turn.operation.reads if turn.operation.sums else ():
            drained = self.buffer.residents.get(turn.key(use.tensor))
            if drained is not None and not drained.space_bytes:
                del self.buffer.residents[turn.key(use.tensor)]
        if turn.closes:
            self.buffer.used -= turn.segment.held_bytes
            for key in [key for key in self.buffer.residents if key[:2] == (turn.number, HELD)]:
                del self.buffer.residents[key]


def _values(where: str, name: str, cell: Cell) -> Array:
    if cell.values is None:
        raise broken(where, f"reads {name} from DRAM, where it is not")
    return cell.values


def _taken(command: Command, step: int) -> int:
    """Space that a step takes beside reservations: loads that pass by, results that wait to leave."""
    streams = sum(_delta(load.flow, command, step, ahead=True) for load in command.loads if load.freed is not None)
    return streams + sum(_delta(store.flow, command, step) for store in command.stores if store.staged)


def _freed(command: Command, step: int) -> int:
    """Space of loads that a step has used up."""
    return sum(
        _delta(Flow(load.flow.total, load.freed), command, step) for load in command.loads if load.freed is not None
    )
