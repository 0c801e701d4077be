"""Count all-zero tiles of the array's stationary operand, whose waves a machine with tile skipping leaves out.

In forward the stationary operand is the weights as a matrix of (inputs x taps) rows and one column per output.  In the
data gradient it has (outputs x taps) rows and one column per input; with a stride there is one such matrix per parity
of the input position.  In the weight gradient it is the output's gradient, whose zeros are not known in advance, so no
tile is skipped.  Rows are in the order of PyTorch's weights.
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
    """Return the all-zero tiles of a layer's products on an array of ``size`` (rows, columns).

    ``times`` is how often each product runs.  With a mask the tiles are counted.  With a density d, blocks are assumed
    to be zero independently: the expected share of empty tiles is (1 - d) to the power of the number of blocks per
    tile, which for single elements in tiles of 128 x 128 is (1 - d)^16384.
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
    """Return the number of all-zero tiles of a matrix, for tiles of ``size`` (rows, columns)."""
    return sum(1 for _ in _zero_tiles(matrix, size))


def _zero_tiles(matrix: Booleans, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns of each all-zero tile; tiles at the border are smaller."""
    import numpy as np

    rows, columns = range(0, matrix.shape[0], size[0]), range(0, matrix.shape[1], size[1])
    held = np.logical_or.reduceat(np.logical_or.reduceat(matrix, list(rows), axis=0), list(columns), axis=1)
    for row, column in zip(*np.nonzero(~held), strict=True):
        top, left = rows[int(row)], columns[int(column)]
        yield min(size[0], matrix.shape[0] - top), min(size[1], matrix.shape[1] - left)


def _stationary(weights: Booleans, kind: LayerKind, shape: Shape, phase: Phase) -> Iterator[tuple[int, Booleans]]:
    """Yield the stationary matrices of a phase, each with the pixels of its product (0 if they do not matter)."""
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
    """Yield for each parity of the input position: the number of positions, and the kernel taps that reach them."""
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
    """Yield the expected number of all-zero tiles of each size, rounded down."""
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
