"""The parts of a training step: tensors, and the operations that read and write them.

Nothing here depends on hardware.  Sizes that grow with the mini-batch are per sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.common.names import Name
from wavecore.network.compute import Gemm, TrimmedProduct, VectorPass


class Phase(Name):
    """The part of the training step that an operation belongs to."""

    FORWARD = "forward"
    DATA_GRADIENT = "data_gradient"
    WEIGHT_GRADIENT = "weight_gradient"
    UPDATE = "update"


class TensorClass(Name):
    """The class of a tensor; DRAM bytes are reported by these classes."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    GRADIENT = "gradient"
    WEIGHT_GRADIENT = "weight_gradient"
    MASK = "mask"
    OPTIMIZER = "optimizer"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of ``nbytes`` per sample (``batched``) or in all (otherwise).

    Where it is compressed in DRAM, it takes ``packed_bytes`` there, in the ``encoding``; on chip it is dense.
    """

    name: str
    tensor_class: TensorClass
    nbytes: int
    batched: bool = True
    packed_bytes: int | None = None
    encoding: str = ""

    @property
    def dram_bytes(self) -> int:
        """The bytes that it takes in DRAM, per sample or in all."""
        return self.nbytes if self.packed_bytes is None else self.packed_bytes


@dataclass(frozen=True, slots=True)
class EmptyTiles:
    """``count`` all-zero tiles, of ``rows`` x ``columns``, of the weights in an operation's ``gemm``-th product."""

    gemm: int
    rows: int
    columns: int
    count: int


class OperandRole(Name):
    """How an operation uses what it reads: as an operand of its GEMM, beside it, or as its results leave."""

    LEFT = "left"
    RIGHT = "right"
    SIDE = "side"
    DRAIN = "drain"  # element by element with a result, as that drains from the array or leaves the last sweep


@dataclass(frozen=True, slots=True)
class Use:
    """A tensor that an operation reads, ``passes`` times over unless it is held on chip.

    Where it needs only a part of each sample, as of the gradient of a concatenation, that part has ``part_bytes``.
    ``added_to`` names the result that a gradient is added to as that leaves; masks are applied to sums.
    """

    tensor: str
    role: OperandRole = OperandRole.SIDE
    passes: int = 1
    part_bytes: int | None = None
    added_to: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the training step.

    ``unit`` is the fused layer whose row it counts for.  ``accumulates`` marks a weight gradient, which is added to the
    partial sums of earlier sub-batches.  ``in_place`` names tensors whose space the first written one may take over, if
    this operation is the last to use them on chip (see `may_overwrite`).  ``sums`` marks a sweep that only adds
    gradients.

    ``lookahead`` (rows, of rows) is the share of a sample that must be there beyond the share already computed: rows of
    a window over rows of an image, (1, 1) for a whole sample.  ``whole_batch``: each result depends on every sample of
    a core's mini-batch, so that no sub-batch can pass through alone.

    The products of a recurrent layer are divided evenly among its ``time_steps``; each step begins with the results of
    the one before, of which ``state_bytes`` per sample are carried on.

    The products are of ``groups`` that have nothing in common, so that several may run side by side.  ``trimmed`` are
    other products with the same results, which an array may run in their place.

    A share of ``effectual_share`` of its products has two operands that are not zero.  The multipliers of the other
    products rest if they are ``gated``, and waves over ``empty_tiles`` are skipped.
    """

    name: str
    unit: str
    phase: Phase
    reads: tuple[Use, ...]
    writes: tuple[str, ...]
    gemms: tuple[Gemm, ...] = ()
    passes: tuple[VectorPass, ...] = ()
    accumulates: bool = False
    in_place: tuple[str, ...] = ()
    sums: bool = False
    lookahead: tuple[int, int] = (1, 1)
    whole_batch: bool = False
    time_steps: int = 0
    state_bytes: int = 0
    groups: int = 1
    trimmed: tuple[TrimmedProduct, ...] = ()
    effectual_share: float = 1.0
    gated: bool = False
    empty_tiles: tuple[EmptyTiles, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample."""
        return sum(gemm.macs for gemm in self.gemms)

    def may_overwrite(self, result: str) -> tuple[str, ...]:
        """Return the tensors whose space ``result`` may take over, if this operation is the last to use them on chip.

        They are the gradients that are added to it and needed for nothing else, and for the first result those that are
        ``in_place``, unless they are added to another one.
        """
        elsewhere = {use.tensor for use in self.reads if use.added_to and use.added_to != result}
        operands = {use.tensor for use in self.reads if not use.added_to}
        added = (use.tensor for use in self.reads if use.added_to == result and use.part_bytes is None)
        names = [name for name in added if name not in operands]
        names += self.in_place if result == self.writes[0] else ()
        return tuple(name for name in names if name not in elsewhere)
