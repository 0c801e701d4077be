"""A GEMM on the weight-stationary array: its tiles, its cycles and its operand traffic, in closed form.

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

from wavecore.hardware.specs import ArraySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCounts:
    """How a GEMM is cut.  ``full_*`` is the size of every tile but a dimension's last, ``last_*`` of that.

    ``row_tiles`` cut m, ``depth_waves`` cut k, ``column_tiles`` cut n; where a dimension is not cut,
    ``full_*`` and ``last_*`` are both its size.
    """

    row_tiles: int
    depth_waves: int
    column_tiles: int
    output_tiles: int
    waves: int
    full_m: int
    last_m: int
    full_k: int
    last_k: int
    full_n: int
    last_n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmCycles:
    """One GEMM on an array that was idle before; cycle 0 is the one in which its first weight row enters.

    ``cycles = fill_cycles + stream_cycles + weight_gap_cycles + drain_cycles``:
    *fill* loads the first weights, *stream* is one cycle a row of A in every wave, *weight gap* is what
    streaming waits for weights between waves, *drain* lasts from the last operand row's entry to the last
    output, inclusive.  ``first_output_cycle`` and ``last_output_cycle`` are when the first and the last
    finished element of the product leave the array.
    """

    tiles: TileCounts
    macs: int
    cycles: int
    fill_cycles: int
    stream_cycles: int
    weight_gap_cycles: int
    drain_cycles: int
    first_output_cycle: int
    last_output_cycle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayBytes:
    """Operand traffic of one whole GEMM.

    ``a_fetch_bytes`` and ``b_fetch_bytes`` are read from the global buffer and written into the local
    buffers A and B; the rest are reads and writes of the local buffers, and writes of the elements'
    registers.  ``local_c_read_bytes`` includes reading the finished tiles out, ``product_bytes``.
    """

    a_fetch_bytes: int
    b_fetch_bytes: int
    local_a_write_bytes: int
    local_a_read_bytes: int
    local_b_write_bytes: int
    local_b_read_bytes: int
    local_c_write_bytes: int
    local_c_read_bytes: int
    product_bytes: int
    operand_register_bytes: int
    weight_register_bytes: int
    partial_sum_register_bytes: int


def tiles(array: ArraySpec, m: int, k: int, n: int) -> TileCounts:
    """Cut a GEMM into output tiles and waves.  Raises ValueError unless all sizes are positive."""
    _require_positive(m, k, n)
    row_tiles, full_m, last_m = _cut(m, array.tile_rows)
    depth_waves, full_k, last_k = _cut(k, array.rows)
    column_tiles, full_n, last_n = _cut(n, array.columns)
    return TileCounts(
        row_tiles=row_tiles,
        depth_waves=depth_waves,
        column_tiles=column_tiles,
        output_tiles=row_tiles * column_tiles,
        waves=row_tiles * column_tiles * depth_waves,
        full_m=full_m,
        last_m=last_m,
        full_k=full_k,
        last_k=last_k,
        full_n=full_n,
        last_n=last_n,
    )


def issue_cycles(array: ArraySpec, m: int, k: int, n: int) -> int:
    """Cycles that the GEMM occupies an array that is already busy: what one more of the same adds.

    The sum over all waves of their interval, with the wave's own k in place of the next one's; over a
    GEMM that is followed by its like, the two sums are equal.
    """
    _require_positive(m, k, n)
    return -(-n // array.columns) * _column_block_cycles(array, m, k)


def fill_cycles(array: ArraySpec, k: int, n: int) -> int:
    """Cycles before an idle array takes the first operand of a ``k x n`` weight tile: its weights' load.

    A k beyond the rows counts as the rows.  Columns load in each other's wake, so n does not matter.
    """
    _require_positive(k, n)
    return min(k, array.rows) if array.weight_load == "skewed" else array.rows


def drain_cycles(array: ArraySpec, k: int, n: int) -> int:
    """Cycles after the last operand row's entry until its last result has left a ``k x n`` tile.

    With e rows from entry to output edge: ``e - 1`` down and ``n - 1`` across.  Sizes beyond the array
    count as the array's.
    """
    return fill_cycles(array, k, n) + min(n, array.columns) - 2


def gemm_cycles(array: ArraySpec, m: int, k: int, n: int) -> GemmCycles:
    """Cycles of a GEMM on an idle array, from the first weight row to the last output, and their split.

    A last column block that is narrower than the others may finish before the one it follows; the
    drain lasts until both have.
    """
    cut = tiles(array, m, k, n)
    fill = fill_cycles(array, k, n)
    block = _column_block_cycles(array, m, k)
    last_gap = wave_cycles(array, cut.last_m, cut.full_k) - cut.last_m
    busy = cut.column_tiles * block - last_gap
    tail = drain_cycles(array, k, cut.last_n)
    if cut.column_tiles > 1:
        tail = max(tail, drain_cycles(array, k, cut.full_n) - block)
    cycles = fill + busy + tail
    stream = m * cut.depth_waves * cut.column_tiles
    first_tile = _depth_cycles(array, cut.full_m, k) - wave_cycles(array, cut.full_m, cut.full_k)
    return GemmCycles(
        tiles=cut,
        macs=m * k * n,
        cycles=cycles,
        fill_cycles=fill,
        stream_cycles=stream,
        weight_gap_cycles=busy - stream,
        drain_cycles=tail,
        first_output_cycle=fill + first_tile + drain_cycles(array, k, 1),
        last_output_cycle=cycles - 1,
    )


def utilization(array: ArraySpec, gemm: GemmCycles) -> float:
    """Return the share of the array's multiply-accumulate slots that ``gemm`` used, in (0, 1]."""
    return gemm.macs / (gemm.cycles * array.rows * array.columns)


def wave_cycles(array: ArraySpec, m: int, next_k: int) -> int:
    """Cycles from the start of a wave of ``m`` operand rows to the start of one of ``next_k`` weight rows."""
    if array.weight_load == "skewed":
        return max(m, next_k) if array.weight_double_buffering else m + next_k
    if array.weight_double_buffering:
        return max(m, 2 * array.rows + array.columns - 1)
    return 2 * array.rows + array.columns + m - 2


def array_bytes(
    array: ArraySpec, m: int, k: int, n: int, *, element_bytes: int = 2, accumulator_bytes: int = 4
) -> ArrayBytes:
    """Count the bytes that the GEMM moves between the global buffer, the local buffers and the registers.

    A wave fetches its tiles of A and B, streams them once, and adds ``m_i x n_i`` partial sums to C:
    the first wave of a tile writes them, every later one reads and writes, and the finished tile is read out.
    Registers: an operand is written into every element it visits and a partial sum into every row from
    the entry to the output edge; a weight into every row on its way to its own, and once more where an
    element latches it.  A global shift moves the whole array ``rows`` times and its tiles are padded.
    """
    cut = tiles(array, m, k, n)
    a_bytes = m * k * cut.column_tiles * element_bytes
    b_bytes = k * n * cut.row_tiles * element_bytes
    c_bytes = m * n * cut.depth_waves * accumulator_bytes
    operands, weights, partial_sums = _register_writes(array, cut, m, k, n)
    return ArrayBytes(
        a_fetch_bytes=a_bytes,
        b_fetch_bytes=b_bytes,
        local_a_write_bytes=a_bytes,
        local_a_read_bytes=a_bytes,
        local_b_write_bytes=b_bytes,
        local_b_read_bytes=b_bytes,
        local_c_write_bytes=c_bytes,
        local_c_read_bytes=c_bytes,
        product_bytes=m * n * accumulator_bytes,
        operand_register_bytes=operands * element_bytes,
        weight_register_bytes=weights * element_bytes,
        partial_sum_register_bytes=partial_sums * accumulator_bytes,
    )


def local_buffer_bytes(traffic: ArrayBytes) -> int:
    """All bytes read from and written to the local buffers A, B and C."""
    reads = traffic.local_a_read_bytes + traffic.local_b_read_bytes + traffic.local_c_read_bytes
    writes = traffic.local_a_write_bytes + traffic.local_b_write_bytes + traffic.local_c_write_bytes
    return reads + writes


def register_bytes(traffic: ArrayBytes) -> int:
    """All bytes written into the elements' registers."""
    return traffic.operand_register_bytes + traffic.weight_register_bytes + traffic.partial_sum_register_bytes


def _register_writes(array: ArraySpec, cut: TileCounts, m: int, k: int, n: int) -> tuple[int, int, int]:
    """Register writes of operands, weights and partial sums."""
    if array.weight_load == "global":
        elements = array.rows * array.columns
        moved = m * cut.depth_waves * cut.column_tiles * elements
        shifts = array.rows + int(array.weight_double_buffering)
        return moved, cut.waves * elements * shifts, moved
    column_shifts = (cut.depth_waves - 1) * _triangle(cut.full_k) + _triangle(cut.last_k)
    latches = k if array.weight_double_buffering else 0
    weights = n * cut.row_tiles * (column_shifts + latches)
    return m * k * n, weights, m * n * cut.depth_waves * cut.full_k


def _column_block_cycles(array: ArraySpec, m: int, k: int) -> int:
    """Steady-state cycles of all waves of one column block."""
    row_tiles, full_m, last_m = _cut(m, array.tile_rows)
    return (row_tiles - 1) * _depth_cycles(array, full_m, k) + _depth_cycles(array, last_m, k)


def _depth_cycles(array: ArraySpec, m: int, k: int) -> int:
    """Steady-state cycles of all waves of one output tile of ``m`` rows."""
    waves, full_k, last_k = _cut(k, array.rows)
    return (waves - 1) * wave_cycles(array, m, full_k) + wave_cycles(array, m, last_k)


def _cut(size: int, limit: int) -> tuple[int, int, int]:
    """Cut ``size`` into pieces of at most ``limit``: their number, the size of the first and of the last."""
    count = -(-size // limit)
    return count, min(size, limit), size - (count - 1) * limit


def _triangle(count: int) -> int:
    return count * (count + 1) // 2


def _require_positive(*sizes: int) -> None:
    if min(sizes) <= 0:
        raise ValueError(f"the sizes of a GEMM are positive, not {' x '.join(map(str, sizes))}")
