"""What a layer kind is: a frozen description, and the rules that say what it means for training.

A new kind is one file in this folder: a frozen dataclass, a `LayerRules` for it, and its line in
``wavecore.network.layers.KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from wavecore.network.compute import Gemm, VectorPass
from wavecore.network.shapes import Shape

ELEMENT_BYTES = 2  # fp16 activations, gradients and weights on the wire
ACCUMULATOR_BYTES = 4  # fp32 weight gradients, master weights and momentum


class LayerKind:
    """Base of the descriptions; ``kind`` is the name used in reports and files."""

    __slots__ = ()
    kind: ClassVar[str]


class LayerRole(StrEnum):
    """How a layer takes part in the schedule."""

    UNIT = "unit"  # runs operations of its own
    ELEMENTWISE = "elementwise"  # fused into the pass that precedes it, where one does
    VIEW = "view"  # only renames data: no operation, no traffic


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trained tensor of a layer."""

    name: str
    elements: int


@dataclass(frozen=True, slots=True)
class Saved:
    """Something other than its input that a layer keeps for its backward pass, in bits per sample."""

    name: str
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpec:
    """What one phase of a layer computes and reads.

    ``reads_*`` count the passes over the layer's inputs, over its output's gradient and over its weights;
    ``reads_row_bytes`` are, of a sample, rows of the weights that are read instead of all.  A phase that writes the
    gradients of its weights says so; one ``of_itself`` multiplies the layer's own output with its input's gradient,
    so that it runs behind the data gradient.  ``in_place``: each result may go where an element of equal place was
    read, so it may take over a tensor's space.  ``lookahead``, ``whole_batch``, ``time_steps`` and ``state_bytes``: see
    `Operation`.
    """

    gemms: tuple[Gemm, ...] = ()
    passes: tuple[VectorPass, ...] = ()
    reads_input: int = 0
    reads_gradient: int = 0
    reads_weight: bool = False
    reads_row_bytes: int = 0
    reads_saved: tuple[str, ...] = ()
    writes_weight_gradient: bool = False
    of_itself: bool = False
    in_place: bool = False
    lookahead: tuple[int, int] = (1, 1)
    whole_batch: bool = False
    time_steps: int = 0
    state_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A layer's phases.  No ``data_gradient`` on a unit means that gradients pass through unchanged."""

    forward: PhaseSpec
    data_gradient: PhaseSpec | None = None
    weight_gradient: PhaseSpec | None = None
    saved: tuple[Saved, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerRules:
    """The behaviour of one layer kind.

    ``infer`` gives the output's shape and raises ValueError when the inputs do not fit; ``expand`` gives the
    phases; ``mask_bits`` is what an elementwise layer keeps for each element of its output.  A unit that uses its
    own output again ``takes_fused`` layers not.
    """

    role: LayerRole
    infer: Callable[[Any, tuple[Shape, ...]], Shape]
    parameters: Callable[[Any, tuple[Shape, ...]], tuple[Parameter, ...]] = lambda kind, inputs: ()
    expand: Callable[[Any, tuple[Shape, ...], Shape], Expansion] | None = None
    mask_bits: int = 0
    lane_operations: int = 0
    takes_fused: bool = True


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """Return ``value`` as (height, width)."""
    return value if isinstance(value, tuple) else (value, value)


def window(size: int, kernel: int, stride: int, padding: int, round_up: bool = False) -> int:
    """Positions of a sliding window along one axis; ValueError when not even one fits."""
    span = size + 2 * padding - kernel
    if span < 0:
        raise ValueError(f"a window of {kernel} does not fit {size} with padding {padding}")
    count = -(-span // stride) + 1 if round_up else span // stride + 1
    if round_up and (count - 1) * stride >= size + padding:
        count -= 1  # the last window would start in the padding
    return count


def forward_lookahead(shape: Shape, output: Shape, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Return how many rows of the input, of how many, must be there beyond the even share of the output made so far.

    Output row y reads the input up to row ``y * stride - padding + kernel - 1``.
    """
    needed = ((y + 1, y * stride - padding + kernel) for y in range(output.height))
    return _lead(needed, shape.height, output.height), shape.height


def backward_lookahead(shape: Shape, output: Shape, stride: int, padding: int) -> tuple[int, int]:
    """Return the same for a data gradient, which makes rows of the input's gradient from rows of the output's.

    Row i of the input's gradient reads the output's up to row ``(i + padding) // stride``.
    """
    needed = ((i + 1, (i + padding) // stride + 1) for i in range(shape.height))
    return _lead(needed, output.height, shape.height), output.height


def _lead(needed: Iterable[tuple[int, int]], rows_read: int, rows_made: int) -> int:
    """Return the most rows that a window reads ahead of the even share, from (rows begun, rows needed for them).

    While row r of the result is being made (counted from 1), at least r - 1 rows of ``rows_made`` are complete, and the
    even share of ``rows_read`` is there for them.
    """
    return max(0, *(min(rows, rows_read) - (begun - 1) * rows_read // rows_made for begun, rows in needed))


def only(inputs: tuple[Shape, ...]) -> Shape:
    """The single input's shape; ValueError for any other number."""
    if len(inputs) != 1:
        raise ValueError(f"takes one input, not {len(inputs)}")
    return inputs[0]
