"""How many bytes a sparse tensor takes in DRAM, in each of the encodings: exactly for a mask, expected for a density.

With n elements of which z are not zero, values of 2 bytes:

* ``bitmask``: one bit an element, and the values: ceil(n / 8) + 2 z;
* ``run_length``: before each value a run of at most 31 zeros in 5 bits (as Eyeriss, ISSCC 2016, has it); a longer run
  takes an entry more for every 32 zeros; zeros at the end are not written: ceil(21 entries / 8).  Where zeros are
  independent, a value takes 1 / (1 - (1 - d)^32) entries on average at density d: the geometric series of whole 32s;
* ``csr``: values, a column index each (2 bytes up to 65536 columns, 4 beyond), and 4-byte row starts:
  z (2 + index) + 4 (rows + 1).
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
    """A matrix of a tensor: its size, its non-zero elements, and the entries of its run-length code."""

    rows: int
    columns: int
    nonzeros: int
    entries: int

    @property
    def elements(self) -> int:
        """All elements."""
        return self.rows * self.columns


def of_mask(mask: Mask) -> Contents:
    """What a mask holds, exactly: rows are its first dimension, elements run through it in order."""
    import numpy as np

    whole = mask.array
    places = np.flatnonzero(whole)
    runs = np.diff(places, prepend=-1) - 1
    entries = int(len(places) + (runs // RUN).sum())
    rows = whole.shape[0] if whole.ndim > 1 else 1
    return Contents(rows, whole.size // max(1, rows), len(places), entries)


def of_density(rows: int, columns: int, density: float) -> Contents:
    """What to expect of so many elements that are not zero with probability ``density``, independently."""
    nonzeros = round(rows * columns * density)
    if not nonzeros:
        return Contents(rows, columns, 0, 0)
    return Contents(rows, columns, nonzeros, math.ceil(nonzeros / (1 - (1 - density) ** RUN)))


def bitmask_bytes(contents: Contents) -> int:
    """Bytes as a bitmask and values."""
    return -(-contents.elements // 8) + VALUE_BYTES * contents.nonzeros


def run_length_bytes(contents: Contents) -> int:
    """Bytes as runs of zeros and values."""
    return -(-contents.entries * (RUN_BITS + 8 * VALUE_BYTES) // 8)


def csr_bytes(contents: Contents) -> int:
    """Bytes as compressed sparse rows."""
    index = 2 if contents.columns <= 1 << 16 else 4
    return contents.nonzeros * (VALUE_BYTES + index) + ROW_START_BYTES * (contents.rows + 1)


ENCODINGS: Mapping[str, Callable[[Contents], int]] = {
    "bitmask": bitmask_bytes,
    "run_length": run_length_bytes,
    "csr": csr_bytes,
}


def best(contents: Contents) -> tuple[str, int]:
    """The encoding that takes the fewest bytes, `DENSE` where none is smaller, and its bytes."""
    found = DENSE, contents.elements * VALUE_BYTES
    for name, nbytes in ENCODINGS.items():
        if (taken := nbytes(contents)) < found[1]:
            found = name, taken
    return found
