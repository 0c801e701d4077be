"""How the products of an operation run on the array: as they are, with trimmed waves, or side by side.

A data gradient with edges has small products there, which waves that leave out rows do without.  A grouped convolution
has a product of its own for each group, and those of a depthwise one are tiny.  Which mappings of those a machine
allows is in `MappingSpec`; `program.costs` takes the fastest of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.dataflows.base import GemmCost
from wavecore.hardware.packing import holds_right, packed_cost
from wavecore.hardware.specs import Accelerator, ArraySpec
from wavecore.program.commands import Mapping
from wavecore.training.operations import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayProducts:
    """The products of an operation in one mapping: what they cost a busy array, and its fill and drain.

    ``skipped_macs`` are in tiles that are left out, and not in ``cost``.  ``surplus_macs`` are multiplications beyond
    those that are needed.
    """

    mapping: Mapping
    cost: GemmCost
    fill_cycles: int
    drain_cycles: int
    skipped_macs: int = 0
    surplus_macs: int = 0


def array_products(op: Operation, samples: int, accelerator: Accelerator) -> Iterator[ArrayProducts]:
    """Yield the mappings to the array that the machine allows for an operation, the plainest first."""
    allowed, array = accelerator.mapping, accelerator.array
    if op.groups == 1 or allowed.by_group:
        yield _as_they_are(op, samples, array)
    if op.trimmed and (op.groups == 1 or allowed.by_group) and holds_right(array):
        yield _trimmed(op, samples, accelerator)
    if op.groups > 1 and allowed.packed and holds_right(array):
        yield _side_by_side(op, samples, accelerator)


@lru_cache(maxsize=65536)
def _gemm(array: ArraySpec, m: int, k: int, n: int) -> GemmCost:
    """Return the cost of one whole GEMM."""
    return dataflow_of(array).gemm_cost(array, m, k, n)


@lru_cache(maxsize=65536)
def _part(array: ArraySpec, sizes: tuple[int, int, int], rows: int, columns: int) -> GemmCost:
    """Return what waves over ``rows x columns`` of the right operand of a GEMM of these ``sizes`` (m, k, n) cost."""
    return dataflow_of(array).empty_tile_cost(array, *sizes, rows, columns)


def _as_they_are(op: Operation, samples: int, array: ArraySpec) -> ArrayProducts:
    """Return the cost of all products one after the other, without the tiles that are skipped."""
    total = saved = GemmCost()
    for gemm in op.gemms:
        total = total.plus(_gemm(array, *gemm.at(samples)), gemm.count_at(samples))
    for empty in op.empty_tiles:
        sizes = op.gemms[empty.gemm].at(samples)
        saved = saved.plus(_part(array, sizes, empty.rows, empty.columns), empty.count)
    dataflow, last = dataflow_of(array), op.gemms[-1].at(samples)
    return ArrayProducts(
        mapping=Mapping.PLAIN if op.groups == 1 else Mapping.BY_GROUP,
        cost=total.plus(saved, -1),
        fill_cycles=dataflow.fill_cycles(array, *last),
        drain_cycles=dataflow.drain_cycles(array, *last),
        skipped_macs=saved.macs,
    )


def _trimmed(op: Operation, samples: int, accelerator: Accelerator) -> ArrayProducts:
    """Return the cost of products of which each wave streams only the rows that one of its taps reaches.

    The results of a row tile stay in the accumulators, which the rows of a wave address; each wave streams its rows in
    equal parts to the tiles.  A row that is reached by some taps of a wave meets the others as zeros.
    """
    array, total, streamed = accelerator.array, GemmCost(), 0
    tile = dataflow_of(array).largest_tile(array)
    first = op.trimmed[0]
    for each in op.trimmed:
        inner = each.taps * each.depth
        positions = sum(rows for rows, _ in each.reached) * samples
        tiles = -(-positions // tile.m)
        for start in range(0, inner, tile.k):
            end = min(start + tile.k, inner)
            rows = each.rows(start // each.depth, (end - 1) // each.depth) * samples
            wave = _part(array, (-(-rows // tiles), inner, each.n), end - start, each.n)
            total = total.plus(wave, tiles * each.count)
            streamed += rows * (end - start) * each.n * each.count
        total = total.plus(GemmCost(output_tiles=tiles * -(-each.n // tile.n)), each.count)
    sizes = (tile.m, first.taps * first.depth, first.n)
    return ArrayProducts(
        mapping=Mapping.TRIMMED,
        cost=total,
        fill_cycles=dataflow_of(array).fill_cycles(array, *sizes),
        drain_cycles=dataflow_of(array).drain_cycles(array, *sizes),
        surplus_macs=0 if accelerator.sparsity.gating else streamed - op.macs * samples,
    )


def _side_by_side(op: Operation, samples: int, accelerator: Accelerator) -> ArrayProducts:
    """Return the cost of equal products in packs; those of which not even two fit the array run one after the other.

    A tile of several groups' weights is hardly ever all zero, so that none is skipped.  Zeros between the blocks rest
    where the machine gates multipliers; else they take the energy of any other multiplication.
    """
    array, port = accelerator.array, accelerator.core.array_port_bytes_per_cycle
    dataflow, total, surplus = dataflow_of(array), GemmCost(), 0
    fill = drain = 0
    for gemm in op.gemms:
        sizes, count = gemm.at(samples), gemm.count_at(samples)
        packs = packed_cost(array, sizes, count, port)
        if packs is None:
            total = total.plus(_gemm(array, *sizes), count)
            fill, drain = dataflow.fill_cycles(array, *sizes), dataflow.drain_cycles(array, *sizes)
            continue
        total = total.plus(packs.cost)
        surplus += packs.discarded_macs + (0 if accelerator.sparsity.gating else packs.zero_macs)
        fill, drain = packs.fill_cycles, packs.drain_cycles
    return ArrayProducts(mapping=Mapping.PACKED, cost=total, fill_cycles=fill, drain_cycles=drain, surplus_macs=surplus)
