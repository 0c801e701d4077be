"""What the arithmetic of a layer kind is given, and what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from wavecore.network.shapes import Shape

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """What one operation of a layer reads.

    ``weight`` is flat, all parameters of the layer one after the other; ``gradient`` is of the layer's output;
    ``value`` is that output, and ``input_gradient`` what the layer has made, where its weight gradient is of itself;
    ``saved`` is what its forward returned beside the output; ``labels`` and the ``batch`` over which the loss is
    averaged are for the loss alone.
    """

    kind: Any
    output: Shape
    inputs: Sequence[Array] = ()
    input_shapes: Sequence[Shape] = ()
    weight: Array | None = None
    gradient: Array | None = None
    value: Array | None = None
    input_gradient: Array | None = None
    saved: Mapping[str, Array] = field(default_factory=dict)
    labels: Array | None = None
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Kernels:
    """A kind's three phases: (output, saved), gradients of the inputs, gradient of the flat weight."""

    forward: Callable[[Operands], tuple[Array, dict[str, Array]]]
    data_gradient: Callable[[Operands], list[Array]] | None = None
    weight_gradient: Callable[[Operands], Array] | None = None


def present(value: Array | None) -> Array:
    """A value that has to be there."""
    assert value is not None
    return value
