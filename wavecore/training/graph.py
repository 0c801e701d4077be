"""A training graph: the operations of one training step, by fused layer.

*Units* are the fused layers, which a schedule groups.  A tensor is saved for backward if a forward operation writes it
and a backward one reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from wavecore.common.memo import Memo
from wavecore.common.notebook import table_html
from wavecore.network.graph import DEFAULT_BATCH_PER_CORE
from wavecore.network.sparsity import Sparsity
from wavecore.training.operations import Operation, Tensor

ROWS = ".rows"  # of a unit's weights, read in their stead


@dataclass(frozen=True, slots=True)
class FusedLayer:
    """One layer that computes and the layers ``fused`` into its pass: what a schedule groups.

    ``inputs`` are the tensors behind each input of the layer: several where it is a concatenation.
    """

    name: str
    kind: str
    fused: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]
    forward: tuple[Operation, ...]
    backward: tuple[Operation, ...]
    update: tuple[Operation, ...]

    @property
    def whole_batch(self) -> bool:
        """Whether no sub-batch can pass through alone."""
        return any(op.whole_batch for op in (*self.forward, *self.backward))

    @property
    def recurrent(self) -> bool:
        """Whether its time steps follow each other."""
        return any(op.time_steps for op in (*self.forward, *self.backward))


@runtime_checkable
class Rewrite(Protocol):
    """A pass from training graph to training graph: a frozen dataclass whose fields are its options.

    `training.rewrites` applies it, verifies what it returns, and finds registered ones by ``name``.
    """

    @property
    def name(self) -> str:
        """The name that the pass is registered under."""
        ...

    def apply(self, training: TrainingGraph) -> TrainingGraph:
        """Return the changed graph; `InputError` where the options do not fit it."""
        ...


@dataclass(frozen=True)
class TrainingGraph:
    """One training step: the units in forward order, and every tensor by name.

    ``sent`` are the tensors that the outside reads from DRAM: values at outlets, gradients at inlets.  ``received`` are
    the gradients at outlets, which are in DRAM when backward begins.  ``sparsity`` is what is known of zeros; the graph
    that `sparsity.machine` makes of it for a machine has none.  ``batch_per_core`` is the mini-batch of one core, in
    samples, unless told otherwise.  ``rewrites`` are the passes that have changed the graph since it was unrolled, in
    order.
    """

    name: str
    units: tuple[FusedLayer, ...]
    tensors: Mapping[str, Tensor]
    forward_macs: int
    parameter_count: int
    sent: frozenset[str] = frozenset()
    received: frozenset[str] = frozenset()
    sparsity: Sparsity | None = None
    batch_per_core: int = DEFAULT_BATCH_PER_CORE
    rewrites: tuple[Rewrite, ...] = ()

    @cached_property
    def memory(self) -> Memo:
        """Results that follow from this graph, kept for the next design point."""
        return Memo()

    @cached_property
    def saved(self) -> frozenset[str]:
        """Names of the tensors that forward writes for backward to read."""
        written = {name for unit in self.units for op in unit.forward for name in op.writes}
        read = {use.tensor for unit in self.units for op in unit.backward for use in op.reads}
        return frozenset(written & read)

    @cached_property
    def written(self) -> frozenset[str]:
        """Names of the tensors that forward and backward operations write."""
        operations = [op for unit in self.units for op in (*unit.forward, *unit.backward)]
        return frozenset(name for op in operations for name in op.writes)

    @cached_property
    def last_forward_reader(self) -> Mapping[str, int]:
        """The last unit, in forward order, whose forward reads a tensor."""
        return {use.tensor: index for index, unit in enumerate(self.units) for op in unit.forward for use in op.reads}

    @cached_property
    def last_backward_reader(self) -> Mapping[str, int]:
        """The last unit in backward order, so the lowest index, whose backward reads a tensor."""
        numbered = list(enumerate(self.units))
        return {use.tensor: index for index, unit in reversed(numbered) for op in unit.backward for use in op.reads}

    @cached_property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and last unit of each block: a run of units of which later units read one value only.

        A block ends where all tensors still to be read were made in it and are read together: a single tensor, or the
        parts of one concatenation.  A residual, an inception or a dense block is found as one; in a chain every unit is
        a block.
        """
        last_reader = self.last_forward_reader
        live: set[str] = set()
        old: set[str] = set()  # from before the block, or the network's inputs
        blocks, first = [], 0
        for end, unit in enumerate(self.units):
            made = {name for op in unit.forward for name in op.writes}
            read = {use.tensor for op in unit.forward for use in op.reads if self.tensors[use.tensor].batched}
            old |= read - live
            live = {name for name in live | made | read if last_reader.get(name, -1) > end}
            if live.isdisjoint(old) and self._is_one_value(live, end):
                blocks.append((first, end))
                first, old = end + 1, set(live)
        return tuple(blocks)

    def _is_one_value(self, live: set[str], end: int) -> bool:
        """Return whether all units after ``end`` that read any of ``live`` read all of it as one input."""
        if len(live) <= 1:
            return True
        return all(
            live <= set(part) for unit in self.units[end + 1 :] for part in unit.inputs if not live.isdisjoint(part)
        )

    @cached_property
    def unit_index(self) -> Mapping[str, int]:
        """Position of each unit in forward order."""
        return {unit.name: index for index, unit in enumerate(self.units)}

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the whole step, per sample."""
        return sum(op.macs for unit in self.units for op in (*unit.forward, *unit.backward))

    def __repr__(self) -> str:
        return f"<TrainingGraph {self.name}: {len(self.units)} units, {len(self.tensors)} tensors>"

    def _repr_html_(self) -> str:
        """Show the step in a notebook: its fused layers and what each phase does per sample."""
        rows = [(unit.name, unit.kind, ", ".join(unit.fused) or "-", *_phase_macs(unit)) for unit in self.units]
        columns = ("unit", "kind", "fused", "forward MACs per sample", "backward MACs per sample")
        return table_html(repr(self)[1:-1], columns, rows, "print(training)")

    def __str__(self) -> str:
        lines = [f"training step of {self.name}: {len(self.units)} units, {self.macs} MACs per sample"]
        for unit in self.units:
            fused = f" + {', '.join(unit.fused)}" if unit.fused else ""
            lines.append(f"{unit.name} ({unit.kind}){fused}")
            for op in (*unit.forward, *unit.backward, *unit.update):
                reads = ", ".join(f"{use.tensor}*{use.passes}" if use.passes > 1 else use.tensor for use in op.reads)
                lines.append(f"  {op.phase}: {reads} -> {', '.join(op.writes) or '-'}")
        return "\n".join(lines)


def _phase_macs(unit: FusedLayer) -> tuple[int, int]:
    """Return the multiply-accumulates per sample of forward and of backward."""
    return sum(op.macs for op in unit.forward), sum(op.macs for op in unit.backward)
