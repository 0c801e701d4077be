"""Fold constants: compute the shapes, axes and limits that ONNX files derive from other constants and from shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from wavecore.importers.model import Activation, ConstantArray, Dims, Fixed, OperatorNode, Origin, unknown

LARGEST_CONSTANT = 1 << 15  # elements
LARGEST_STATE = 1 << 24  # elements of a constant of equal elements, such as the initial state of an LSTM

KnownValue = Activation | Fixed | None
Fold = Callable[[OperatorNode, Sequence[ConstantArray | None]], ConstantArray]
"""Computes the elements of a node's output from those of its inputs (None for an omitted input)."""


def fold(node: OperatorNode, inputs: Sequence[KnownValue]) -> Fixed | None:
    """Return the constant that a node makes; None if it depends on the data or cannot be computed here.

    Raises ValueError if the inputs do not fit together.
    """
    if node.operator == "Constant":
        constant = node.attributes.get("value")
        return constant if isinstance(constant, Fixed) else None
    if node.operator in ("Shape", "Size") and inputs and inputs[0] is not None:
        dims = np.array(inputs[0].dims, dtype=np.int64)
        return _computed(_shape(node, dims) if node.operator == "Shape" else dims.prod())
    first = inputs[0] if inputs else None
    if node.operator not in FOLDS or not isinstance(first, Fixed):
        return None
    rest = () if node.operator == "CastLike" else inputs[1:]
    if node.operator == "Concat" and all(isinstance(value, Fixed) for value in inputs):
        found = [value for value in inputs if isinstance(value, Fixed)]
        if not all(value.known for value in found):
            return unknown(_joined(node, [value.dims for value in found]))
    if any(value is not None and not (isinstance(value, Fixed) and value.known) for value in rest):
        return None
    if not first.known and node.operator not in (*VIEWS, "Slice"):
        return None
    array = _folded(node, [first.array, *(value.array if isinstance(value, Fixed) else None for value in rest)])
    if not first.known:
        return unknown(array.shape, first.origin)
    return replace(first, array=array) if node.operator in VIEWS else _computed(array)


def _folded(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    """Compute a node's output; ValueError if its inputs do not fit together."""
    try:
        with np.errstate(all="raise"):
            return np.asarray(FOLDS[node.operator](node, arrays))
    except (IndexError, TypeError, ArithmeticError, AttributeError) as problem:
        raise ValueError(f"its constants do not fit together ({problem})") from None


def _computed(array: ConstantArray) -> Fixed:
    return Fixed(np.asarray(array), True, Origin.COMPUTED)


def _bounded(elements: int) -> None:
    """Raise ValueError for a constant of more than `LARGEST_CONSTANT` elements."""
    if not 0 <= elements <= LARGEST_CONSTANT:
        raise ValueError(f"computes a constant of {elements} elements, more than the limit of {LARGEST_CONSTANT}")


def _array(arrays: Sequence[ConstantArray | None], index: int) -> ConstantArray:
    """Return input ``index``; ValueError if it is omitted."""
    array = arrays[index]
    if array is None:
        raise ValueError(f"input {index} is missing")
    return array


def _joined(node: OperatorNode, parts: Sequence[Dims]) -> Dims:
    """Return the shape of a concatenation of tensors whose elements are not all known."""
    axis, first = node.integer("axis", 0), parts[0]
    at = axis % len(first) if first else 0
    if any(part[:at] + part[at + 1 :] != first[:at] + first[at + 1 :] for part in parts) or not first:
        raise ValueError("its constants do not fit together")
    return (*first[:at], sum(part[at] for part in parts), *first[at + 1 :])


def _ints(array: ConstantArray) -> list[int]:
    _bounded(array.size)
    return [int(value) for value in array.reshape(-1)]


def _axes(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> tuple[int, ...] | None:
    """Return the axes of an operation: an input in new operator versions, an attribute in old ones."""
    if len(arrays) > 1 and arrays[1] is not None:
        return tuple(_ints(arrays[1]))
    return tuple(node.integers("axes")) if "axes" in node.attributes else None


def _shape(node: OperatorNode, dims: ConstantArray) -> ConstantArray:
    return dims[node.integer("start", 0) : node.integer("end", len(dims))]


def _same(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    return _array(arrays, 0)


def _gather(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    data, indices = _array(arrays, 0), _array(arrays, 1)
    axis = node.integer("axis", 0)
    _bounded(data.size * indices.size)
    return np.take(data, indices.astype(np.int64), axis)


def _concat(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    parts = [_array(arrays, index) for index in range(len(arrays))]
    _bounded(sum(part.size for part in parts))
    return np.concatenate(parts, node.integer("axis", 0))


def _slice(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    data = _array(arrays, 0)
    starts, ends = _ints(_array(arrays, 1)), _ints(_array(arrays, 2))
    given = arrays[3] if len(arrays) > 3 else None
    steps = arrays[4] if len(arrays) > 4 else None
    axes = list(range(len(starts))) if given is None else _ints(given)
    cut = [slice(None)] * data.ndim
    for at, axis in enumerate(axes):
        cut[axis] = slice(starts[at], ends[at], None if steps is None else _ints(steps)[at])
    return data[tuple(cut)]


def _squeeze(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    return np.squeeze(_array(arrays, 0), _axes(node, arrays))


def _unsqueeze(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    return np.expand_dims(_array(arrays, 0), _axes(node, arrays) or ())


def _transpose(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    return np.transpose(_array(arrays, 0), node.integers("perm") or None)


def _reshape(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    data = _array(arrays, 0)
    return data.reshape(target(data.shape, _ints(_array(arrays, 1)), bool(node.integer("allowzero", 0))))


def target(dims: Dims, wanted: Sequence[int], allow_zero: bool = False) -> Dims:
    """Return the sizes after a reshape of ``dims`` to ``wanted``: 0 keeps an axis's size, one -1 takes the rest.

    With ``allow_zero`` a 0 is an empty axis.  Raises ValueError if the number of elements differs.
    """
    kept = [
        dims[axis] if size == 0 and not allow_zero and axis < len(dims) else size for axis, size in enumerate(wanted)
    ]
    total, rest = prod(dims), prod(size for size in kept if size != -1)
    if kept.count(-1) == 1 and rest > 0 and total % rest == 0:
        kept[kept.index(-1)] = total // rest
    if prod(kept) != total or min(kept, default=1) < 0:
        raise ValueError(f"{total} elements do not fit the shape {'x'.join(map(str, wanted))}")
    return tuple(kept)


def _expand(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    data, wanted = _array(arrays, 0), _ints(_array(arrays, 1))
    dims = np.broadcast_shapes(data.shape, tuple(wanted))
    if data.size != 1 or prod(dims) > LARGEST_STATE:  # a broadcast of one element takes no memory
        _bounded(prod(dims))
    return np.broadcast_to(data, dims)


def _range(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    start, limit, delta = (_array(arrays, index).item() for index in range(3))
    _bounded(max(0, int((limit - start) / delta) + 1))
    return np.arange(start, limit, delta)


def _filled(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
    dims = _ints(_array(arrays, 0))
    if prod(dims) > LARGEST_STATE or min(dims, default=0) < 0:
        _bounded(prod(dims))
    value = node.attributes.get("value")
    return np.broadcast_to(np.array(value.array.item() if isinstance(value, Fixed) and value.known else 0), dims)


def _arithmetic(function: Callable[[ConstantArray, ConstantArray], ConstantArray]) -> Fold:
    """Return the fold of an elementwise operation on two inputs."""

    def folded(node: OperatorNode, arrays: Sequence[ConstantArray | None]) -> ConstantArray:
        left, right = _array(arrays, 0), _array(arrays, 1)
        _bounded(prod(np.broadcast_shapes(left.shape, right.shape)))
        return function(left, right)

    return folded


def _divide(left: ConstantArray, right: ConstantArray) -> ConstantArray:
    """Divide; integers stay integers, as in ONNX, whose rounding to zero equals rounding down for positive sizes."""
    return left // right if left.dtype.kind in "iu" and right.dtype.kind in "iu" else left / right


VIEWS: Mapping[str, Fold] = {
    "Identity": _same,
    "Cast": _same,
    "CastLike": _same,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
}
"""Operators that only change the shape of their first input, so that they also fold one of unknown elements."""

FOLDS: Mapping[str, Fold] = {
    **VIEWS,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Reshape": _reshape,
    "Expand": _expand,
    "Range": _range,
    "ConstantOfShape": _filled,
    "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract),
    "Mul": _arithmetic(np.multiply),
    "Div": _arithmetic(_divide),
}
