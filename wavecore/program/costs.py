"""What one command costs each unit of a core, and the accesses that its energy is made of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.dataflows.base import GemmCost
from wavecore.hardware.specs import Accelerator, ArraySpec, UnitKind, UnitSpec
from wavecore.network.compute import VectorPass
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.plan.placement import PlacedOperation
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import CommandCost, StageCost
from wavecore.training.operations import Operation


@lru_cache(maxsize=65536)
def _gemm(array: ArraySpec, m: int, k: int, n: int) -> GemmCost:
    """Return the cost of one whole GEMM."""
    return dataflow_of(array).gemm_cost(array, m, k, n)


@lru_cache(maxsize=65536)
def _empty_tile(array: ArraySpec, sizes: tuple[int, int, int], rows: int, columns: int) -> GemmCost:
    """Return what one skipped ``rows x columns`` tile of a GEMM of these ``sizes`` (m, k, n) saves."""
    return dataflow_of(array).empty_tile_cost(array, *sizes, rows, columns)


def _gemms(op: Operation, samples: int, array: ArraySpec) -> tuple[GemmCost, int]:
    """Return the cost of all GEMMs of an operation, without the tiles that it skips, and the MACs of those."""
    total = saved = GemmCost()
    for gemm in op.gemms:
        total = total.plus(_gemm(array, *gemm.at(samples)), gemm.count_at(samples))
    for empty in op.empty_tiles:
        sizes = op.gemms[empty.gemm].at(samples)
        saved = saved.plus(_empty_tile(array, sizes, empty.rows, empty.columns), empty.count)
    return total.plus(saved, -1), saved.macs


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
    """Return the cost of an operation's GEMMs and of their results' way through the vector unit.

    The array takes the longer of its issue cycles and the time that its operands take through the buffer's array port.
    Every round of the order `OUTPUT_STAYS` adds its products to the gradient in the buffer, so results pass the vector
    unit once in each.  Where the operation accumulates, the fp32 partial sums of a weight gradient are read from the
    buffer and written back with every result.
    """
    op, array = placed.operation, accelerator.array
    rounds = blocking.blocks if blocking.order == LoopOrder.OUTPUT_STAYS else 1
    cost, skipped = _gemms(op, samples, array)
    macs = op.macs * samples
    effectual = min(round(macs * op.effectual_share), macs - skipped)
    side = sum(read.nbytes * samples for read in placed.reads if read.role in ("side", "drain") and read.tensor.batched)
    drained = side + writes * rounds + (writes * rounds if op.accumulates else 0)
    state = 2 * op.state_bytes * samples * op.time_steps  # written, and read in the next step
    operations, cycles = _vector(op.passes * rounds, samples, drained + state, accelerator, max(1, op.time_steps))
    dataflow, last = dataflow_of(array), op.gemms[-1].at(samples)
    return CommandCost(
        macs=macs,
        effectual_macs=effectual,
        gated_macs=macs - skipped - effectual if op.gated else 0,
        skipped_macs=skipped,
        stages=(
            StageCost(
                next(unit.name for unit in accelerator.units if unit.kind is UnitKind.ARRAY),
                cycles=max(cost.issue_cycles, 1, -(-cost.fetch_bytes // accelerator.core.array_port_bytes_per_cycle)),
                fill_cycles=dataflow.fill_cycles(array, *last),
                drain_cycles=dataflow.drain_cycles(array, *last),
            ),
            StageCost(vector_unit(accelerator.units, ""), cycles),
        ),
        output_tiles=cost.output_tiles,
        vector_operations=operations,
        register_bytes=cost.register_bytes,
        local_buffer_bytes=cost.local_buffer_bytes,
        buffer_read_bytes=cost.fetch_bytes + side + state // 2 + (writes * rounds if op.accumulates else 0),
        buffer_write_bytes=writes * rounds + state // 2,
    )


def _vector(
    passes: Iterable[VectorPass], samples: int, port_bytes: int, accelerator: Accelerator, parts: int = 1
) -> tuple[int, int]:
    """Return the lane operations and the cycles of sweeps that move ``port_bytes`` through the vector unit's port.

    A sweep takes the longer of its operations over the lanes and its bytes over the port.  The work is in equal
    ``parts``, each of which takes the pipeline's startup once.
    """
    operations = sum(sweep.elements * (samples if sweep.batched else 1) * sweep.lane_operations for sweep in passes)
    lanes = -(-operations // (parts * accelerator.vector.lanes))
    port = -(-port_bytes // (parts * accelerator.core.vector_port_bytes_per_cycle))
    return operations, (max(lanes, port) + accelerator.vector.startup_cycles) * parts


def update_work(
    placed: PlacedOperation, moves: Iterable[Transfer], remote_bytes: int, accelerator: Accelerator
) -> CommandCost:
    """Return the cost of a core's share of a layer's update; ``remote_bytes`` of gradients come from other cores."""
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
