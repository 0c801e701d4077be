"""A result, put together from a plan, the counters of its program and the timing of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from wavecore.engines.timing import Timing, UnitTiming, mean_timing
from wavecore.hardware.area import area_mm2
from wavecore.hardware.specs import Accelerator, UnitKind
from wavecore.plan.model import Group, Plan
from wavecore.program.commands import RowKey
from wavecore.program.counters import COUNTERS
from wavecore.program.counts import RowCounts
from wavecore.results.energy import energy
from wavecore.results.run import (
    BoundCycles,
    BufferBytes,
    DramBytes,
    DramCapacityBytes,
    GroupSummary,
    LayerRow,
    PackedTensor,
    StallCycles,
)
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import TensorClass

_COUNTED_IN_TOTALS = [name for name, counter in COUNTERS.items() if counter.total and counter.total.key == name]
_COUNTED_IN_ROWS = [(name, counter.row.key) for name, counter in COUNTERS.items() if counter.row]


def total_values(
    plan: Plan,
    counts: RowCounts,
    path_cycles: int,
    capacity: Mapping[TensorClass, int],
    timing: Timing,
    accelerator: Accelerator,
    engine: str,
) -> dict[str, Any]:
    """Return every field of `Totals`, for a step whose program counts ``counts``.

    ``path_cycles`` is its critical path, and ``capacity`` are the bytes of DRAM that it needs.
    """
    cores, array = accelerator.chip.cores, accelerator.array
    arrays = _mean_array(timing, accelerator)
    seconds = timing.step_cycles / accelerator.chip.clock_hz
    batch = plan.batch_per_core * cores
    spent = energy(counts, timing.step_cycles, accelerator)
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
        **{name: getattr(counts, name) for name in _COUNTED_IN_TOTALS},
        "array_utilization": (counts.macs - counts.skipped_macs - counts.vector_macs)
        / (timing.step_cycles * array.rows * array.columns * cores),
        "array_occupancy": arrays.busy_cycles / timing.step_cycles,
        "dram_bytes": _dram(timing),
        "dram_capacity_bytes": DramCapacityBytes(**{name: capacity[kind] for kind, name in _CLASSES}),
        "global_buffer_bytes": BufferBytes(
            read=counts.buffer_read_bytes, write=counts.buffer_write_bytes, peak=timing.buffer_peak_bytes
        ),
        "stall_cycles": StallCycles(**{str(name): cycles for name, cycles in arrays.stall_cycles.items()}),
        "bound_cycles": BoundCycles(
            array=arrays.busy_cycles,
            vector=max(timing.units[name].busy_cycles for name in _names(accelerator, UnitKind.VECTOR)),
            dram=_dram_cycles(timing, accelerator),
            critical_path=path_cycles,
        ),
        "energy_joules": spent,
        "average_watts": spent.total / seconds,
        "energy_delay_joule_seconds": spent.total * seconds,
        "samples_per_joule": batch / spent.total,
        "area_mm2": area_mm2(accelerator),
        "group_count": len(plan.groups),
    }


def _dram_cycles(timing: Timing, accelerator: Accelerator) -> int:
    """Return the cycles that all bytes take at the bandwidth of DRAM's pins, rounded down."""
    nbytes = sum(timing.dram_bytes.values())
    return nbytes * accelerator.chip.clock_hz // accelerator.memory.bandwidth_bytes_per_second


def layer_rows(
    training: TrainingGraph, counts: Mapping[RowKey, RowCounts], timing: Timing, accelerator: Accelerator
) -> tuple[LayerRow, ...]:
    """Return a row for each layer and phase."""
    arrays, vectors = (_names(accelerator, kind) for kind in (UnitKind.ARRAY, UnitKind.VECTOR))
    rows = []
    for key, row in counts.items():
        unit = training.units[training.unit_index[key.layer]]
        timed = timing.rows[key]
        joules = energy(row, timed.cycles, accelerator)
        rows.append(
            LayerRow(
                name=unit.name,
                kind=unit.kind,
                fused=unit.fused,
                phase=key.phase,
                mapping="+".join(row.mappings),
                cycles=timed.cycles,
                array_busy_cycles=sum(timed.busy_cycles[name] for name in arrays),
                vector_busy_cycles=sum(timed.busy_cycles[name] for name in vectors),
                **{key: getattr(row, name) for name, key in _COUNTED_IN_ROWS},
                dram_read_bytes=row.dram_read_bytes,
                dram_write_bytes=row.dram_write_bytes,
                **{f"dram_{kind}_bytes": nbytes for kind, nbytes in _by_class(row.dram_bytes).items()},
                energy_joules=joules.total,
                **{f"energy_{part}_joules": value for part, value in asdict(joules).items()},
            )
        )
    return tuple(rows)


def _names(accelerator: Accelerator, kind: UnitKind) -> list[str]:
    """Return the names of a core's units of one kind."""
    return [unit.name for unit in accelerator.units if unit.kind is kind]


def _mean_array(timing: Timing, accelerator: Accelerator) -> UnitTiming:
    """Return the timing of a core's array; of several arrays, the mean."""
    return mean_timing([timing.units[name] for name in _names(accelerator, UnitKind.ARRAY)])


def group_summaries(groups: tuple[Group, ...], batch_per_core: int) -> tuple[GroupSummary, ...]:
    """Return the groups of a plan with their iterations."""
    return tuple(
        GroupSummary(layers=group.units, sub_batch=group.sub_batch, iterations=group.iterations(batch_per_core))
        for group in groups
    )


def packed_tensors(training: TrainingGraph) -> tuple[PackedTensor, ...]:
    """Return the tensors that are compressed in DRAM."""
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
    """Return the bytes of each class, both directions together."""
    return {name: moved.get((kind, False), 0) + moved.get((kind, True), 0) for kind, name in _CLASSES}


def _dram(timing: Timing) -> DramBytes:
    return DramBytes(
        read=sum(nbytes for (_, write), nbytes in timing.dram_bytes.items() if not write),
        write=sum(nbytes for (_, write), nbytes in timing.dram_bytes.items() if write),
        **_by_class(timing.dram_bytes),
    )
