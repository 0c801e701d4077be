"""What the arithmetic of a layer kind is given, and what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from wavecore.network.shapes import Shape

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOperands:
    """What one operation of a layer reads.

    ``weight`` is flat, all parameters of the layer one after the other; ``gradient`` is of the layer's output;
    ``value`` is that output, and ``input_gradient`` what the layer has made, where its weight gradient is of itself;
    ``saved`` is what its forward returned beside the output; ``labels`` and the ``batch`` over which the loss is
    averaged are for the loss alone.
    """

    kind: Any
    output: Shape
    inputs: Sequence[AnyArray] = ()
    input_shapes: Sequence[Shape] = ()
    weight: AnyArray | None = None
    gradient: AnyArray | None = None
    value: AnyArray | None = None
    input_gradient: AnyArray | None = None
    saved: Mapping[str, AnyArray] = field(default_factory=dict)
    labels: AnyArray | None = None
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Kernels:
    """A kind's three phases: (output, saved), gradients of the inputs, gradient of the flat weight."""

    forward: Callable[[LayerOperands], tuple[AnyArray, dict[str, AnyArray]]]
    data_gradient: Callable[[LayerOperands], list[AnyArray]] | None = None
    weight_gradient: Callable[[LayerOperands], AnyArray] | None = None


def present(value: AnyArray | None) -> AnyArray:
    """A value that has to be there."""
    assert value is not None
    return value
