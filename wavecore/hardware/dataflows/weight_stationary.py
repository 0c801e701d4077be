"""The weight-stationary dataflow: a GEMM's tiles, its cycles and its operand traffic, in closed form.

A tile of the right operand B stays in the array: weights in a forward pass and a data gradient, hence the name, and a
gradient in a weight gradient.  "Weight" below means an element of B.

A GEMM of ``m x k`` times ``k x n`` is cut into output tiles of at most ``tile_rows x columns``; each is
accumulated over ``ceil(k / rows)`` *waves*.  A wave streams an ``m_i x k_i`` tile of A past the
``k_i x n_i`` tile of B held in the array.  Output tiles follow each other column block by column block,
inside a block row tile by row tile, the waves of one tile in a row, full sizes before the remainder.

**Where a tile sits.**  With ``weight_load="skewed"`` a GEMM uses the ``e = min(k, rows)`` rows next to the
output edge: operands, weights and partial sums have entries at that row, set once for the GEMM.  A tile
fills the ``k_i`` rows below the entry and the first ``n_i`` columns; the rows below a shorter tile only hand
partial sums on, so every wave takes the same ``e`` cycles from the entry to the output edge.
With ``"global"`` every tile is padded to the whole array.

**When a wave starts** (``start(i)``: its first operand enters; cycle 0: the first weight row enters):

=========  =================  ========================================
load       weight registers   start(i + 1) - start(i)
=========  =================  ========================================
skewed     two                max(m_i, k_{i+1})
skewed     one                m_i + k_{i+1}
global     two                max(m_i, 2 rows + columns - 1)
global     one                m_i + 2 rows + columns - 2
=========  =================  ========================================

An element with one weight register shifts weights or multiplies, never both in one cycle; one with two
latches the loaded weight when the wave's first operand reaches it and takes the next one at the same
clock edge.  A global shift enable rises in the cycle after the last element has latched (two registers)
or multiplied (one).  ``golden/array.py`` plays this register by register; the tests hold both equal.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.hardware.dataflows.base import (
    ArrayBytes,
    Dataflow,
    GemmCost,
    GemmCycles,
    GemmMatrix,
    TileCounts,
    TileLimits,
    cut,
    require_positive,
)
from wavecore.hardware.specs import ArraySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightStationary(Dataflow):
    """The dataflow of the module's rules: a tile of B stays in the array, rows of A stream past it."""

    def issue_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        """Return the cycles that the GEMM occupies an array that is already busy: what one more of the same adds.

        It is the sum over all waves of their interval, with the wave's own k in place of the next one's; if an
        equal GEMM follows, the two sums are equal.
        """
        require_positive(m, k, n)
        return -(-n // array.columns) * _column_block_cycles(array, m, k)

    def fill_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        """Return the cycles in which an idle array loads its first ``k x n`` tile of B.

        A k beyond the rows counts as the rows.  The columns load at the same time, each one cycle
        behind the one before it, so n does not matter.
        """
        require_positive(m, k, n)
        return _entry_rows(array, k)

    def drain_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        """Return the cycles after the last operand row's entry until its last result has left a ``k x n`` tile.

        With e rows from entry to output edge: ``e - 1`` down and ``n - 1`` across.  Sizes beyond the array
        count as the array's.
        """
        require_positive(m, k, n)
        return _entry_rows(array, k) + min(n, array.columns) - 2

    def gemm_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> GemmCycles:
        """Return the cycles of a GEMM on an idle array, from the first weight row to the last output, and their parts.

        A last column block that is narrower than the others may finish before the one it follows; the
        drain lasts until both have.
        """
        tiles = self.tiles(array, m, k, n)
        fill = self.fill_cycles(array, m, k, n)
        block = _column_block_cycles(array, m, k)
        last_gap = wave_cycles(array, tiles.last_m, tiles.full_k) - tiles.last_m
        busy = tiles.column_tiles * block - last_gap
        tail = self.drain_cycles(array, m, k, tiles.last_n)
        if tiles.column_tiles > 1:
            tail = max(tail, self.drain_cycles(array, m, k, tiles.full_n) - block)
        cycles = fill + busy + tail
        stream = m * tiles.depth_waves * tiles.column_tiles
        first_tile = _depth_cycles(array, tiles.full_m, k) - wave_cycles(array, tiles.full_m, tiles.full_k)
        return GemmCycles(
            tiles=tiles,
            macs=m * k * n,
            cycles=cycles,
            fill_cycles=fill,
            stream_cycles=stream,
            weight_gap_cycles=busy - stream,
            drain_cycles=tail,
            first_output_cycle=fill + first_tile + self.drain_cycles(array, m, k, 1),
            last_output_cycle=cycles - 1,
        )

    def array_bytes(self, array: ArraySpec, m: int, k: int, n: int) -> ArrayBytes:
        """Return the bytes that the GEMM moves between the global buffer, the local buffers and the registers.

        A wave fetches its tiles of A and B, streams them once, and adds ``m_i x n_i`` partial sums to C:
        the first wave of a tile writes them, every later one reads and writes, and the finished tile is read out.
        Registers: an operand is written into every element it visits and a partial sum into every row from
        the entry to the output edge; a weight into every row on its way to its own, and once more where an
        element latches it.  A global shift moves the whole array ``rows`` times and its tiles are padded.
        """
        tiles = self.tiles(array, m, k, n)
        a_bytes = m * k * tiles.column_tiles * ELEMENT_BYTES
        b_bytes = k * n * tiles.row_tiles * ELEMENT_BYTES
        c_bytes = m * n * tiles.depth_waves * ACCUMULATOR_BYTES
        operands, weights, partial_sums = _register_writes(array, tiles, m, k, n)
        return ArrayBytes(
            a_fetch_bytes=a_bytes,
            b_fetch_bytes=b_bytes,
            local_a_write_bytes=a_bytes,
            local_a_read_bytes=a_bytes,
            local_b_write_bytes=b_bytes,
            local_b_read_bytes=b_bytes,
            local_c_write_bytes=c_bytes,
            local_c_read_bytes=c_bytes,
            product_bytes=m * n * ACCUMULATOR_BYTES,
            a_register_bytes=operands * ELEMENT_BYTES,
            b_register_bytes=weights * ELEMENT_BYTES,
            c_register_bytes=partial_sums * ACCUMULATOR_BYTES,
        )

    def empty_tile_cost(self, array: ArraySpec, m: int, k: int, n: int, rows: int, columns: int) -> GemmCost:
        """Return what the waves over one ``rows x columns`` tile of B cost, and so what skipping it saves.

        With a skewed load, a tile that is shorter than the GEMM's entry hands its partial sums on through all rows from
        the entry to the output edge, not only through its own.
        """
        own = Dataflow.empty_tile_cost(self, array, m, k, n, rows, columns)
        if array.weight_load != "skewed":
            return own
        handed_on = m * columns * (_entry_rows(array, k) - rows)
        return own.plus(GemmCost(register_bytes=handed_on * ACCUMULATOR_BYTES))


WEIGHT_STATIONARY = WeightStationary(
    name="weight_stationary",
    held=GemmMatrix.RIGHT,
    limits=TileLimits(m="tile_rows", k="rows", n="columns"),
    scalesim="ws",
)


def wave_cycles(array: ArraySpec, m: int, next_k: int) -> int:
    """Return the cycles from the start of a wave of ``m`` operand rows to that of one of ``next_k`` weight rows.

    What exceeds ``m`` is the weight-load gap, in which no operand row enters.
    """
    if array.weight_load == "skewed":
        return max(m, next_k) if array.weight_double_buffering else m + next_k
    if array.weight_double_buffering:
        return max(m, 2 * array.rows + array.columns - 1)
    return 2 * array.rows + array.columns + m - 2


def _entry_rows(array: ArraySpec, k: int) -> int:
    """Return how many rows lie between a GEMM's entry and the output edge, both included."""
    return min(k, array.rows) if array.weight_load == "skewed" else array.rows


def _register_writes(array: ArraySpec, tiles: TileCounts, m: int, k: int, n: int) -> tuple[int, int, int]:
    """Return how often registers of operands, of weights and of partial sums are written."""
    if array.weight_load == "global":
        elements = array.rows * array.columns
        moved = m * tiles.depth_waves * tiles.column_tiles * elements
        shifts = array.rows + int(array.weight_double_buffering)
        return moved, tiles.waves * elements * shifts, moved
    column_shifts = (tiles.depth_waves - 1) * _triangle(tiles.full_k) + _triangle(tiles.last_k)
    latches = k if array.weight_double_buffering else 0
    weights = n * tiles.row_tiles * (column_shifts + latches)
    return m * k * n, weights, m * n * tiles.depth_waves * tiles.full_k


def _column_block_cycles(array: ArraySpec, m: int, k: int) -> int:
    """Return the steady-state cycles of all waves of one column block."""
    row_tiles, full_m, last_m = cut(m, array.tile_rows)
    return (row_tiles - 1) * _depth_cycles(array, full_m, k) + _depth_cycles(array, last_m, k)


def _depth_cycles(array: ArraySpec, m: int, k: int) -> int:
    """Return the steady-state cycles of all waves of one output tile of ``m`` rows."""
    waves, full_k, last_k = cut(k, array.rows)
    return (waves - 1) * wave_cycles(array, m, full_k) + wave_cycles(array, m, last_k)


def _triangle(count: int) -> int:
    """Return 1 + 2 + ... + ``count``."""
    return count * (count + 1) // 2
