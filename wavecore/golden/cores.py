"""The state of a chip that the interpreter runs a program on: what its queues see and change."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from wavecore.golden.instances import ExecutedCommand, instances_of
from wavecore.golden.numbers import StepData
from wavecore.golden.operands import AnyArray
from wavecore.golden.reach import needs
from wavecore.golden.semantics import Semantics
from wavecore.golden.sequences import gather
from wavecore.golden.stores import Buffer, DramTensor, broken
from wavecore.network.layers import Embedding
from wavecore.program.commands import Program
from wavecore.training.graph import ROWS


class Chip:
    """All cores, their DRAM, and the step's numbers."""

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
        self._needs: dict[int, list[dict[str, int]]] = {}
        self.cores = [CoreState(self, index) for index in range(len(program.cores))]

    def needs(self, instance: ExecutedCommand, step: int) -> dict[str, int]:
        """What the results of a step depend on, worked out once a command."""
        key = id(instance.command)
        if key not in self._needs:
            self._needs[key] = needs(self.meaning, instance.operation, instance.command)
        return self._needs[key][step]


class CoreState:
    """One core: its buffer, its part of DRAM, its tokens, and how far its queues are."""

    def __init__(self, chip: Chip, index: int) -> None:
        self.chip, self.index = chip, index
        self.tensors = chip.tensors
        self.buffer = Buffer(chip.program.buffer_bytes)
        self.dram: dict[str, DramTensor] = defaultdict(DramTensor)
        self.on_chip: Counter[tuple[int, str]] = Counter()  # tokens, by segment and tensor
        self.in_dram: Counter[str] = Counter()  # tokens
        self.loaded = self.multiplied = self.drained = self.computed = 0
        self.loss: float = 0.0
        self.at: dict[str, str] = {}
        first = index * chip.per_core
        self.mine = slice(first, first + chip.per_core)
        images = chip.data.images[self.mine]
        name = chip.meaning.graph.layers[0].name
        self.dram[name] = DramTensor(images.reshape(len(images), -1), self.tensors[name].nbytes * len(images))
        words = images.reshape(len(images), -1)
        for layer in chip.meaning.graph:  # of a table only the rows are read that the words name
            if isinstance(layer.kind, Embedding):
                rows = f"{layer.name}{ROWS}"
                values = gather(layer.kind, words, chip.data.weights[layer.name])
                self.dram[rows] = DramTensor(values, self.tensors[rows].nbytes * len(images))
        self.instances = list(instances_of(chip.program, chip.operations, index, chip.per_core))
        self.gradient_stores = Counter(
            store.transfer.tensor.name
            for instance in self.instances
            for store in instance.command.stores
            if instance.happens(store)
        )

    def gradient(self, unit: str) -> AnyArray:
        """This core's gradient of a unit's weights, from DRAM."""
        values = self.dram[f"{unit}.weight_gradient"].values
        if values is None:
            raise broken(f"core {self.index}", f"{unit}.weight_gradient is not in DRAM")
        return values

    def doing(self) -> str:
        """Where each queue stands."""
        return f"core {self.index}: " + ", ".join(f"{queue} queue in {what}" for queue, what in self.at.items())

    def check_empty(self) -> None:
        """Nothing is left in the buffer."""
        left = ", ".join(self.buffer.left())
        if left or self.buffer.used:
            raise broken(f"core {self.index}", f"{self.buffer.used} bytes of the buffer were never freed: {left}")
