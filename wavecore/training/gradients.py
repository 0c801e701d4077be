"""How the gradients that reach a tensor become one: added as they come, and masked where the tensor is."""

from __future__ import annotations

from typing import NamedTuple

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.network.compute import VectorPass
from wavecore.training.fusion import FusedNetwork, Fusion
from wavecore.training.operations import Operation, Phase, TensorClass, Use
from wavecore.training.tensor_table import TensorTable


class Contribution(NamedTuple):
    """A gradient that has reached a tensor, not ``owned`` if a mask of the tensor is still to be applied to it."""

    part: str
    owned: bool


class GradientSums:
    """The gradients that have reached each tensor so far, while backward runs from the last layer to the first.

    Gradients are added two at a time as they come, or (not ``pairwise``) all in one sweep at the end.
    """

    def __init__(self, net: FusedNetwork, table: TensorTable, pairwise: bool) -> None:
        self.net = net
        self.table = table
        self.pairwise = pairwise
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

    def gather(self, tensor: str, reader: Fusion, last: bool) -> list[Operation]:
        """Add up the gradients that have reached ``tensor`` so far, as an operation of ``reader``.

        Its first reader is the ``last`` in reverse, and completes the gradient.  Branches' gradients are added as they
        come, as automatic differentiation does; a mask is applied with the last sum, or in a sweep of its own where a
        lone gradient was passed on by an addition.
        """
        parts = self._waiting[tensor]
        masked = last and self.net.masked(tensor)
        operations = []
        due = len(parts) > 1 and (last or self.pairwise)
        if due or (masked and not parts[0].owned):
            operations.append(self._sum(tensor, reader, last, masked))
        if last:
            self.complete[tensor] = self._waiting[tensor][0].part
        return operations

    def _sum(self, tensor: str, reader: Fusion, last: bool, masked: bool) -> Operation:
        """Return one sweep over all parts that wait to be added; its result takes their place."""
        parts, table, nbytes = self._waiting[tensor], self.table, self.table.nbytes(tensor)
        total = f"{tensor}.gradient" if last else f"{tensor}.gradient+{reader.name}"
        named = dict.fromkeys(part for part, _ in parts)
        reads = [Use(part, part_bytes=table.share(part, tensor)) for part in named]
        reads += [Use(f"{tensor}.mask")] if masked else []
        self._waiting[tensor] = [Contribution(table.declare(total, TensorClass.GRADIENT, nbytes), True)]
        return Operation(
            name=f"{total}.sum",
            unit=reader.name,
            phase=Phase.DATA_GRADIENT,
            reads=tuple(reads),
            writes=(total,),
            passes=(VectorPass(nbytes // ELEMENT_BYTES, len(parts) - 1 + masked),),
            in_place=table.same_size(tensor, tuple(part for part, _ in reversed(parts))),
            sums=len(parts) > 1,
            lookahead=(0, 1),
        )
