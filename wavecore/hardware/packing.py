"""Several equal products at a time in an array that holds the right operand, for products too small to fill it.

The products of a grouped convolution are independent and small: a channel of a 3x3 depthwise convolution is
``m x 9`` times ``9 x 1``, on 9 of 16,384 elements.  Two layouts put g of them side by side:

* **On the diagonal.**  The right operands are the blocks of a block-diagonal matrix, and the rows of the left operands
  are joined: ``m x gk`` times ``gk x gn``.  Elements outside the blocks hold zeros, which the loader writes: they are
  neither stored nor fetched.
* **Crosswise.**  The left operands are stacked and the right ones joined: ``gm x k`` times ``k x gn``.  Every left
  operand meets every right one; of the ``g x g`` products the g on the diagonal are kept.  This pays where k is long
  and m and n are short, as in the weight gradient, whose k is the positions of all samples: there, the diagonal would
  only divide the rows among products that can fill them alone.

Everything else is as for one product of these sizes: waves, cycles and the bytes of operands, registers and partial
sums, those of elements with a zero and of products that are thrown away included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.hardware.dataflows import dataflow_of, largest_tile
from wavecore.hardware.dataflows.base import GemmCost, GemmMatrix
from wavecore.hardware.specs import ArraySpec

Sizes = tuple[int, int, int]
"""The sizes m, k and n of a product."""

TOLERATED = 1.05  # [D] cycles of a layout over those of the fastest for which it is preferred if it multiplies less


class Layout(NamedTuple):
    """One way to run ``together`` equal products at a time: as a product of ``sizes``."""

    together: int
    crosswise: bool
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedCost:
    """What equal products cost a busy array, and the fill and drain of an idle one.

    ``cost.macs`` are those of the products themselves.  ``zero_macs`` are multiplications with a zero between blocks,
    ``discarded_macs`` those of products that are thrown away.
    """

    cost: GemmCost
    zero_macs: int
    discarded_macs: int
    fill_cycles: int
    drain_cycles: int

    def times(self, packs: int) -> PackedCost:
        """Return the cost of this ``packs`` times over."""
        return replace(
            self,
            cost=GemmCost().plus(self.cost, packs),
            zero_macs=self.zero_macs * packs,
            discarded_macs=self.discarded_macs * packs,
        )


def holds_right(array: ArraySpec) -> bool:
    """Whether the dataflow of ``array`` holds the right operand, as products side by side need it.

    An array that holds the product gives each element one result, so that products side by side leave as many elements
    idle as they would one after the other.
    """
    return dataflow_of(array).held is GemmMatrix.RIGHT


def layouts(array: ArraySpec, sizes: Sizes, count: int) -> Iterator[Layout]:
    """Yield the ways to run up to ``count`` equal products side by side; none where not even two fit the columns."""
    m, k, n = sizes
    most = largest_tile(array).n // n
    for together in sorted({-(-count // packs) for packs in range(1, count + 1)}):
        if 2 <= together <= most:
            yield Layout(together, False, (m, together * k, together * n))
            yield Layout(together, True, (together * m, k, together * n))


@lru_cache(maxsize=1 << 14)
def packed_cost(array: ArraySpec, sizes: Sizes, count: int, port_bytes_per_cycle: int) -> PackedCost | None:
    """Return what ``count`` equal products cost side by side, or None where not two fit.

    They run in packs, of which the last may be smaller.  Of the layouts within `TOLERATED` of the fewest cycles, with
    operands that come through a port of ``port_bytes_per_cycle``, it is the one that multiplies least.
    """
    found = [(layout, _in_packs(layout, array, sizes, count)) for layout in layouts(array, sizes, count)]
    if not found:
        return None
    cycles = [max(each.cost.issue_cycles, -(-each.cost.fetch_bytes // port_bytes_per_cycle)) for _, each in found]
    near = [each for (_, each), taken in zip(found, cycles, strict=True) if taken <= TOLERATED * min(cycles)]
    return min(near, key=lambda each: each.zero_macs + each.discarded_macs)


def _in_packs(layout: Layout, array: ArraySpec, sizes: Sizes, count: int) -> PackedCost:
    """Return the cost of ``count`` products in packs of a layout, and of what is left in a smaller one."""
    packs, left = divmod(count, layout.together)
    whole = _pack_cost(array, sizes, layout.together, layout.crosswise).times(packs)
    if not left:
        return whole
    rest = _pack_cost(array, sizes, left, layout.crosswise)
    return replace(
        whole,
        cost=whole.cost.plus(rest.cost),
        zero_macs=whole.zero_macs + rest.zero_macs,
        discarded_macs=whole.discarded_macs + rest.discarded_macs,
    )


@lru_cache(maxsize=1 << 14)
def _pack_cost(array: ArraySpec, sizes: Sizes, together: int, crosswise: bool) -> PackedCost:
    """Return the cost of one pack: that of a product of its sizes, without the zeros that nobody fetches."""
    (m, k, n), dataflow = sizes, dataflow_of(array)
    whole = (together * m, k, together * n) if crosswise else (m, together * k, together * n)
    cost = dataflow.gemm_cost(array, *whole)
    needed = m * k * n * together
    surplus = cost.macs - needed
    blocks = 0 if crosswise else together * (together - 1)  # of zeros
    zeros = blocks * k * n * dataflow.tiles(array, *whole).row_tiles * ELEMENT_BYTES
    return PackedCost(
        cost=replace(
            cost,
            macs=needed,
            fetch_bytes=cost.fetch_bytes - zeros,
            local_buffer_bytes=cost.local_buffer_bytes - 2 * zeros,  # neither written into the buffer nor read
        ),
        zero_macs=0 if crosswise else surplus,
        discarded_macs=surplus if crosswise else 0,
        fill_cycles=dataflow.fill_cycles(array, *whole),
        drain_cycles=dataflow.drain_cycles(array, *whole),
    )
