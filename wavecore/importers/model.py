"""What a reader hands to the builder: a model's operations, in the words of its format, and what they read."""

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
    """Where a value that is no activation comes from."""

    STORED = "stored"  # with the model: a trained tensor, or a constant
    INPUT = "input"  # an input of the model beside its data
    COMPUTED = "computed"  # from constants


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A value that does not depend on the data: its shape, and its elements where they are ``known``.

    Elements that are not known are a zero with strides of zero, so that no size takes memory.
    """

    array: ConstantArray
    known: bool
    origin: Origin

    @property
    def dims(self) -> Dims:
        """The sizes of its axes."""
        return self.array.shape

    @property
    def is_zero(self) -> bool:
        """Whether all elements are known to be zero; of those that are one and the same, one is looked at."""
        array = self.array if any(self.array.strides) else self.array[(slice(0, 1),) * self.array.ndim]
        return self.known and not array.any()


@dataclass(frozen=True, slots=True)
class Activation:
    """A value that depends on the data: the layer that makes it, and its axes as the model has them, samples first.

    The axes of a sequence may be in any order; ``axes`` then say what they are (`wavecore.importers.sequences`).
    """

    layer: int
    dims: Dims
    axes: Axes = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorNode:
    """One operation.

    ``name`` is what messages call it; ``path`` the module it runs in, dotted, or empty.  ``inputs`` and ``outputs``
    name values, an input that is left out being empty.  ``folded``: a convolution that a batch normalization seems to
    have been folded into.
    """

    operator: str
    name: str
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    folded: bool = False

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number; ValueError if it is something else."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"its {name} is no whole number")
        return value

    def wholes(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """An attribute that is a list of them."""
        value = self.attributes.get(name, default)
        if not isinstance(value, Sequence) or not all(isinstance(each, int) for each in value):
            raise ValueError(f"its {name} are no whole numbers")
        return list(value)

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            raise ValueError(f"its {name} is no number")
        return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModel:
    """A model of one input, ``data`` of size ``dims``, samples first; ``where`` messages find it.

    Data that are a ``sequence`` may have their steps first.  ``loose`` are its axes that the model leaves open.
    """

    name: str
    where: str
    data: str
    dims: Dims
    fixed: Mapping[str, Fixed]
    nodes: tuple[OperatorNode, ...]
    outputs: tuple[str, ...]
    sequence: bool = False
    loose: frozenset[int] = frozenset()


class UnsupportedError(Exception):
    """An operation that no layer kind stands for: ``what`` is special about it, and what can be done."""

    def __init__(self, what: str, advice: str = "") -> None:
        self.what = what
        self.advice = advice
        super().__init__(what)


def unknown(dims: Dims, origin: Origin = Origin.STORED) -> Fixed:
    """A value of which only the shape is known."""
    return Fixed(np.broadcast_to(np.zeros((), dtype=np.int8), dims), False, origin)
