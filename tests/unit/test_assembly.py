"""Does each figure of a result come from the count or the time that it is defined by?  All inputs are made by hand."""

from __future__ import annotations

import pytest
from builders import SCHEDULES, chain, machine

from wavecore.engines.timing import RowTiming, Stall, Timing, UnitTiming
from wavecore.plan.model import Plan
from wavecore.program.commands import RowKey
from wavecore.program.counts import RowCounts
from wavecore.results.assembly import group_summaries, layer_rows, total_values
from wavecore.results.run import Totals
from wavecore.training.operations import Phase, TensorClass
from wavecore.training.unroll import training_graph

KINDS = tuple(TensorClass)
MOVED = {
    (kind, write): 10 ** (2 * KINDS.index(kind)) * (2 if write else 1) for kind in KINDS for write in (False, True)
}
READ, WRITTEN = 10101010101, 20202020202  # a 1 read and a 2 written at every other place, by class
CAPACITY = {kind: 10**place for place, kind in enumerate(KINDS)}
COUNTS = {
    "macs": 2 * 128 * 128 * 350,  # 350 cycles of both arrays
    "effectual_macs": 5,
    "gated_macs": 2 * 128 * 128 * 50,
    "skipped_macs": 2 * 128 * 128 * 100,
    "vector_operations": 7,
    "register_bytes": 11,
    "local_buffer_bytes": 13,
    "buffer_read_bytes": 17,
    "buffer_write_bytes": 19,
    "interconnect_bytes": 23,
}
TIMING = Timing(
    step_cycles=1000,
    rows={
        RowKey("one", Phase.FORWARD): RowTiming(600, {"array": 300, "vector": 200}),
        RowKey("two", Phase.UPDATE): RowTiming(400, {"array": 0, "vector": 100}),
    },
    units={
        "array": UnitTiming(busy_cycles=400, stall_cycles=dict(zip(Stall, (300, 150, 80, 40, 20, 10), strict=True))),
        "vector": UnitTiming(busy_cycles=1, stall_cycles={}),
    },
    dram_bytes=MOVED,
    buffer_peak_bytes=77,
    events=5,
)


def plan() -> Plan:
    return SCHEDULES["baseline"].make(training_graph(chain()), machine(), 4)


def counts() -> RowCounts:
    found = RowCounts(**COUNTS)
    found.dram_bytes.update(MOVED)
    return found


def totals() -> Totals:
    return Totals(**total_values(plan(), counts(), 7, CAPACITY, TIMING, machine(), "event"))


def test_every_total_is_of_its_count_or_time() -> None:
    """1000 cycles at 0.7 GHz, 8 samples on 2 cores; of 350 cycles of MACs 100 are skipped."""
    found = totals()
    assert (found.workload, found.schedule, found.memory, found.engine) == ("chain", "baseline", "hbm2x2", "event")
    assert (found.batch, found.group_count, found.step_cycles) == (8, 3, 1000)
    assert found.step_seconds == pytest.approx(1e-6 / 0.7)
    assert found.samples_per_second == pytest.approx(8 * 0.7e6)
    assert {name: getattr(found, name) for name in list(COUNTS)[:4]} == dict(list(COUNTS.items())[:4])
    assert (found.array_utilization, found.array_occupancy) == (0.25, 0.4)
    stalls, buffer = found.stall_cycles, found.global_buffer_bytes
    assert (stalls.dram, stalls.vector, stalls.array) == (300, 150, 80)
    assert (stalls.space, stalls.core, stalls.update) == (40, 20, 10)
    assert (buffer.read, buffer.write, buffer.peak) == (17, 19, 77)


def test_dram_bytes_by_direction_and_by_class() -> None:
    moved = totals().dram_bytes
    assert (moved.read, moved.write, moved.total) == (READ, WRITTEN, READ + WRITTEN)
    by_class = (moved.weight, moved.activation, moved.gradient, moved.weight_gradient, moved.mask, moved.optimizer)
    assert by_class == tuple(3 * 10 ** (2 * place) for place in range(6))


def test_the_dram_that_is_needed_by_class() -> None:
    needed = totals().dram_capacity_bytes
    assert {kind: getattr(needed, kind) for kind in KINDS} == CAPACITY
    assert needed.total == 111111


def test_a_row_has_its_own_counts_times_and_energy() -> None:
    """Energy: MACs that are neither gated nor skipped, and static power over the row's 600 cycles."""
    keys = (RowKey("one", Phase.FORWARD), RowKey("two", Phase.UPDATE))
    first, second = layer_rows(training_graph(chain()), {keys[0]: counts(), keys[1]: RowCounts()}, TIMING, machine())
    assert (first.name, first.kind, first.phase, len(first.fused)) == ("one", "conv", Phase.FORWARD, 1)
    assert (first.cycles, first.array_busy_cycles, first.vector_busy_cycles) == (600, 300, 200)
    assert {name: getattr(first, name) for name in list(COUNTS)[:5]} == dict(list(COUNTS.items())[:5])
    assert (first.dram_read_bytes, first.dram_write_bytes) == (READ, WRITTEN)
    assert (first.dram_weight_bytes, first.dram_optimizer_bytes) == (3, 3 * 10**10)
    assert (first.global_buffer_read_bytes, first.global_buffer_write_bytes) == (17, 19)
    table = machine().energy
    working = COUNTS["macs"] - COUNTS["gated_macs"] - COUNTS["skipped_macs"]
    assert first.energy_array_joules == pytest.approx(working * table.mac_joules + 11 * table.register_joules_per_byte)
    assert first.energy_local_buffer_joules == pytest.approx(13 * table.local_buffer_joules_per_byte)
    assert first.energy_global_buffer_joules == pytest.approx((17 + 19) * table.global_buffer_joules_per_byte)
    assert first.energy_vector_joules == pytest.approx(7 * table.vector_operation_joules)
    assert first.energy_interconnect_joules == pytest.approx(23 * 8 * table.interconnect_joules_per_bit)
    assert second.energy_static_joules == pytest.approx(first.energy_static_joules * 400 / 600)
    assert second.energy_joules == pytest.approx(
        second.energy_static_joules + machine().memory.background_watts * 400 / 0.7e9
    )


def test_groups_say_their_iterations() -> None:
    assert [(group.layers, group.sub_batch, group.iterations) for group in group_summaries(plan().groups, 4)] == [
        (("one",), 4, 1),
        (("two",), 4, 1),
        (("loss",), 4, 1),
    ]
