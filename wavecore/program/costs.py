"""What one command costs each unit of a core, and the accesses that its energy is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wavecore.hardware.specs import Accelerator, UnitKind, UnitSpec
from wavecore.network.compute import VectorPass
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.plan.placement import PlacedOperation
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import CommandCost, Mapping, StageCost
from wavecore.program.mappings import ArrayProducts, array_products
from wavecore.training.operations import Operation


def vector_unit(units: Iterable[UnitSpec], layer_kind: str) -> str:
    """Return the name of the unit on which the sweeps of a kind of layer run: the one that lists it, or any other's."""
    vectors = [unit for unit in units if unit.kind is UnitKind.VECTOR]
    own = [unit.name for unit in vectors if layer_kind in unit.layer_kinds]
    return (own or [unit.name for unit in vectors if not unit.layer_kinds])[0]


def command_work(
    placed: PlacedOperation, blocking: Blocking, samples: int, accelerator: Accelerator, layer_kind: str
) -> CommandCost:
    """Return the cycles and counts of one operation, of a layer of that kind, over ``samples`` samples."""
    job = _Job(placed, samples, accelerator, layer_kind)
    return _products(job, blocking) if placed.operation.gemms else _sweeps(job)


@dataclass(frozen=True, slots=True)
class _Job:
    """One operation, of a layer of that kind, over ``samples`` samples on an accelerator."""

    placed: PlacedOperation
    samples: int
    accelerator: Accelerator
    layer_kind: str

    @property
    def op(self) -> Operation:
        """The operation."""
        return self.placed.operation

    @property
    def read_bytes(self) -> int:
        """Bytes that go from the buffer through the vector unit if it reads all."""
        return sum(
            read.nbytes * (self.samples if read.tensor.batched else 1) * use.passes
            for use, read in zip(self.op.reads, self.placed.reads, strict=True)
        )

    @property
    def write_bytes(self) -> int:
        """Bytes of all results."""
        return sum(write.tensor.nbytes * (self.samples if write.tensor.batched else 1) for write in self.placed.writes)


def _sweeps(job: _Job) -> CommandCost:
    """Return the cost of an operation without products."""
    reads, writes = job.read_bytes, job.write_bytes
    operations, cycles = _vector(job.op.passes, job.samples, reads + writes, job.accelerator)
    return CommandCost(
        stages=(StageCost(vector_unit(job.accelerator.units, job.layer_kind), cycles),),
        vector_operations=operations,
        buffer_read_bytes=reads,
        buffer_write_bytes=writes,
    )


def _products(job: _Job, blocking: Blocking) -> CommandCost:
    """Return the cost of an operation with products, in the mapping of which the busiest unit is done first.

    Every round of the order `OUTPUT_STAYS` adds its products to the gradient in the buffer, so results pass the vector
    unit once in each.
    """
    rounds = blocking.blocks if blocking.order == LoopOrder.OUTPUT_STAYS else 1
    costs = [_on_array(job, products, rounds) for products in array_products(job.op, job.samples, job.accelerator)]
    if job.op.groups > 1 and job.accelerator.mapping.vector:
        costs.append(_on_vector_unit(job, rounds))
    return min(costs, key=lambda cost: cost.longest_stage_cycles)


def _on_array(job: _Job, products: ArrayProducts, rounds: int) -> CommandCost:
    """Return the cost of products on the array and of their results' way through the vector unit.

    The array takes the longer of its issue cycles and the time that its operands take through the buffer's array port.
    Where the operation accumulates, the fp32 partial sums of a weight gradient are read from the buffer and written
    back with every result.
    """
    op, samples, accelerator, cost = job.op, job.samples, job.accelerator, products.cost
    macs, skipped = op.macs * samples, products.skipped_macs
    effectual = min(round(macs * op.effectual_share), macs - skipped)
    beside = ("side", "drain")
    side = sum(read.nbytes * samples for read in job.placed.reads if read.role in beside and read.tensor.batched)
    written = job.write_bytes * rounds
    sums = written if op.accumulates else 0
    state = 2 * op.state_bytes * samples * op.time_steps  # written, and read in the next step
    operations, cycles = _vector(
        op.passes * rounds, samples, side + written + sums + state, accelerator, max(1, op.time_steps)
    )
    return CommandCost(
        mapping=products.mapping,
        macs=macs,
        effectual_macs=effectual,
        gated_macs=macs - skipped - effectual if op.gated else 0,
        skipped_macs=skipped,
        surplus_macs=products.surplus_macs,
        stages=(
            StageCost(
                next(unit.name for unit in accelerator.units if unit.kind is UnitKind.ARRAY),
                cycles=max(cost.issue_cycles, 1, -(-cost.fetch_bytes // accelerator.core.array_port_bytes_per_cycle)),
                fill_cycles=products.fill_cycles,
                drain_cycles=products.drain_cycles,
            ),
            StageCost(vector_unit(accelerator.units, ""), cycles),
        ),
        output_tiles=cost.output_tiles,
        vector_operations=operations,
        register_bytes=cost.register_bytes,
        local_buffer_bytes=cost.local_buffer_bytes,
        buffer_read_bytes=cost.fetch_bytes + side + state // 2 + sums,
        buffer_write_bytes=written + state // 2,
    )


def _on_vector_unit(job: _Job, rounds: int) -> CommandCost:
    """Return the cost of products as lane operations, one for each multiply-accumulate, beside those of the drain.

    As in a pooling layer, operands pass the port once: neighbouring windows find what they share in the lanes.
    """
    op, samples = job.op, job.samples
    macs, reads = op.macs * samples, job.read_bytes
    written = job.write_bytes * rounds
    sums = written if op.accumulates else 0
    taps = VectorPass(macs, 1, batched=False)
    operations, cycles = _vector((taps, *op.passes * rounds), samples, reads + written + sums, job.accelerator)
    return CommandCost(
        mapping=Mapping.VECTOR,
        macs=macs,
        effectual_macs=round(macs * op.effectual_share),
        vector_macs=macs,
        stages=(StageCost(vector_unit(job.accelerator.units, job.layer_kind), cycles),),
        vector_operations=operations,
        buffer_read_bytes=reads + sums,
        buffer_write_bytes=written,
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
