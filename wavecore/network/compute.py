"""What an operation computes: products of matrices on the array, and sweeps of the vector unit.

Nothing here knows hardware.  Sizes that grow with the mini-batch are per sample.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gemm:
    """``count`` equal products of m x k and k x n; ``batched`` names the dimension that grows with samples."""

    m: int
    k: int
    n: int
    batched: str = "m"
    count: int = 1

    def at(self, samples: int) -> tuple[int, int, int]:
        """The dimensions (m, k, n) of one product over ``samples`` samples."""
        if self.batched == "m":
            return self.m * samples, self.k, self.n
        return self.m, self.k * samples, self.n

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample, of all ``count`` products."""
        return self.m * self.k * self.n * self.count


@dataclass(frozen=True, slots=True)
class VectorPass:
    """One sweep of the vector unit: ``lane_operations`` fp32 multiply-adds on each of ``elements``."""

    elements: int
    lane_operations: int
    batched: bool = True
