"""All-zero tiles of weights: the waves over them are what a machine with tile skipping leaves out.

Weights are the right operand (k x n) of the products that read them.  In a forward pass that is a matrix with a row for
each input and tap and a column for each output.  In a data gradient it has a row for each output and tap and a column
for each input; positions that different taps reach have such matrices of their own.  Rows are in the order of
PyTorch's weights.  A weight gradient reads no weights, and the zeros of its operands are not known beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wavecore.network.compute import Gemm
from wavecore.network.layers import Conv
from wavecore.network.layers.base import LayerKind
from wavecore.network.layers.convolution import TapClass, gradient_classes
from wavecore.network.shapes import Shape
from wavecore.network.sparsity import WeightFacts
from wavecore.training.operations import EmptyTiles, Phase

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans


def empty_tiles(
    facts: WeightFacts, phase: Phase, gemms: tuple[Gemm, ...], size: tuple[int, int], times: int = 1
) -> tuple[EmptyTiles, ...]:
    """Return the all-zero tiles of at most ``size`` (rows, columns) of a layer's weights; products run ``times`` times.

    With a mask they are counted.  With only a density d of blocks, the expected number is returned: a tile of b blocks
    is all zero with probability (1 - d)^b if blocks are zero independently.  For single elements and tiles of 128 x 128
    that is (1 - d)^16384.
    """
    if facts.mask is None:
        return tuple(_expected(facts, gemms, size, times))
    counted: Counter[tuple[int, int, int]] = Counter()
    for pixels, matrix in _weight_matrices(facts.mask.array, facts.kind, facts.shape, phase):
        rows, columns = matrix.shape
        at = next(i for i, g in enumerate(gemms) if (g.k, g.n) == (rows, columns) and pixels in (0, g.m))
        for tile_rows, tile_columns in _zero_tiles(matrix, size):
            counted[at, tile_rows, tile_columns] += 1
    return tuple(EmptyTiles(*key, count * times) for key, count in sorted(counted.items()))


def zero_tiles(matrix: Booleans, size: tuple[int, int]) -> int:
    """Return how many tiles of at most ``size`` (rows, columns) of a matrix are all zero."""
    return sum(1 for _ in _zero_tiles(matrix, size))


def _zero_tiles(matrix: Booleans, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns of each all-zero tile."""
    import numpy as np

    rows, columns = range(0, matrix.shape[0], size[0]), range(0, matrix.shape[1], size[1])
    held = np.logical_or.reduceat(np.logical_or.reduceat(matrix, list(rows), axis=0), list(columns), axis=1)
    for row, column in zip(*np.nonzero(~held), strict=True):
        top, left = rows[int(row)], columns[int(column)]
        yield min(size[0], matrix.shape[0] - top), min(size[1], matrix.shape[1] - left)


def _weight_matrices(weights: Booleans, kind: LayerKind, shape: Shape, phase: Phase) -> Iterator[tuple[int, Booleans]]:
    """Yield the right operands of a phase's products, each with the pixels that its product makes (0: all of them)."""
    if not isinstance(kind, Conv):
        yield 0, weights.T if phase is Phase.FORWARD else weights
        return
    outputs = kind.out_channels // kind.groups
    for group in range(kind.groups):
        own = weights[group * outputs : (group + 1) * outputs]
        if phase is Phase.FORWARD:
            yield 0, own.reshape(outputs, -1).T
            continue
        for rows, columns in gradient_classes(kind, shape):
            yield rows.count * columns.count, _gradient_matrix(own, rows, columns)


def _gradient_matrix(own: Booleans, rows: TapClass, columns: TapClass) -> Booleans:
    """Return the right operand of a product of a data gradient from ``own``, a group's weights in PyTorch's shape."""
    down = own[:, :, [member.taps for member in rows.members]]  # (outputs, inputs, members, taps, taps)
    reached = down[:, :, :, :, [member.taps for member in columns.members]]
    outputs, inputs, below, taps_y, beside, taps_x = reached.shape
    return reached.transpose(0, 3, 5, 1, 2, 4).reshape(outputs * taps_y * taps_x, inputs * below * beside)


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
