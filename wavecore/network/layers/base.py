"""A layer kind: a frozen description, and the rules that derive shapes, parameters and phases from it.

A new kind is one file in this folder: a frozen dataclass, a `LayerRules` for it, and its line in
``wavecore.network.layers.KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from wavecore.network.compute import Gemm, TrimmedProduct, VectorPass
from wavecore.network.shapes import Shape

GRADIENT = -1  # in `PhaseSpec.operands`: the gradient of the layer's output


class LayerKind:
    """Base class of the descriptions; ``kind`` is the name used in reports and files."""

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

    ``reads_input`` and ``reads_gradient`` count the passes over the layer's inputs and over its output's gradient;
    ``reads_weight`` says that it reads the weights, and ``reads_row_bytes`` how many bytes of their rows it reads per
    sample instead of all.  A phase that ``writes_weight_gradient`` makes the gradients of the weights beside its own
    result.  A weight gradient ``of_itself`` multiplies the layer's own output with its input's gradient, so it runs
    after the data gradient.  ``in_place``: a result may take over the space of what was read, element by element.
    See `Operation` for ``lookahead``, ``whole_batch``, ``time_steps``, ``state_bytes``, ``groups`` and ``trimmed``.

    Products of two activations have ``operands``: which input of the layer is the left one and which the right one,
    counted from 0, or `GRADIENT` for the gradient of its output.
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
    groups: int = 1
    trimmed: tuple[TrimmedProduct, ...] = ()
    operands: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A layer's phases.  Without a ``data_gradient``, gradients pass through unchanged.

    Where each input has products of its own, there are ``input_gradients`` instead: one phase for each input.
    """

    forward: PhaseSpec
    data_gradient: PhaseSpec | None = None
    weight_gradient: PhaseSpec | None = None
    input_gradients: tuple[PhaseSpec, ...] = ()
    saved: tuple[Saved, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerRules:
    """The behaviour of one layer kind.

    ``infer`` gives the output's shape and raises ValueError when the inputs do not fit; ``expand`` gives the
    phases; ``mask_bits`` is what an elementwise layer keeps for each element of its output.  ``takes_fused``: an
    elementwise layer may run in its pass; not so where it uses its own output again.
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
    """Return the positions of a sliding window along one axis; ValueError when not even one fits."""
    span = size + 2 * padding - kernel
    if span < 0:
        raise ValueError(f"a window of {kernel} does not fit {size} with padding {padding}")
    count = -(-span // stride) + 1 if round_up else span // stride + 1
    if round_up and (count - 1) * stride >= size + padding:
        count -= 1  # the last window would start in the padding
    return count


def forward_lookahead(shape: Shape, output: Shape, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Return the lookahead of a window, as (rows, of rows of the input).

    Output row y reads the input up to row ``y * stride - padding + kernel - 1``.
    """
    needed = ((y + 1, y * stride - padding + kernel) for y in range(output.height))
    return _lead(needed, shape.height, output.height), shape.height


def backward_lookahead(shape: Shape, output: Shape, stride: int, padding: int) -> tuple[int, int]:
    """Return the lookahead of a data gradient, as (rows, of rows of the output's gradient).

    Row i of the input's gradient reads the output's up to row ``(i + padding) // stride``.
    """
    needed = ((i + 1, (i + padding) // stride + 1) for i in range(shape.height))
    return _lead(needed, output.height, shape.height), output.height


def _lead(needed: Iterable[tuple[int, int]], rows_read: int, rows_made: int) -> int:
    """Return the most rows that a window reads beyond the even share of the image.

    ``needed`` gives pairs: the number r of the row that is being made (counted from 1), and the rows of the image that
    it needs.  Of ``rows_made`` rows, r - 1 are complete by then, and their even share of ``rows_read`` rows has been
    read.
    """
    return max(0, *(min(rows, rows_read) - (begun - 1) * rows_read // rows_made for begun, rows in needed))


def only(inputs: tuple[Shape, ...]) -> Shape:
    """Return the single input's shape; ValueError for any other number."""
    if len(inputs) != 1:
        raise ValueError(f"takes one input, not {len(inputs)}")
    return inputs[0]
