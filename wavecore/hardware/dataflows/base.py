"""What a dataflow of the array is: the interface through which all other code asks for tiles, cycles and bytes.

A GEMM multiplies its left operand A (m x k) by its right operand B (k x n) and gives the product C (m x n).  A dataflow
says which of the three matrices the array holds while the other two stream through it, and what that costs.  To add
one, write a file with a subclass of `Dataflow` and add it to the table in `wavecore.hardware.dataflows`.

Units: sizes are elements of a matrix, cycles are core cycles, bytes count every element that is moved.  Operands are
fp16, partial sums and products fp32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

from wavecore.common.names import Name
from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.hardware.specs import ArraySpec

ArraySide = Literal["rows", "columns", "tile_rows"]


class GemmMatrix(Name):
    """One of the three matrices of a GEMM."""

    LEFT = "left"  # A, m x k
    RIGHT = "right"  # B, k x n
    PRODUCT = "product"  # C, m x n


class TileShape(NamedTuple):
    """The sizes of a tile: ``m x k`` of A, ``k x n`` of B and ``m x n`` of C."""

    m: int
    k: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLimits:
    """The field of `ArraySpec` that bounds each size of a tile."""

    m: ArraySide
    k: ArraySide
    n: ArraySide


@dataclass(frozen=True, slots=True)
class BufferNeed:
    """The bytes that one half of a local buffer must hold, and the formula that gives them."""

    nbytes: int
    formula: str


class PeakBytes(NamedTuple):
    """The most bytes a cycle that the array takes out of the local buffers A and B, and adds to C."""

    a: int
    b: int
    c: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCounts:
    """How a GEMM is cut.  ``full_*`` is the size of every tile but a dimension's last, ``last_*`` of that.

    ``row_tiles`` cut m, ``depth_waves`` cut k, ``column_tiles`` cut n; where a dimension is not cut,
    ``full_*`` and ``last_*`` are both its size.  ``output_tiles`` = row_tiles x column_tiles, and
    ``waves`` = output_tiles x depth_waves.
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
    """The cycles of one GEMM on an array that was idle before; cycle 0 is the first in which anything enters it.

    ``cycles = fill_cycles + stream_cycles + weight_gap_cycles + drain_cycles``:
    *fill* loads the first tile that the array holds, *stream* is one cycle for each vector that streams through in
    every wave, *weight gap* is what streaming waits between waves for the next tile to be loaded, *drain* lasts from
    the last streamed vector's entry to the last output, inclusive.  ``first_output_cycle`` and ``last_output_cycle``
    are when the first and the last finished element of the product leave the array.
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
    """The bytes that one whole GEMM moves on its way from the global buffer through the array.

    ``*_fetch_bytes`` are read from the global buffer and written into the local buffers A and B.  ``local_*_bytes``
    are reads and writes of the local buffers; ``local_c_read_bytes`` includes reading out the finished tiles,
    ``product_bytes``.  ``*_register_bytes`` are writes of the processing elements' registers: of elements of A, of
    elements of B, and of partial sums.
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
    a_register_bytes: int
    b_register_bytes: int
    c_register_bytes: int

    @property
    def fetch_bytes(self) -> int:
        """All bytes read from the global buffer."""
        return self.a_fetch_bytes + self.b_fetch_bytes

    @property
    def local_buffer_bytes(self) -> int:
        """All bytes read from and written to the local buffers A, B and C."""
        reads = self.local_a_read_bytes + self.local_b_read_bytes + self.local_c_read_bytes
        writes = self.local_a_write_bytes + self.local_b_write_bytes + self.local_c_write_bytes
        return reads + writes

    @property
    def register_bytes(self) -> int:
        """All bytes written into the elements' registers."""
        return self.a_register_bytes + self.b_register_bytes + self.c_register_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmCost:
    """What GEMMs cost an array that is busy before and after them.

    ``issue_cycles`` excludes fill and drain; ``fetch_bytes`` are read from the global buffer, ``local_buffer_bytes``
    are reads and writes of the local buffers, ``register_bytes`` writes of the elements' registers.
    """

    macs: int = 0
    issue_cycles: int = 0
    output_tiles: int = 0
    fetch_bytes: int = 0
    local_buffer_bytes: int = 0
    register_bytes: int = 0

    def plus(self, other: GemmCost, times: int = 1) -> GemmCost:
        """Return this cost and ``times`` the ``other`` one; a negative number of times takes it away."""
        return GemmCost(
            macs=self.macs + times * other.macs,
            issue_cycles=self.issue_cycles + times * other.issue_cycles,
            output_tiles=self.output_tiles + times * other.output_tiles,
            fetch_bytes=self.fetch_bytes + times * other.fetch_bytes,
            local_buffer_bytes=self.local_buffer_bytes + times * other.local_buffer_bytes,
            register_bytes=self.register_bytes + times * other.register_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataflow(ABC):
    """One way in which a GEMM passes through the array.

    ``name`` is the value of ``array.dataflow`` that chooses it.  ``held`` is the matrix of which the array holds a tile
    while the other two stream.  ``limits`` says which field of `ArraySpec` bounds each size of a tile: from these
    follow the tiles, the local buffers, and the row-tile height and panel width of the blocking in the global buffer.
    ``scalesim`` is SCALE-Sim's name of the same dataflow, or empty.
    """

    name: str
    held: GemmMatrix
    limits: TileLimits
    scalesim: str = ""

    @abstractmethod
    def issue_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        """Return the cycles that the GEMM occupies a busy array: what one more of the same GEMM adds."""

    @abstractmethod
    def fill_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        """Return the cycles from the first entry into an idle array until the GEMM's first streamed vector enters."""

    @abstractmethod
    def drain_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> int:
        """Return the cycles after the last streamed vector's entry until the last result of a tile has left.

        Sizes beyond those of a tile count as the tile's.
        """

    @abstractmethod
    def gemm_cycles(self, array: ArraySpec, m: int, k: int, n: int) -> GemmCycles:
        """Return the cycles of the whole GEMM on an idle array and their parts."""

    @abstractmethod
    def array_bytes(self, array: ArraySpec, m: int, k: int, n: int) -> ArrayBytes:
        """Return the bytes that the GEMM moves between the global buffer, the local buffers and the registers."""

    def largest_tile(self, array: ArraySpec) -> TileShape:
        """Return the sizes of the largest tile of a wave; ``k`` is the most that one wave adds up."""
        limits = self.limits
        return TileShape(getattr(array, limits.m), getattr(array, limits.k), getattr(array, limits.n))

    def peak_bytes(self, array: ArraySpec) -> PeakBytes:
        """Return the most bytes a cycle that stream: operands over the sides of the array, sums out of its columns."""
        return PeakBytes(
            a=array.rows * ELEMENT_BYTES, b=array.columns * ELEMENT_BYTES, c=array.columns * ACCUMULATOR_BYTES
        )

    def local_buffers(self, array: ArraySpec) -> dict[str, BufferNeed]:
        """Return what one half of each local buffer must hold, the largest tile of its matrix: keys a, b and c."""
        (m, k, n), by = self.largest_tile(array), self.limits
        return {
            "a": BufferNeed(m * k * ELEMENT_BYTES, f"array.{by.m} x array.{by.k} x {ELEMENT_BYTES} bytes"),
            "b": BufferNeed(k * n * ELEMENT_BYTES, f"array.{by.k} x array.{by.n} x {ELEMENT_BYTES} bytes"),
            "c": BufferNeed(m * n * ACCUMULATOR_BYTES, f"array.{by.m} x array.{by.n} x {ACCUMULATOR_BYTES} bytes"),
        }

    def tiles(self, array: ArraySpec, m: int, k: int, n: int) -> TileCounts:
        """Cut a GEMM into output tiles and waves.  Raises ValueError unless all sizes are positive."""
        require_positive(m, k, n)
        largest = self.largest_tile(array)
        row_tiles, full_m, last_m = cut(m, largest.m)
        depth_waves, full_k, last_k = cut(k, largest.k)
        column_tiles, full_n, last_n = cut(n, largest.n)
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

    def gemm_cost(self, array: ArraySpec, m: int, k: int, n: int) -> GemmCost:
        """Return what the whole GEMM costs an array that is busy before and after it."""
        traffic = self.array_bytes(array, m, k, n)
        return GemmCost(
            macs=m * k * n,
            issue_cycles=self.issue_cycles(array, m, k, n),
            output_tiles=self.tiles(array, m, k, n).output_tiles,
            fetch_bytes=traffic.fetch_bytes,
            local_buffer_bytes=traffic.local_buffer_bytes,
            register_bytes=traffic.register_bytes,
        )

    def held_tile(self, array: ArraySpec) -> tuple[int, int] | None:
        """Return the rows and columns of the largest tile of the held operand; None where the product is held.

        A machine that skips tiles leaves out every wave whose tile of this operand is all zero.
        """
        tile = self.largest_tile(array)
        if self.held is GemmMatrix.PRODUCT:
            return None
        return (tile.m, tile.k) if self.held is GemmMatrix.LEFT else (tile.k, tile.n)

    def empty_tile_cost(self, array: ArraySpec, m: int, k: int, n: int, rows: int, columns: int) -> GemmCost:
        """Return what the waves over one ``rows x columns`` tile of the held operand of the GEMM cost.

        It is what skipping saves where the tile is all zero: the cost of the tile as a GEMM of its own, without the
        output tiles, which other waves still finish.  Raises ValueError where the dataflow holds the product.
        """
        if self.held is GemmMatrix.PRODUCT:
            raise ValueError(f"{self.name} holds the product: no tile of an operand can be skipped")
        sizes = (rows, columns, n) if self.held is GemmMatrix.LEFT else (m, rows, columns)
        own = self.gemm_cost(array, *sizes)
        return own.plus(GemmCost(output_tiles=own.output_tiles), -1)


def utilization(array: ArraySpec, gemm: GemmCycles) -> float:
    """Return the share of the array's multiply-accumulate slots that ``gemm`` used, in (0, 1]."""
    return gemm.macs / (gemm.cycles * array.rows * array.columns)


def cut(size: int, limit: int) -> tuple[int, int, int]:
    """Cut ``size`` into pieces of at most ``limit``: their number, the size of the first and of the last."""
    count = -(-size // limit)
    return count, min(size, limit), size - (count - 1) * limit


def require_positive(*sizes: int) -> None:
    """Raise ValueError unless all sizes of a GEMM are positive."""
    if min(sizes) <= 0:
        raise ValueError(f"the sizes of a GEMM are positive, not {' x '.join(map(str, sizes))}")
