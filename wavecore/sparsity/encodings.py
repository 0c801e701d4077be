"""Compute the bytes of a sparse tensor in DRAM for each encoding: exact for a mask, expected for a density.

For n elements, z of which are nonzero, and values of 2 bytes:

* ``bitmask``: one bit per element, and the values: ceil(n / 8) + 2 z bytes;
* ``run_length``: each entry is a run of at most 31 zeros in 5 bits and a value (as in Eyeriss, ISSCC 2016): ceil(21
  entries / 8) bytes.  A longer run takes one more entry for every 32 zeros; zeros at the end are not written.  If zeros
  are independent and d is the density, a value takes 1 / (1 - (1 - d)^32) entries on average (a geometric series);
* ``csr``: values, one column index each (2 bytes up to 65536 columns, else 4), and row starts of 4 bytes:
  z (2 + index bytes) + 4 (rows + 1) bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wavecore.network.sparsity import Mask

VALUE_BYTES = 2
RUN_BITS = 5
RUN = 1 << RUN_BITS
ROW_START_BYTES = 4
DENSE = "dense"


@dataclass(frozen=True, slots=True)
class Contents:
    """A tensor as a matrix: its size, its number of nonzero elements, and the entries of its run-length code."""

    rows: int
    columns: int
    nonzeros: int
    entries: int

    @property
    def elements(self) -> int:
        """Return the number of elements, zero or not."""
        return self.rows * self.columns


def of_mask(mask: Mask) -> Contents:
    """Return the exact contents of a mask, in row-major order; the first dimension is the rows."""
    import numpy as np

    array = mask.array
    positions = np.flatnonzero(array)
    runs = np.diff(positions, prepend=-1) - 1
    entries = int(len(positions) + (runs // RUN).sum())
    rows = array.shape[0] if array.ndim > 1 else 1
    return Contents(rows, array.size // max(1, rows), len(positions), entries)


def of_density(rows: int, columns: int, density: float) -> Contents:
    """Return the expected contents if each element is nonzero with probability ``density``, independently."""
    nonzeros = round(rows * columns * density)
    if not nonzeros:
        return Contents(rows, columns, 0, 0)
    return Contents(rows, columns, nonzeros, math.ceil(nonzeros / (1 - (1 - density) ** RUN)))


def bitmask_bytes(contents: Contents) -> int:
    """Return the bytes as a bitmask and values."""
    return -(-contents.elements // 8) + VALUE_BYTES * contents.nonzeros


def run_length_bytes(contents: Contents) -> int:
    """Return the bytes as runs of zeros and values."""
    return -(-contents.entries * (RUN_BITS + 8 * VALUE_BYTES) // 8)


def csr_bytes(contents: Contents) -> int:
    """Return the bytes as compressed sparse rows."""
    index = 2 if contents.columns <= 1 << 16 else 4
    return contents.nonzeros * (VALUE_BYTES + index) + ROW_START_BYTES * (contents.rows + 1)


ENCODINGS: Mapping[str, Callable[[Contents], int]] = {
    "bitmask": bitmask_bytes,
    "run_length": run_length_bytes,
    "csr": csr_bytes,
}


def best(contents: Contents) -> tuple[str, int]:
    """Return the encoding with the fewest bytes (`DENSE` if none is smaller than the dense tensor), and its bytes."""
    found = DENSE, contents.elements * VALUE_BYTES
    for name, nbytes in ENCODINGS.items():
        if (taken := nbytes(contents)) < found[1]:
            found = name, taken
    return found
