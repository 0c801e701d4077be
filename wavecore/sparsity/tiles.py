"""All-zero tiles of the operand that the array holds: the waves that a machine with tile skipping leaves out.

Forward, the stationary operand is the weights as a matrix of (inputs x taps) rows and one column an output; for the
data gradient, of (outputs x taps) rows and one column an input, with stride a matrix for every parity.  Of the weight
gradient it is the gradient, whose zeros are not known beforehand.  Rows are in the order of PyTorch's weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from wavecore.network.compute import Gemm
from wavecore.network.layers import Conv
from wavecore.network.layers.base import LayerKind, pair
from wavecore.network.shapes import Shape
from wavecore.network.sparsity import WeightFacts
from wavecore.training.operations import EmptyTiles, Phase

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans


def empty_tiles(
    facts: WeightFacts, phase: Phase, gemms: tuple[Gemm, ...], size: tuple[int, int], times: int = 1
) -> tuple[EmptyTiles, ...]:
    """The all-zero tiles of a layer's products on an array of ``size`` (rows, columns), as many ``times`` as they run.

    Counted where there is a mask.  Of a density d in blocks they are expected: (1 - d) to the number of blocks that a
    tile has, if blocks are zero independently; with single elements that is (1 - d)^16384 of the tiles of 128 x 128.
    """
    if facts.mask is None:
        return tuple(_expected(facts, gemms, size, times))
    counted: Counter[tuple[int, int, int]] = Counter()
    for pixels, matrix in _stationary(facts.mask.array, facts.kind, facts.shape, phase):
        rows, columns = matrix.shape
        at = next(i for i, g in enumerate(gemms) if (g.k, g.n) == (rows, columns) and pixels in (0, g.m))
        for tile_rows, tile_columns in _zero_tiles(matrix, size):
            counted[at, tile_rows, tile_columns] += 1
    return tuple(EmptyTiles(*key, count * times) for key, count in sorted(counted.items()))


def zero_tiles(matrix: Booleans, size: tuple[int, int]) -> int:
    """How many tiles of a matrix are all zero."""
    return sum(1 for _ in _zero_tiles(matrix, size))


def _zero_tiles(matrix: Booleans, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Rows and columns of each all-zero tile."""
    import numpy as np

    rows, columns = range(0, matrix.shape[0], size[0]), range(0, matrix.shape[1], size[1])
    held = np.logical_or.reduceat(np.logical_or.reduceat(matrix, list(rows), axis=0), list(columns), axis=1)
    for row, column in zip(*np.nonzero(~held), strict=True):
        top, left = rows[int(row)], columns[int(column)]
        yield min(size[0], matrix.shape[0] - top), min(size[1], matrix.shape[1] - left)


def _stationary(weights: Booleans, kind: LayerKind, shape: Shape, phase: Phase) -> Iterator[tuple[int, Booleans]]:
    """The matrices that a phase holds in the array, each with the pixels that it makes (0: the same for all)."""
    if not isinstance(kind, Conv):
        yield 0, weights.T if phase is Phase.FORWARD else weights
        return
    outputs = kind.out_channels // kind.groups
    for group in range(kind.groups):
        own = weights[group * outputs : (group + 1) * outputs]
        if phase is Phase.FORWARD:
            yield 0, own.reshape(outputs, -1).T
            continue
        for pixels, taps_y, taps_x in _parities(kind, shape):
            reached = own[:, :, taps_y][:, :, :, taps_x]  # (outputs, inputs, taps, taps)
            yield pixels, reached.transpose(0, 2, 3, 1).reshape(-1, own.shape[1])


def _parities(kind: Conv, shape: Shape) -> Iterator[tuple[int, list[int], list[int]]]:
    """Of each parity of an input position: how many positions, and the taps that reach them."""
    kernel, stride, padding = pair(kind.kernel), pair(kind.stride), pair(kind.padding)
    axes = [
        [
            (
                len(range(residue, size, stride[axis])),
                [tap for tap in range(kernel[axis]) if (residue + padding[axis] - tap) % stride[axis] == 0],
            )
            for residue in range(min(stride[axis], size))
        ]
        for axis, size in enumerate((shape.height, shape.width))
    ]
    for (height, taps_y), (width, taps_x) in product(*axes):
        if taps_y and taps_x:
            yield height * width, taps_y, taps_x


def _expected(facts: WeightFacts, gemms: tuple[Gemm, ...], size: tuple[int, int], times: int) -> Iterator[EmptyTiles]:
    """Whole tiles that are expected to be empty, rounded down."""
    for at, gemm in enumerate(gemms):
        sizes = Counter(
            (min(size[0], gemm.k - top), min(size[1], gemm.n - left))
            for top in range(0, gemm.k, size[0])
            for left in range(0, gemm.n, size[1])
        )
        for (rows, columns), count in sizes.items():
            blocks = -(-rows // facts.block[0]) * -(-columns // facts.block[1])
            empty = int(count * gemm.count // times * (1 - facts.density) ** blocks)
            if empty:
                yield EmptyTiles(at, rows, columns, empty * times)
