"""A second, small dataflow of the array: ``--set array.dataflow=output_stationary``.

An ``m x n`` tile of the product stays in the processing elements while rows of B and columns of A stream past it, one
of each a cycle.  Element (i, j) adds step t of k in cycle t + i + j, and hands its finished sum to buffer C at once.
Tiles follow each other without a gap, and each takes the skew of the GEMM's first tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.hardware.dataflows.base import (
    ArrayBytes,
    Dataflow,
    GemmCycles,
    GemmMatrix,
    TileLimits,
)
from wavecore.hardware.specs import ArraySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStationary(Dataflow):
    def issue_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        return self.tiles(array, m, k, n).output_tiles * k

    def fill_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        return 0

    def drain_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        return min(m, array.rows) + min(n, array.columns) - 2

    def gemm_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> GemmCycles:
        stream, drain = self.issue_cycles(array, m, k, n), self.drain_cycles(array, m, k, n)
        return GemmCycles(
            tiles=self.tiles(array, m, k, n),
            macs=m * k * n,
            cycles=stream + drain,
            fill_cycles=0,
            stream_cycles=stream,
            weight_gap_cycles=0,
            drain_cycles=drain,
            first_output_cycle=k - 1,
            last_output_cycle=stream + drain - 1,
        )

    def array_bytes(self, array: ArraySpec, m: int, k: int, n: int) -> ArrayBytes:
        tiles = self.tiles(array, m, k, n)
        a_bytes = m * k * tiles.column_tiles * ELEMENT_BYTES
        b_bytes = k * n * tiles.row_tiles * ELEMENT_BYTES
        return ArrayBytes(
            a_fetch_bytes=a_bytes,
            b_fetch_bytes=b_bytes,
            local_a_write_bytes=a_bytes,
            local_a_read_bytes=a_bytes,
            local_b_write_bytes=b_bytes,
            local_b_read_bytes=b_bytes,
            local_c_write_bytes=m * n * ACCUMULATOR_BYTES,
            local_c_read_bytes=m * n * ACCUMULATOR_BYTES,
            product_bytes=m * n * ACCUMULATOR_BYTES,
            a_register_bytes=m * k * n * ELEMENT_BYTES,
            b_register_bytes=m * k * n * ELEMENT_BYTES,
            c_register_bytes=m * k * n * ACCUMULATOR_BYTES,
        )


OUTPUT_STATIONARY = OutputStationary(
    name="output_stationary",
    held=GemmMatrix.PRODUCT,
    limits=TileLimits(m="rows", k="tile_rows", n="columns"),
    scalesim="os",
)
DATAFLOWS = {"output_stationary": OUTPUT_STATIONARY}
