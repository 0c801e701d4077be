"""The state of the chip on which the interpreter runs a program: cores, buffers, DRAM and posted tokens."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from wavecore.golden.dependences import Operand, needed_bytes
from wavecore.golden.executed import ExecutedCommand, executed_commands, unit_queues
from wavecore.golden.numbers import StepData
from wavecore.golden.operands import AnyArray
from wavecore.golden.semantics import Semantics
from wavecore.golden.sequences import gather
from wavecore.golden.stores import Buffer, DramTensor, broken
from wavecore.network.layers import Embedding
from wavecore.program.commands import Program
from wavecore.training.graph import ROWS


class Chip:
    """All cores, the DRAM tensors that they share (weights and optimizer state), and the numbers of the step.

    ``updating`` are the tensors of which the update has stored anything.
    """

    def __init__(self, meaning: Semantics, program: Program, data: StepData) -> None:
        self.meaning, self.program, self.data = meaning, program, data
        self.tensors = meaning.training.tensors
        self.batch = len(data.images)
        self.per_core = self.batch // len(program.cores)
        self.operations = {
            op.name: op for unit in meaning.training.units for op in (*unit.forward, *unit.backward, *unit.update)
        }
        self.shared: dict[str, DramTensor] = {}
        for unit, weight in data.weights.items():
            state = np.stack([weight, data.momentum[unit]])
            self.shared[f"{unit}.weight"] = DramTensor(weight.copy())
            self.shared[f"{unit}.optimizer"] = DramTensor(state)
        self.updating: set[str] = set()
        self._needed_bytes: dict[int, list[dict[Operand, int]]] = {}
        self.cores = [CoreState(self, index) for index in range(len(program.cores))]

    def needed_bytes(self, executed: ExecutedCommand, step: int) -> dict[Operand, int]:
        """Return the bytes of each batched operand that the results of steps 0 to ``step`` depend on."""
        key = id(executed.command)
        if key not in self._needed_bytes:
            self._needed_bytes[key] = needed_bytes(self.meaning, executed.operation, executed.command)
        return self._needed_bytes[key][step]


class CoreState:
    """The state of one core: its buffer, its own tensors in DRAM, its tokens, and how far its queues are.

    ``positions`` says for each queue which command it runs.  The batched tensors of a core are its own.
    """

    def __init__(self, chip: Chip, index: int) -> None:
        self.chip, self.index = chip, index
        self.tensors = chip.tensors
        self.buffer = Buffer(chip.program.buffer_bytes)
        self.dram: dict[str, DramTensor] = defaultdict(DramTensor)
        self.on_chip_bytes: Counter[tuple[int, str]] = Counter()  # posted, by (segment, token)
        self.in_dram_bytes: Counter[str] = Counter()  # stored and visible, by tensor
        self.undrained_steps = 0  # whose results are in the accumulators
        self.loss: float = 0.0
        self.positions: dict[str, str] = {}
        first = index * chip.per_core
        self.sample_range = slice(first, first + chip.per_core)
        images = chip.data.images[self.sample_range]
        name = chip.meaning.graph.layers[0].name
        self.dram[name] = DramTensor(images.reshape(len(images), -1), self.tensors[name].nbytes * len(images))
        words = images.reshape(len(images), -1)
        for layer in chip.meaning.graph:  # an embedding reads only the rows of the words in its samples
            if isinstance(layer.kind, Embedding):
                rows = f"{layer.name}{ROWS}"
                values = gather(layer.kind, words, chip.data.weights[layer.name])
                self.dram[rows] = DramTensor(values, self.tensors[rows].nbytes * len(images))
        self.commands = list(executed_commands(chip.program, chip.operations, index, chip.per_core))
        self.queues = unit_queues(chip.program, index, self.commands)
        self.gradient_stores = Counter(
            store.transfer.tensor.name
            for executed in self.commands
            for store in executed.command.stores
            if executed.happens(store)
        )

    def gradient(self, unit: str) -> AnyArray:
        """Return this core's gradient of a unit's weights from DRAM; raise InvariantError if it is not there."""
        values = self.dram[f"{unit}.weight_gradient"].values
        if values is None:
            raise broken(f"core {self.index}", f"{unit}.weight_gradient is not in DRAM")
        return values

    def describe_positions(self) -> str:
        """Return which command each queue runs, for an error message."""
        return f"core {self.index}: " + ", ".join(f"{queue} queue in {what}" for queue, what in self.positions.items())

    def check_empty(self) -> None:
        """Raise InvariantError if space of the buffer is still in use, or a tensor still in it."""
        left = ", ".join(self.buffer.residents_left())
        if left or self.buffer.used:
            raise broken(f"core {self.index}", f"{self.buffer.used} bytes of the buffer were never freed: {left}")
