"""The model that a reader hands to the builder: operations with their format's operator names, values and constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

ConstantArray = npt.NDArray[Any]
Dims = tuple[int, ...]
Axes = tuple[str, ...]


class Origin(StrEnum):
    """Where a value that does not depend on the data comes from."""

    STORED = "stored"  # in the model: a trained tensor or a constant
    INPUT = "input"  # an input of the model other than its data
    COMPUTED = "computed"  # computed from constants


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A value that does not depend on the data: its shape, and its elements if they are ``known``.

    Unknown elements are one zero that is broadcast (strides of 0), so that no shape takes memory.
    """

    array: ConstantArray
    known: bool
    origin: Origin

    @property
    def dims(self) -> Dims:
        """Return the sizes of the axes."""
        return self.array.shape

    @property
    def is_zero(self) -> bool:
        """Return whether all elements are known to be zero; of a broadcast element only one copy is read."""
        array = self.array if any(self.array.strides) else self.array[(slice(0, 1),) * self.array.ndim]
        return self.known and not array.any()


@dataclass(frozen=True, slots=True)
class Activation:
    """A value that depends on the data: the index of the layer that makes it, and the sizes of its axes, samples first.

    The axes of a sequence may be in any order; ``axes`` then names each of them (`wavecore.importers.axes`).
    """

    layer: int
    dims: Dims
    axes: Axes = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorNode:
    """One operation of a model.

    ``name`` is its name in messages; ``path`` is the dotted path of the module that it runs in, or empty.  ``inputs``
    and ``outputs`` are names of values; an omitted input is an empty string.  ``folded`` is True for a convolution into
    which a batch normalization seems to have been folded.
    """

    operator: str
    name: str
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    folded: bool = False

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute; ValueError if it is something else."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"its {name} is not an integer")
        return value

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """Return an attribute that is a list of integers; ValueError if it is something else."""
        value = self.attributes.get(name, default)
        if not isinstance(value, Sequence) or not all(isinstance(each, int) for each in value):
            raise ValueError(f"its {name} are not integers")
        return list(value)

    def number(self, name: str, default: float) -> float:
        """Return a numeric attribute; ValueError if it is something else."""
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            raise ValueError(f"its {name} is not a number")
        return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModel:
    """A model of one input, ``data``, whose axes have the sizes ``dims``, samples first.

    ``where`` locates the model in messages.  Data that are a ``sequence`` may have their steps first instead.
    ``open_axes`` are the axes whose size the model leaves open.
    """

    name: str
    where: str
    data: str
    dims: Dims
    fixed: Mapping[str, Fixed]
    nodes: tuple[OperatorNode, ...]
    outputs: tuple[str, ...]
    sequence: bool = False
    open_axes: frozenset[int] = frozenset()


class UnsupportedError(Exception):
    """Raised for an operation that no layer kind represents: ``what`` is unsupported about it, and ``advice``."""

    def __init__(self, what: str, advice: str = "") -> None:
        self.what = what
        self.advice = advice
        super().__init__(what)


def unknown(dims: Dims, origin: Origin = Origin.STORED) -> Fixed:
    """Return a value of which only the shape is known."""
    return Fixed(np.broadcast_to(np.zeros((), dtype=np.int8), dims), False, origin)
