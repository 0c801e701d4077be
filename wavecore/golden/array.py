"""The weight-stationary array, register by register: an independent check of `hardware.dataflows.weight_stationary`.

The two modules share no code.

Every element holds an operand, a partial sum and one or two weights.  In each cycle all registers are read, and then
all are written at one clock edge:

* an operand moves one column to the right; a partial sum moves one row down, plus weight x operand;
* a weight moves one row down until it has reached its own row, and then stays;
* the first operand of a wave carries a mark: where it passes, an element with two weight registers
  latches the loaded weight and multiplies by it in the same cycle.

Row r of the operands enters r cycles after row 0, column c of the weights c cycles after column 0.  Cycle 0
is the one in which the first weight row enters; an output's cycle is the one in which the element at
the lower edge computes it.  The accumulators below the edge add the waves of an output tile, exactly
(int64 or float64).

With ``weight_load="skewed"`` everything enters at row ``rows - e``, ``e = min(K, rows)``, so a GEMM uses the
e rows next to the output edge.  With ``"global"`` one enable shifts all weights of the array at once, tiles
are padded to its size, and everything enters at row 0.

The controller decides from the state of the registers alone (see `_Controller`).  A start that would spoil a result
raises `HazardError`.  So tests can show that a timetable is the earliest: one start a cycle earlier raises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavecore.errors import InvariantError
from wavecore.hardware.specs import ArraySpec

Matrix = NDArray[Any]
EMPTY = -1


class HazardError(InvariantError):
    """Two words claim one register in the same cycle, or an operand arrives before its weight or partial sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A pass of an ``m x k`` tile of A (``a``) over a ``k x n`` tile of B (``b``), for the product at (row, column).

    ``product_columns`` is n without padding; ``finishes`` marks the last wave of its output tile.
    """

    a: Matrix
    b: Matrix
    row: int
    column: int
    product_columns: int
    finishes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """The cycle in which each wave's first weight row, and its first operand, enters the array."""

    load_cycles: tuple[int, ...]
    stream_cycles: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRun:
    """The product, when its elements left the array, and the register writes of all elements together."""

    product: Matrix
    cycles: int
    first_output_cycle: int
    last_output_cycle: int
    timetable: Timetable
    operand_writes: int
    weight_writes: int
    partial_sum_writes: int


def multiply(a: Matrix, b: Matrix, array: ArraySpec) -> ArrayRun:
    """Multiply ``a`` (M x K) by ``b`` (K x N) on an idle ``array``; return the product and its cycles."""
    return run_waves(cut_waves(a, b, array), array)


def cut_waves(a: Matrix, b: Matrix, array: ArraySpec) -> list[Wave]:
    """Cut a GEMM into waves: column blocks outermost, then row tiles, then depth.  Only the last of each may be short.

    Tiles are int64 where both matrices are of integers, else float64.
    """
    exact = np.int64 if np.issubdtype(np.result_type(a, b), np.integer) else np.float64
    waves = []
    for column in range(0, b.shape[1], array.columns):
        for row in range(0, a.shape[0], array.tile_rows):
            for depth in range(0, a.shape[1], array.rows):
                tile_a = a[row : row + array.tile_rows, depth : depth + array.rows].astype(exact)
                tile_b = b[depth : depth + array.rows, column : column + array.columns].astype(exact)
                width = tile_b.shape[1]
                if array.weight_load == "global":
                    tile_a = _pad(tile_a, tile_a.shape[0], array.rows)
                    tile_b = _pad(tile_b, array.rows, array.columns)
                finishes = depth + array.rows >= a.shape[1]
                waves.append(Wave(a=tile_a, b=tile_b, row=row, column=column, product_columns=width, finishes=finishes))
    return waves


def run_waves(waves: Sequence[Wave], array: ArraySpec, timetable: Timetable | None = None) -> ArrayRun:
    """Run ``waves`` in order on an idle ``array``, as early as its controller can or at the times of ``timetable``.

    The results of all waves for one element of the product are added.  Raises `HazardError` where a given timetable
    would spoil a result.
    """
    grid = _Grid(array, array.rows - max(wave.b.shape[0] for wave in waves), waves[0].a.dtype)
    controller = _Controller(waves, array, timetable)
    outputs = _Accumulators(waves, array.columns)
    cycle = 0
    while outputs.missing:
        controller.decide(cycle, grid)
        edges = _Edges(waves, controller, array, cycle, grid.entry)
        outputs.take(cycle, *grid.step(edges))
        cycle += 1
        if cycle > (len(waves) + 1) * 4 * (array.rows + array.columns + array.tile_rows):
            raise HazardError(f"cycle {cycle}", f"{outputs.missing} outputs never left the array")
    return ArrayRun(
        product=outputs.product,
        cycles=outputs.finish_cycles[-1] + 1,
        first_output_cycle=outputs.finish_cycles[0],
        last_output_cycle=outputs.finish_cycles[-1],
        timetable=controller.timetable(),
        operand_writes=grid.operand_writes,
        weight_writes=grid.weight_writes,
        partial_sum_writes=grid.partial_sum_writes,
    )


class _Controller:
    """Decides in each cycle, from what the registers hold, whether a load of weights or a stream of operands starts.

    A stream starts when its weights have entered and the stream before it has.  A load starts when the
    load before it has entered, and

    * skewed, two registers: the entry's first element has latched its loaded weight, or does so now;
    * skewed, one register: the stream before it has entered;
    * global, two registers: no element holds a loaded weight that it has not latched;
    * global, one register: the stream before it has entered and no element multiplies now.

    Only the first element of the entry row is examined: the rest of the array follows it in the same skew.
    """

    def __init__(self, waves: Sequence[Wave], array: ArraySpec, timetable: Timetable | None) -> None:
        self.waves = waves
        self.array = array
        self.given = timetable is not None
        self.loads: list[int] = list(timetable.load_cycles) if timetable else []
        self.streams: list[int] = list(timetable.stream_cycles) if timetable else []

    def timetable(self) -> Timetable:
        """Return the cycles of all starts."""
        return Timetable(load_cycles=tuple(self.loads), stream_cycles=tuple(self.streams))

    def decide(self, cycle: int, grid: _Grid) -> None:
        """Start a stream, a load, both or neither in ``cycle``; with a given timetable do nothing."""
        if self.given:
            return
        if self._may_stream(cycle):
            self.streams.append(cycle)
        if self._may_load(cycle, grid):
            self.loads.append(cycle)

    def _may_stream(self, cycle: int) -> bool:
        index = len(self.streams)
        if index >= len(self.loads):
            return False
        loaded = cycle >= self.loads[index] + self.waves[index].b.shape[0]
        return loaded and self._stream_has_entered(index - 1, cycle)

    def _may_load(self, cycle: int, grid: _Grid) -> bool:
        index = len(self.loads)
        if index == 0:
            return True
        if index == len(self.waves) or cycle < self.loads[-1] + self.waves[index - 1].b.shape[0]:
            return False
        if self.array.weight_double_buffering:
            if self.array.weight_load == "global":
                return not grid.unlatched.any()
            return not grid.unlatched[grid.entry, 0] or self.streams[-1:] == [cycle]
        if len(self.streams) < index or not self._stream_has_entered(index - 1, cycle):
            return False
        return self.array.weight_load == "skewed" or self._array_has_drained(index - 1, cycle, grid)

    def _stream_has_entered(self, index: int, cycle: int) -> bool:
        return index < 0 or cycle >= self.streams[index] + self.waves[index].a.shape[0]

    def _array_has_drained(self, index: int, cycle: int, grid: _Grid) -> bool:
        last_row_enters = self.streams[index] + self.waves[index].a.shape[0] + self.array.rows - 2
        return cycle > last_row_enters and not (grid.operand_hops > 0).any()


class _Edges:
    """The words that enter in one cycle: weights by column at the entry row, operands by row at the left edge.

    A word's hops are the elements that it still has to pass after the one it enters; `EMPTY` marks no word.
    ``first`` marks the first operand of a wave.  ``shift_all`` is the global enable, on while weights enter.
    """

    def __init__(self, waves: Sequence[Wave], controller: _Controller, array: ArraySpec, cycle: int, entry: int):
        self.cycle = cycle
        self.shift_all = False
        dtype = waves[0].a.dtype
        self.weight = np.zeros(array.columns, dtype)
        self.weight_hops = np.full(array.columns, EMPTY)
        self.operand = np.zeros(array.rows, dtype)
        self.operand_hops = np.full(array.rows, EMPTY)
        self.first = np.zeros(array.rows, bool)
        skew = 1 if array.weight_load == "skewed" else 0
        for wave, start in zip(waves, controller.loads, strict=False):
            self._feed_weights(wave.b, cycle - start, skew)
        for wave, start in zip(waves, controller.streams, strict=False):
            self._feed_operands(wave, cycle - start, entry)
        self.shift_all = not skew and bool((self.weight_hops != EMPTY).any())

    def _feed_weights(self, tile: Matrix, cycles_since_start: int, skew: int) -> None:
        depth, width = tile.shape
        if not 0 <= cycles_since_start < depth + width:
            return
        for column in range(width):
            hops = depth - 1 - (cycles_since_start - skew * column)
            if 0 <= hops < depth:
                self._require(self.weight_hops[column] == EMPTY, "two weights enter one column")
                self.weight[column] = tile[hops, column]
                self.weight_hops[column] = hops

    def _feed_operands(self, wave: Wave, cycles_since_start: int, entry: int) -> None:
        height, depth = wave.a.shape
        if not 0 <= cycles_since_start < height + depth:
            return
        for row in range(depth):
            index = cycles_since_start - row
            if 0 <= index < height:
                self._require(self.operand_hops[entry + row] == EMPTY, "two operands enter one row")
                self.operand[entry + row] = wave.a[index, row]
                self.operand_hops[entry + row] = wave.b.shape[1] - 1
                self.first[entry + row] = index == 0

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise HazardError(f"cycle {self.cycle}", what)


class _Grid:
    """The elements' registers, each a rows x columns matrix.

    ``loaded`` is the weight register in the shift chain: the second one, or the only one.
    ``unlatched`` marks a loaded weight that is in its place and that no wave has used yet.
    """

    def __init__(self, array: ArraySpec, entry: int, dtype: np.dtype[Any]) -> None:
        shape = (array.rows, array.columns)
        self.array = array
        self.entry = entry
        self.weight = np.zeros(shape, dtype)
        self.loaded = np.zeros(shape, dtype)
        self.loaded_hops = np.full(shape, EMPTY)
        self.unlatched = np.zeros(shape, bool)
        self.operand = np.zeros(shape, dtype)
        self.operand_hops = np.full(shape, EMPTY)
        self.first = np.zeros(shape, bool)
        self.partial_sum = np.zeros(shape, dtype)
        self.partial_sum_valid = np.zeros(shape, bool)
        self.operand_writes = self.weight_writes = self.partial_sum_writes = 0

    def step(self, edges: _Edges) -> tuple[NDArray[np.bool_], Matrix]:
        """Run one cycle; return which columns deliver a result at the lower edge, and the results.

        Raises `HazardError` as `_check` does, or if an operand meets no partial sum.
        """
        operand = _from_left(self.operand, edges.operand)
        operand_hops = _from_left(np.maximum(self.operand_hops, 0) - 1, edges.operand_hops)
        valid = operand_hops != EMPTY
        first = _from_left(self.first, edges.first) & valid
        captured, weight_in, hops_in = self._arriving_weights(edges)
        self._check(edges, captured, valid, first)

        sums = _from_above(self.partial_sum, self.entry, np.zeros_like(edges.weight))
        sums_valid = _from_above(self.partial_sum_valid, self.entry, valid[self.entry])
        if (valid & ~sums_valid).any():
            raise HazardError(f"cycle {edges.cycle}", "an operand meets no partial sum")
        if self.array.weight_double_buffering:
            self.weight = np.where(first, self.loaded, self.weight)
            self.weight_writes += int(first.sum())
        else:
            self.weight = self.loaded
        self.partial_sum = sums + np.where(valid, self.weight * operand, 0)
        self.partial_sum_valid = sums_valid
        self.operand, self.operand_hops, self.first = operand, operand_hops, first
        self.loaded = np.where(captured, weight_in, self.loaded)
        self.loaded_hops = np.where(captured, hops_in, np.minimum(self.loaded_hops, 0))
        self.unlatched = (self.unlatched & ~first & ~captured) | (captured & (hops_in == 0))
        self.operand_writes += int(valid.sum())
        self.weight_writes += int(captured.sum())
        self.partial_sum_writes += int(sums_valid.sum())
        return sums_valid[-1], self.partial_sum[-1]

    def _arriving_weights(self, edges: _Edges) -> tuple[NDArray[np.bool_], Matrix, Matrix]:
        """Return which elements take a weight at this clock edge, these weights, and the hops they have left."""
        weight_in = _from_above(self.loaded, self.entry, edges.weight)
        hops_in = _from_above(np.maximum(self.loaded_hops, 0) - 1, self.entry, edges.weight_hops)
        if self.array.weight_load == "global":
            return np.full(hops_in.shape, edges.shift_all), weight_in, hops_in
        return hops_in != EMPTY, weight_in, hops_in

    def _check(self, edges: _Edges, captured: Matrix, valid: Matrix, first: Matrix) -> None:
        """Raise `HazardError` if a wave arrives before its weights, or a weight is lost or moved while in use."""
        hazards = [(first & ~self.unlatched, "a wave arrives before its weights")]
        if self.array.weight_load == "global":
            moves = bool(captured.any())
            hazards.append((self.unlatched & moves, "all weights shift while one waits to be used"))
            if not self.array.weight_double_buffering:
                hazards.append((valid & moves, "all weights shift while an element multiplies"))
        else:
            hazards.append((captured & self.unlatched & ~first, "a weight is lost before it was used"))
            if not self.array.weight_double_buffering:
                hazards.append((captured & valid, "an element shifts and multiplies in one cycle"))
        for where, what in hazards:
            if where.any():
                raise HazardError(f"cycle {edges.cycle}, element {np.argwhere(where)[0].tolist()}", what)


class _Accumulators:
    """The accumulators below the lower edge, which hold the product.

    The results of a column arrive in the order of the waves, and of the rows in each; ``expected`` lists them.
    """

    def __init__(self, waves: Sequence[Wave], columns: int) -> None:
        rows = max(wave.row + wave.a.shape[0] for wave in waves)
        width = max(wave.column + wave.product_columns for wave in waves)
        self.product = np.zeros((rows, width), waves[0].a.dtype)
        self.finish_cycles: list[int] = []
        self.expected: list[list[tuple[Wave, int]]] = [
            [(wave, row) for wave in waves if column < wave.b.shape[1] for row in range(len(wave.a))][::-1]
            for column in range(columns)
        ]

    @property
    def missing(self) -> int:
        """The number of results that have not arrived yet, those of padded columns included."""
        return sum(map(len, self.expected))

    def take(self, cycle: int, valid: NDArray[np.bool_], results: Matrix) -> None:
        """Add the ``results`` of one cycle to the product, for the columns that are ``valid``."""
        for column in np.flatnonzero(valid):
            wave, row = self.expected[column].pop()
            if column < wave.product_columns:
                self.product[wave.row + row, wave.column + column] += results[column]
                if wave.finishes:
                    self.finish_cycles.append(cycle)


def _from_left(registers: Matrix, edge: Matrix) -> Matrix:
    """Return the registers of each element's left neighbour; the first column reads the ``edge``."""
    return np.concatenate([edge[:, None], registers[:, :-1]], axis=1)


def _from_above(registers: Matrix, entry: int, edge: Matrix) -> Matrix:
    """Return the registers of the element above each; the entry row reads the ``edge``, rows above it are idle."""
    return np.concatenate([registers[:entry], edge[None, :], registers[entry:-1]], axis=0)


def _pad(tile: Matrix, rows: int, columns: int) -> Matrix:
    """Pad a tile with zeros to ``rows`` x ``columns``."""
    return np.pad(tile, ((0, rows - tile.shape[0]), (0, columns - tile.shape[1])))
