"""What one command costs each unit of a core, and the accesses that its energy is made of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from wavecore.hardware.array import (
    array_bytes,
    drain_cycles,
    fill_cycles,
    issue_cycles,
    local_buffer_bytes,
    register_bytes,
    tiles,
)
from wavecore.hardware.specs import Accelerator, ArraySpec, UnitKind, UnitSpec
from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import ACCUMULATOR_BYTES
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.plan.placement import PlacedOperation
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import CommandCost, StageCost


@lru_cache(maxsize=65536)
def _gemm(array: ArraySpec, m: int, k: int, n: int) -> tuple[int, int, int, int, int]:
    """(issue cycles, output tiles, bytes fetched, local-buffer bytes, register bytes) of one GEMM."""
    traffic = array_bytes(array, m, k, n)
    return (
        issue_cycles(array, m, k, n),
        tiles(array, m, k, n).output_tiles,
        traffic.a_fetch_bytes + traffic.b_fetch_bytes,
        local_buffer_bytes(traffic),
        register_bytes(traffic),
    )


@lru_cache(maxsize=65536)
def _empty_tile(array: ArraySpec, m: int, depth: int, rows: int, columns: int) -> tuple[int, int, int, int, int]:
    """What the waves over one tile of a product of some depth cost, and so what leaving them out saves.

    It is what the tile costs as a product of its own; only, a shorter tile hands its partial sums on through all rows
    that the whole product uses.
    """
    issue, _, fetched, local, registers = _gemm(array, m, rows, columns)
    if array.weight_load == "skewed":
        registers += m * columns * (min(depth, array.rows) - rows) * ACCUMULATOR_BYTES
    return issue, 0, fetched, local, registers


def vector_unit(units: Iterable[UnitSpec], layer_kind: str) -> str:
    """Return the name of the unit on which the sweeps of a kind of layer run: the one that lists it, or any other's."""
    vectors = [unit for unit in units if unit.kind is UnitKind.VECTOR]
    own = [unit.name for unit in vectors if layer_kind in unit.layer_kinds]
    return (own or [unit.name for unit in vectors if not unit.layer_kinds])[0]


def command_work(
    placed: PlacedOperation, blocking: Blocking, samples: int, accelerator: Accelerator, layer_kind: str
) -> CommandCost:
    """Return the cycles and counts of one operation, of a layer of that kind, over ``samples`` samples."""
    reads = sum(
        read.nbytes * (samples if read.tensor.batched else 1) * use.passes
        for use, read in zip(placed.operation.reads, placed.reads, strict=True)
    )
    writes = sum(write.tensor.nbytes * (samples if write.tensor.batched else 1) for write in placed.writes)
    if placed.operation.gemms:
        return _gemm_work(placed, blocking, samples, accelerator, writes)
    operations, cycles = _vector(placed.operation.passes, samples, reads + writes, accelerator)
    return CommandCost(
        stages=(StageCost(vector_unit(accelerator.units, layer_kind), cycles),),
        vector_operations=operations,
        buffer_read_bytes=reads,
        buffer_write_bytes=writes,
    )


def _gemm_work(
    placed: PlacedOperation, blocking: Blocking, samples: int, accelerator: Accelerator, writes: int
) -> CommandCost:
    """A GEMM and its drain through the vector unit.

    Every round of the order `OUTPUT_STAYS` adds its products to the gradient in the buffer, so the drain repeats.
    """
    op, array = placed.operation, accelerator.array
    rounds = blocking.blocks if blocking.order == LoopOrder.OUTPUT_STAYS else 1
    issue = output_tiles = fetched = local = registers = 0
    for gemm in op.gemms:
        costs = _gemm(array, *gemm.at(samples))
        issue += costs[0] * gemm.count
        output_tiles += costs[1] * gemm.count
        fetched += costs[2] * gemm.count
        local += costs[3] * gemm.count
        registers += costs[4] * gemm.count
    skipped = 0
    for empty in op.empty_tiles:
        m, depth, _ = op.gemms[empty.gemm].at(samples)
        costs = _empty_tile(array, m, depth, empty.rows, empty.columns)
        skipped += m * empty.rows * empty.columns * empty.count
        issue -= costs[0] * empty.count
        fetched -= costs[2] * empty.count
        local -= costs[3] * empty.count
        registers -= costs[4] * empty.count
    macs = op.macs * samples
    nonzero = min(round(macs * op.effectual_share), macs - skipped)
    side = sum(read.nbytes * samples for read in placed.reads if read.role == "side" and read.tensor.batched)
    drained = side + writes * rounds + (writes * rounds if op.accumulates else 0)
    state = 2 * op.state_bytes * samples * op.time_steps  # written, and read in the next step
    operations, cycles = _vector(op.passes * rounds, samples, drained + state, accelerator, max(1, op.time_steps))
    _, depth, columns = op.gemms[-1].at(samples)
    return CommandCost(
        macs=macs,
        effectual_macs=nonzero,
        gated_macs=macs - skipped - nonzero if op.gated else 0,
        skipped_macs=skipped,
        stages=(
            StageCost(
                next(unit.name for unit in accelerator.units if unit.kind is UnitKind.ARRAY),
                cycles=max(issue, 1, -(-fetched // accelerator.core.array_port_bytes_per_cycle)),
                fill_cycles=fill_cycles(array, depth, columns),
                drain_cycles=drain_cycles(array, depth, columns),
            ),
            StageCost(vector_unit(accelerator.units, ""), cycles),
        ),
        output_tiles=output_tiles,
        vector_operations=operations,
        register_bytes=registers,
        local_buffer_bytes=local,
        buffer_read_bytes=fetched + side + state // 2 + (writes * rounds if op.accumulates else 0),
        buffer_write_bytes=writes * rounds + state // 2,
    )


def _vector(
    passes: Iterable[VectorPass], samples: int, port_bytes: int, accelerator: Accelerator, parts: int = 1
) -> tuple[int, int]:
    """(lane operations, cycles) of sweeps that move ``port_bytes`` through the vector unit's buffer port.

    Each of the equal ``parts`` starts anew.
    """
    operations = sum(sweep.elements * (samples if sweep.batched else 1) * sweep.lane_operations for sweep in passes)
    lanes = -(-operations // (parts * accelerator.vector.lanes))
    port = -(-port_bytes // (parts * accelerator.core.vector_port_bytes_per_cycle))
    return operations, (max(lanes, port) + accelerator.vector.startup_cycles) * parts


def update_work(
    placed: PlacedOperation, moves: Iterable[Transfer], remote_bytes: int, accelerator: Accelerator
) -> CommandCost:
    """Return a core's share of a layer's update; ``remote_bytes`` of other cores' gradients cross the interconnect."""
    cores = accelerator.chip.cores
    passes = [VectorPass(-(-sweep.elements // cores), sweep.lane_operations) for sweep in placed.operation.passes]
    reads = sum(move.nbytes for move in moves if not move.write)
    writes = sum(move.nbytes for move in moves if move.write)
    operations, cycles = _vector(passes, 1, reads + writes, accelerator)
    return CommandCost(
        stages=(StageCost(vector_unit(accelerator.units, ""), cycles),),
        vector_operations=operations,
        buffer_read_bytes=reads,
        buffer_write_bytes=writes,
        interconnect_bytes=remote_bytes,
    )
