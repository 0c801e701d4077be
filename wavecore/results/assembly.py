"""A result put together from a plan, what its program counts, and when an engine says that things happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from wavecore.engines.timing import Timing
from wavecore.hardware.specs import Accelerator
from wavecore.plan.model import Group, Plan
from wavecore.program.counts import RowCounts, RowKey
from wavecore.results.energy import energy
from wavecore.results.run import BufferBytes, DramBytes, GroupSummary, LayerRow, PackedTensor, StallCycles, Totals
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass


def totals(plan: Plan, counts: RowCounts, timing: Timing, accelerator: Accelerator, engine: str) -> Totals:
    """The totals of a step whose program counts ``counts``."""
    return Totals(**total_values(plan, counts, timing, accelerator, engine))


def total_values(
    plan: Plan, counts: RowCounts, timing: Timing, accelerator: Accelerator, engine: str
) -> dict[str, Any]:
    """Every field of `Totals`."""
    cores, array = accelerator.chip.cores, accelerator.array
    seconds = timing.step_cycles / accelerator.chip.clock_hz
    batch = plan.batch_per_core * cores
    return {
        "workload": plan.workload,
        "schedule": plan.schedule,
        "accelerator": accelerator.name,
        "memory": accelerator.memory.name,
        "engine": engine,
        "batch": batch,
        "step_cycles": timing.step_cycles,
        "step_seconds": seconds,
        "samples_per_second": batch / seconds,
        "macs": counts.macs,
        "effectual_macs": counts.effectual_macs,
        "gated_macs": counts.gated_macs,
        "skipped_macs": counts.skipped_macs,
        "array_utilization": (counts.macs - counts.skipped_macs)
        / (timing.step_cycles * array.rows * array.columns * cores),
        "array_occupancy": timing.array_busy_cycles / timing.step_cycles,
        "dram_bytes": _dram(timing),
        "global_buffer_bytes": BufferBytes(
            read=counts.buffer_read_bytes, write=counts.buffer_write_bytes, peak=timing.buffer_peak_bytes
        ),
        "stall_cycles": StallCycles(
            dram=timing.stall_dram_cycles,
            vector=timing.stall_vector_cycles,
            dependency=timing.stall_dependency_cycles,
        ),
        "energy_joules": energy(counts, timing.step_cycles, accelerator),
        "group_count": len(plan.groups),
    }


def layer_rows(
    training: TrainingGraph, counts: Mapping[RowKey, RowCounts], timing: Timing, accelerator: Accelerator
) -> tuple[LayerRow, ...]:
    """A row for each layer and phase."""
    rows = []
    for key, row in counts.items():
        unit = training.units[training.unit_index[key[0]]]
        timed = timing.rows[key]
        joules = energy(row, timed.cycles, accelerator)
        rows.append(
            LayerRow(
                name=unit.name,
                kind=unit.kind,
                fused=unit.fused,
                phase=key[1],
                cycles=timed.cycles,
                array_busy_cycles=timed.array_busy_cycles,
                vector_busy_cycles=timed.vector_busy_cycles,
                macs=row.macs,
                effectual_macs=row.effectual_macs,
                gated_macs=row.gated_macs,
                skipped_macs=row.skipped_macs,
                vector_operations=row.vector_operations,
                dram_read_bytes=row.dram_read_bytes,
                dram_write_bytes=row.dram_write_bytes,
                **{f"dram_{kind}_bytes": nbytes for kind, nbytes in _by_class(row.dram_bytes).items()},
                global_buffer_read_bytes=row.buffer_read_bytes,
                global_buffer_write_bytes=row.buffer_write_bytes,
                energy_joules=joules.total,
                **{f"energy_{part}_joules": value for part, value in asdict(joules).items()},
            )
        )
    return tuple(rows)


def group_summaries(groups: tuple[Group, ...], batch_per_core: int) -> tuple[GroupSummary, ...]:
    """Return the groups of a plan with their iterations."""
    return tuple(
        GroupSummary(layers=group.units, sub_batch=group.sub_batch, iterations=group.iterations(batch_per_core))
        for group in groups
    )


def packed_tensors(training: TrainingGraph) -> tuple[PackedTensor, ...]:
    """The tensors that are compressed in DRAM."""
    return tuple(
        PackedTensor(
            tensor=tensor.name,
            traffic_class=str(tensor.tensor_class),
            encoding=tensor.encoding,
            dense_bytes=tensor.nbytes,
            packed_bytes=tensor.packed_bytes,
        )
        for tensor in training.tensors.values()
        if tensor.packed_bytes is not None
    )


_CLASSES = tuple((kind, str(kind)) for kind in TensorClass)


def _by_class(moved: Mapping[tuple[TensorClass, bool], int]) -> dict[str, int]:
    """Bytes of each class, both directions together."""
    return {name: moved.get((kind, False), 0) + moved.get((kind, True), 0) for kind, name in _CLASSES}


def _dram(timing: Timing) -> DramBytes:
    return DramBytes(
        read=sum(nbytes for (_, write), nbytes in timing.dram_bytes.items() if not write),
        write=sum(nbytes for (_, write), nbytes in timing.dram_bytes.items() if write),
        **_by_class(timing.dram_bytes),
    )
