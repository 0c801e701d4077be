"""What an operation computes: products of matrices on the array, and sweeps of the vector unit.

Nothing here knows hardware.  Sizes that grow with the mini-batch are per sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.common.names import Name


class BatchedDimension(Name):
    """Which size of a GEMM grows with the samples: the size of a run is that size per sample times the samples."""

    M = "m"  # rows of the left operand are samples: forward and data gradient
    K = "k"  # the inner dimension is samples: weight gradient
    COUNT = "count"  # every sample has products of its own: two activations


@dataclass(frozen=True, slots=True)
class Gemm:
    """``count`` equal products of m x k and k x n, per sample; ``batched`` says which of the sizes grows with samples.

    Raises ValueError for a ``batched`` that is no `BatchedDimension`.
    """

    m: int
    k: int
    n: int
    batched: BatchedDimension = BatchedDimension.M
    count: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "batched", BatchedDimension(self.batched))

    def at(self, samples: int) -> tuple[int, int, int]:
        """Return the dimensions (m, k, n) of one product over ``samples`` samples."""
        if self.batched is BatchedDimension.M:
            return self.m * samples, self.k, self.n
        if self.batched is BatchedDimension.K:
            return self.m, self.k * samples, self.n
        return self.m, self.k, self.n

    def count_at(self, samples: int) -> int:
        """Return the number of products over ``samples`` samples."""
        return self.count * samples if self.batched is BatchedDimension.COUNT else self.count

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products, per sample."""
        return self.m * self.k * self.n * self.count


@dataclass(frozen=True, slots=True)
class TrimmedProduct:
    """``count`` products over windows of ``taps`` taps, of which waves leave out rows that none of their taps reaches.

    The inner dimension is ``taps`` times ``depth``, tap by tap.  ``reached`` are the rows per sample that the same taps
    reach, as (rows, taps), which are numbered from 0.
    """

    taps: int
    depth: int
    n: int
    count: int
    reached: tuple[tuple[int, frozenset[int]], ...]

    def rows(self, first: int, last: int) -> int:
        """Return the rows per sample that any of the taps from ``first`` to ``last`` reaches."""
        wave = range(first, last + 1)
        return sum(rows for rows, taps in self.reached if not taps.isdisjoint(wave))


@dataclass(frozen=True, slots=True)
class VectorPass:
    """One sweep of the vector unit: ``lane_operations`` fp32 multiply-adds on each of ``elements``."""

    elements: int
    lane_operations: int
    batched: bool = True
