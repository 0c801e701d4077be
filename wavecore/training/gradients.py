"""How the gradients that reach a tensor become one: added where they are made, and masked where the tensor is.

An operation that makes a gradient of a tensor, to which others have come before, reads those and adds them as its
results leave; the last one applies the tensor's mask to the sum.  Two kinds of gradients have no such operation, so
that a sweep of their own adds them: one that an addition passes on unchanged after all others, and one that its layer
needs by itself for its weight gradient, as an LSTM does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.network.compute import VectorPass
from wavecore.training.fusion import FusedNetwork, Fusion
from wavecore.training.operations import OperandRole, Operation, Phase, Tensor, TensorClass, Use
from wavecore.training.tensor_table import TensorTable


class Contribution(NamedTuple):
    """A gradient that has reached a tensor, not ``owned`` if a mask of the tensor is still to be applied to it."""

    part: str
    owned: bool


class GradientResult(NamedTuple):
    """A gradient of ``elements`` that an operation makes, and the gradients and the mask that it meets as it leaves."""

    name: str
    elements: int
    reads: tuple[Use, ...] = ()


class GradientSums:
    """The gradients that have reached each tensor so far, while backward runs from the last layer to the first."""

    def __init__(self, net: FusedNetwork, table: TensorTable) -> None:
        self.net = net
        self.table = table
        self.complete: dict[str, str] = {}  # tensor -> tensor that holds its gradient
        self.received: list[str] = []  # gradients that come from outside
        self._waiting: dict[str, list[Contribution]] = {}

    def receive(self, tensor: str, outlet: str) -> None:
        """Take the gradient that comes from outside where an outlet hands a tensor on."""
        if self.net.trained(tensor):
            name, nbytes = f"{tensor}.gradient@{outlet}", self.table.nbytes(tensor)
            part = self.table.declare(name, TensorClass.GRADIENT, nbytes)
            self.contribute(tensor, part, owned=not self.net.masked(tensor))
            self.received.append(part)

    def contribute(self, tensor: str, part: str, owned: bool) -> None:
        """Let a gradient wait to be added to the others of ``tensor``."""
        self._waiting.setdefault(tensor, []).append(Contribution(part, owned))

    def result(self, tensor: str, reader: Fusion, index: int | None = None) -> GradientResult:
        """Declare the gradient that an operation of ``reader`` makes for one of its inputs, with all that wait added.

        ``index`` is that of the input where each has an operation of its own.
        """
        own, elements = self.own_part(tensor, reader), self.table.nbytes(tensor) // ELEMENT_BYTES
        if reader.of_itself:
            self._declare(tensor, own)
            if self.net.trained(tensor):
                self.contribute(tensor, own, owned=own == f"{tensor}.gradient")
            return GradientResult(own, elements)
        again = index is not None and any(tensor in part for part in reader.parts[index + 1 :])
        last = self.net.consumers[tensor][0] == reader.name and not again
        waiting = self._waiting.pop(tensor, [])
        name = f"{tensor}.gradient" if last else f"{tensor}.gradient{'+' if waiting else '@'}{reader.name}"
        if not last and index is not None and reader.inputs.count(tensor) > 1:
            name += f".{index}"
        self._declare(tensor, name)
        reads = [self._addend(tensor, part, name) for part, _ in waiting]
        masked = self.net.masked(tensor)
        reads += [Use(f"{tensor}.mask", OperandRole.DRAIN)] if last and masked else []
        self.contribute(tensor, name, owned=last or not masked)
        return GradientResult(name, elements, tuple(reads))

    def own_part(self, tensor: str, reader: Fusion) -> str:
        """Return the name of the gradient that a layer gives to its input where it needs that by itself.

        It is neither added to others nor masked.
        """
        alone = self.net.consumers[tensor] == (reader.name,) and not self.net.masked(tensor)
        return f"{tensor}.gradient" if alone else f"{tensor}.gradient@{reader.name}"

    def _declare(self, tensor: str, part: str) -> None:
        self.table.declare(part, TensorClass.GRADIENT, self.table.nbytes(tensor))

    def _addend(self, tensor: str, part: str, result: str) -> Use:
        return Use(part, OperandRole.DRAIN, part_bytes=self.table.share(part, tensor), added_to=result)

    def gather(self, tensor: str, reader: Fusion, last: bool) -> list[Operation]:
        """Return the sweep of ``reader`` that adds the gradients of ``tensor`` which no operation adds; often none.

        Its first reader is the ``last`` in reverse, and completes the gradient.  A mask that no operation has applied
        is applied by the sweep.  A gradient that has come twice from one addition is doubled before others are added.
        """
        parts = self._waiting[tensor]
        masked = last and self.net.masked(tensor)
        operations = []
        due = len(parts) > 1 and (last or len(set(parts)) < len(parts))
        if due or (masked and not parts[0].owned):
            operations.append(self._sum(tensor, reader, last, masked))
        if last:
            self.complete[tensor] = self._waiting[tensor][0].part
        return operations

    def _sum(self, tensor: str, reader: Fusion, last: bool, masked: bool) -> Operation:
        """Return one sweep over all parts that wait to be added; its result takes their place."""
        parts, table = self._waiting[tensor], self.table
        total = f"{tensor}.gradient" if last else f"{tensor}.gradient+{reader.name}"
        self._declare(tensor, total)
        self._waiting[tensor] = [Contribution(total, last or not self.net.masked(tensor))]
        reads = [Use(part, part_bytes=table.share(part, tensor)) for part in dict.fromkeys(part for part, _ in parts)]
        mask = f"{tensor}.mask" if masked else ""
        return sum_sweep(table.tensors[total], reader.name, reads, len(parts), mask)


def sum_sweep(total: Tensor, unit: str, parts: Sequence[Use], terms: int, mask: str) -> Operation:
    """Return the sweep of a unit that adds ``terms`` gradients, which are in ``parts``, and applies a mask if named.

    The sum may take over the space of a gradient that is no part of a larger one, the latest first.
    """
    return Operation(
        name=f"{total.name}.sum",
        unit=unit,
        phase=Phase.DATA_GRADIENT,
        reads=(*parts, *([Use(mask)] if mask else [])),
        writes=(total.name,),
        passes=(VectorPass(total.nbytes // ELEMENT_BYTES, terms - 1 + bool(mask)),),
        in_place=tuple(use.tensor for use in reversed(parts) if use.part_bytes is None),
        sums=terms > 1,
        lookahead=(0, 1),
    )


def drained(results: Iterable[GradientResult]) -> tuple[VectorPass, ...]:
    """Return the work of the vector unit on results as they leave: one lane operation for each gradient or mask."""
    elements: Counter[int] = Counter()
    for result in results:
        elements[len(result.reads)] += result.elements
    return tuple(VectorPass(count, each) for each, count in elements.items() if each)
