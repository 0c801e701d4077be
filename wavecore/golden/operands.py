"""The arguments of the functions that compute a layer kind, and the table entry that holds these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from wavecore.network.shapes import Shape

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOperands:
    """What one operation of a layer reads; inputs, outputs and their gradients are (samples, channels, height, width).

    ``weight`` is flat: all parameters of the layer one after the other.  ``gradient`` is that of the layer's output.
    ``value`` (the layer's output) and ``input_gradient`` (that of its input) are given only where a layer's weight
    gradient reads them, as in an LSTM.  ``saved`` is what the layer's forward returned besides the output.
    ``labels``, and the ``batch`` size over which the loss is averaged, are used by the loss only.
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
    """The functions of a layer kind.

    ``forward`` returns the output and the arrays saved for backward, by name; ``data_gradient`` the gradients of the
    inputs, in order; ``weight_gradient`` the gradient of the flat weight.  Without a
    ``data_gradient`` a layer passes its gradient on to every input unchanged, or its input has none (an embedding).
    """

    forward: Callable[[LayerOperands], tuple[AnyArray, dict[str, AnyArray]]]
    data_gradient: Callable[[LayerOperands], list[AnyArray]] | None = None
    weight_gradient: Callable[[LayerOperands], AnyArray] | None = None


def present(value: AnyArray | None) -> AnyArray:
    """Return ``value``, which must not be None."""
    assert value is not None
    return value
