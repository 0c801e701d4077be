"""What one training step is made of: tensors, and the operations that read and write them.

Nothing here knows hardware.  Sizes that grow with the mini-batch are per sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.common.names import Name
from wavecore.network.compute import Gemm, VectorPass


class Phase(Name):
    """The part of the training step that an operation belongs to."""

    FORWARD = "forward"
    DATA_GRADIENT = "data_gradient"
    WEIGHT_GRADIENT = "weight_gradient"
    UPDATE = "update"


class TensorClass(Name):
    """What a tensor is; DRAM bytes are reported by these classes."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    GRADIENT = "gradient"
    WEIGHT_GRADIENT = "weight_gradient"
    MASK = "mask"
    OPTIMIZER = "optimizer"


@dataclass(frozen=True, slots=True)
class Tensor:
    """``nbytes`` of one sample (``batched``) or of the whole tensor (otherwise).

    ``packed_bytes`` are what it takes in DRAM where it is compressed there, in the ``encoding``; on chip it is dense.
    """

    name: str
    tensor_class: TensorClass
    nbytes: int
    batched: bool = True
    packed_bytes: int | None = None
    encoding: str = ""

    @property
    def dram_bytes(self) -> int:
        """What ``nbytes`` of it take in DRAM."""
        return self.nbytes if self.packed_bytes is None else self.packed_bytes


@dataclass(frozen=True, slots=True)
class EmptyTiles:
    """``count`` all-zero tiles of ``rows`` x ``columns`` of what the ``gemm``-th product of an operation holds."""

    gemm: int
    rows: int
    columns: int
    count: int


class OperandRole(Name):
    """How an operation uses what it reads: as an operand of its GEMM, or beside it."""

    LEFT = "left"
    RIGHT = "right"
    SIDE = "side"


@dataclass(frozen=True, slots=True)
class Use:
    """A tensor that an operation reads, ``passes`` times over unless it is held on chip.

    Where it needs only a part of a sample, as of the gradient of a concatenation, that is ``part_bytes`` long.
    """

    tensor: str
    role: OperandRole = OperandRole.SIDE
    passes: int = 1
    part_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the training step.

    ``unit`` is the layer whose row it counts for.  ``accumulates`` marks a weight gradient, which is added to
    the partial sums of earlier sub-batches.  ``in_place`` names tensors whose space the first written one may take
    over, where their time on chip ends here.  ``sums`` marks the
    sum of gradients.  ``lookahead`` is the share of a sample that must be there beyond the share
    already computed: rows of a window over rows of an image, (1, 1) for a whole sample.  ``whole_batch``: each result
    depends on every sample of a core's mini-batch, so that no sub-batch can pass through alone.
    The ``time_steps`` of a recurrent layer share out the ``count`` of its products; each begins with the results of the
    one before, of which ``state_bytes`` a sample are carried on.
    ``effectual_share`` of its products have two operands that are not zero; the multipliers of the others rest where
    they are ``gated``, and waves over ``empty_tiles`` are skipped.
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
    effectual_share: float = 1.0
    gated: bool = False
    empty_tiles: tuple[EmptyTiles, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample."""
        return sum(gemm.macs for gemm in self.gemms)
