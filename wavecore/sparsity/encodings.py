"""The bytes that a sparse tensor takes in DRAM in each encoding: exact for a mask, expected for a density.

A tensor has n elements, of which z are not zero; a value takes 2 bytes.

* ``bitmask``: one bit per element, and the values: ceil(n / 8) + 2 z bytes.
* ``run_length``: entries of a 5-bit run of zeros (0 to 31) and the value behind it, as in Eyeriss (ISSCC 2016).  A
  longer run takes one more entry for every 32 zeros; zeros at the end are not written: ceil(21 entries / 8) bytes.
  Where elements are not zero with probability d, independently, a value takes 1 / (1 - (1 - d)^32) entries on average:
  the geometric series over the number of whole runs of 32 zeros before it.
* ``csr`` (compressed sparse rows): the values, a column index for each (2 bytes up to 65536 columns, 4 beyond), and a
  4-byte start for each row and the end: z (2 + index) + 4 (rows + 1) bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.network.sparsity import Mask

RUN_BITS = 5
RUN = 1 << RUN_BITS
ROW_START_BYTES = 4
DENSE = "dense"


@dataclass(frozen=True, slots=True)
class Contents:
    """A tensor as a matrix: its size, its non-zero elements, and the entries of its run-length code."""

    rows: int
    columns: int
    nonzeros: int
    entries: int

    @property
    def elements(self) -> int:
        """Return the number of all elements."""
        return self.rows * self.columns


def of_mask(mask: Mask) -> Contents:
    """Return the exact contents of a mask: its first dimension gives the rows, and elements follow in its order."""
    import numpy as np

    whole = mask.array
    places = np.flatnonzero(whole)
    runs = np.diff(places, prepend=-1) - 1
    entries = int(len(places) + (runs // RUN).sum())
    rows = whole.shape[0] if whole.ndim > 1 else 1
    return Contents(rows, whole.size // max(1, rows), len(places), entries)


def of_density(rows: int, columns: int, density: float) -> Contents:
    """Return the expected contents where elements are not zero with probability ``density``, independently."""
    nonzeros = round(rows * columns * density)
    if not nonzeros:
        return Contents(rows, columns, 0, 0)
    return Contents(rows, columns, nonzeros, math.ceil(nonzeros / (1 - (1 - density) ** RUN)))


def bitmask_bytes(contents: Contents) -> int:
    """Return the bytes as a bitmask and values."""
    return -(-contents.elements // 8) + ELEMENT_BYTES * contents.nonzeros


def run_length_bytes(contents: Contents) -> int:
    """Return the bytes as runs of zeros and values."""
    return -(-contents.entries * (RUN_BITS + 8 * ELEMENT_BYTES) // 8)


def csr_bytes(contents: Contents) -> int:
    """Return the bytes as compressed sparse rows."""
    index = 2 if contents.columns <= 1 << 16 else 4
    return contents.nonzeros * (ELEMENT_BYTES + index) + ROW_START_BYTES * (contents.rows + 1)


ENCODINGS: Mapping[str, Callable[[Contents], int]] = {
    "bitmask": bitmask_bytes,
    "run_length": run_length_bytes,
    "csr": csr_bytes,
}


def best(contents: Contents) -> tuple[str, int]:
    """Return the encoding that takes the fewest bytes, `DENSE` where none is smaller than that, and its bytes."""
    found = DENSE, contents.elements * ELEMENT_BYTES
    for name, nbytes in ENCODINGS.items():
        if (taken := nbytes(contents)) < found[1]:
            found = name, taken
    return found
