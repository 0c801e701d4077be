"""Operands of products side by side in the array, laid out as `wavecore.hardware.packing` says, and their results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wavecore.hardware.packing import Layout

Matrix = NDArray[np.int64]


def packed_operands(lefts: Sequence[Matrix], rights: Sequence[Matrix], layout: Layout) -> tuple[Matrix, Matrix]:
    """Return the two operands of the one product that computes all ``lefts[i] @ rights[i]``."""
    if layout.crosswise:
        return np.vstack(lefts), np.hstack(rights)
    blocks = np.zeros(layout.sizes[1:], dtype=rights[0].dtype)
    for at, right in enumerate(rights):
        k, n = right.shape
        blocks[at * k : (at + 1) * k, at * n : (at + 1) * n] = right
    return np.hstack(lefts), blocks


def kept_products(product: Matrix, layout: Layout, m: int, n: int) -> list[Matrix]:
    """Return the results that are kept, in the order of the operands."""
    step = m if layout.crosswise else 0
    return [product[at * step : at * step + m, at * n : (at + 1) * n] for at in range(layout.together)]
