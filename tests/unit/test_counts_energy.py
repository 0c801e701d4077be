"""Are counts those of the commands, and energy the sum of counts times constants?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, fields, replace

import pytest
from builders import SCHEDULES, chain, command, load, machine, program, residual, store

from wavecore.plan.traffic import When
from wavecore.program.counts import RowCounts, count, count_totals
from wavecore.program.lower import lower
from wavecore.results.energy import EnergyJoules, energy, static_watts
from wavecore.training.operations import Phase, TensorClass
from wavecore.training.unroll import training_graph

ROW = ("unit", Phase.FORWARD)
COUNTED = [
    "macs",
    "vector_operations",
    "register_bytes",
    "local_buffer_bytes",
    "buffer_read_bytes",
    "buffer_write_bytes",
    "interconnect_bytes",
]


def test_a_command_counts_once_a_core_and_iteration() -> None:
    work = {name: 10**index for index, name in enumerate(COUNTED)}
    row = count(program(command(work=work), cores=2, iterations=3))[ROW]
    assert {name: getattr(row, name) for name in COUNTED} == {name: 6 * value for name, value in work.items()}


def test_macs_with_zeros_are_counted_apart() -> None:
    work = {"macs": 100, "effectual_macs": 60, "gated_macs": 7, "skipped_macs": 3}
    a, b = command(work=work), command(work={"macs": 50, "effectual_macs": 50})
    row = count(program(a, b, replace(a), cores=2, iterations=3))[ROW]
    assert (row.macs, row.effectual_macs, row.gated_macs, row.skipped_macs) == (6 * 250, 6 * 170, 6 * 14, 6 * 6)


def test_transfers_go_through_the_buffer() -> None:
    row = count(program(command(loads=(load(100),), stores=(store(30),)), cores=2))[ROW]
    assert (row.dram_read_bytes, row.dram_write_bytes) == (200, 60)
    assert (row.buffer_write_bytes, row.buffer_read_bytes) == (200, 60)
    assert row.dram_bytes == {(TensorClass.ACTIVATION, False): 200, (TensorClass.ACTIVATION, True): 60}


def test_transfers_of_some_iterations() -> None:
    for when, times in ((When.ALWAYS, 4), (When.FIRST, 1), (When.AFTER_FIRST, 3), (When.LAST, 1)):
        read = load(10)
        made = command(loads=(replace(read, transfer=replace(read.transfer, when=when)),))
        rows = count(program(made, iterations=4))
        assert rows[ROW].dram_read_bytes == 10 * times


def test_the_totals_are_the_sums_of_the_rows() -> None:
    training = training_graph(chain())
    made = lower(training, SCHEDULES["mbs2"].make(training, machine(), 7), machine())
    rows, total = count(made).values(), count_totals(made)
    assert total.dram_bytes == sum((row.dram_bytes for row in rows), Counter())
    for name in (*COUNTED, "buffer_read_bytes", "buffer_write_bytes"):
        assert getattr(total, name) == sum(getattr(row, name) for row in rows)


def test_a_smaller_last_sub_batch_counts_as_what_it_is() -> None:
    """Seven samples in sub-batches of three: MACs as in one, weights read three times."""
    training = training_graph(chain())
    plan = SCHEDULES["mbs2"].make(training, machine(), 7)
    parts = replace(plan, groups=tuple(replace(group, sub_batch=3, held=frozenset()) for group in plan.groups))
    whole_rows, part_rows = (count(lower(training, each, machine())) for each in (plan, parts))
    assert whole_rows.keys() == part_rows.keys()
    for key, row in whole_rows.items():
        assert row.macs == part_rows[key].macs
        weights = row.dram_bytes[TensorClass.WEIGHT, False]
        assert part_rows[key].dram_bytes[TensorClass.WEIGHT, False] == 3 * weights
        gradients = row.dram_bytes[TensorClass.WEIGHT_GRADIENT, True]
        assert part_rows[key].dram_bytes[TensorClass.WEIGHT_GRADIENT, False] == 2 * gradients


def test_the_counts_of_the_chain() -> None:
    """MACs of both cores; the update's lanes: four operations a parameter, half of them a core."""
    rows = count(
        lower(training_graph(chain()), SCHEDULES["mbs2"].make(training_graph(chain()), machine(), 4), machine())
    )
    assert {key: row.macs for key, row in rows.items() if row.macs} == {
        ("one", "forward"): 8 * 108 * 64,
        ("two", "forward"): 8 * 512,
        ("two", "weight_gradient"): 8 * 512,
        ("two", "data_gradient"): 8 * 512,
        ("one", "weight_gradient"): 8 * 108 * 64,
    }
    update = rows["two", Phase.UPDATE]
    assert update.vector_operations == 4 * 512
    assert update.interconnect_bytes == 2 * 512 * 4 // 2  # half of each core's gradient goes to the other


def test_one_core_has_nobody_to_talk_to() -> None:
    alone = machine("chip.cores=1")
    rows = count(lower(training_graph(chain()), SCHEDULES["mbs2"].make(training_graph(chain()), alone, 4), alone))
    assert sum(row.interconnect_bytes for row in rows.values()) == 0


# -- energy --------------------------------------------------------------------------------------------------


def test_energy_by_hand() -> None:
    """A second of 700 million cycles, and a thousand of everything."""
    accelerator = machine()
    table, memory = accelerator.energy, accelerator.memory
    counts = RowCounts(**dict.fromkeys(COUNTED, 1000))
    counts.dram_bytes[TensorClass.WEIGHT, False] = 600
    counts.dram_bytes[TensorClass.WEIGHT, True] = 400
    found = energy(counts, accelerator.chip.clock_hz, accelerator)
    watts = 2 * (table.static_watts_per_core + table.static_watts_per_global_buffer_byte * 10 * 2**20)
    assert static_watts(accelerator) == pytest.approx(watts)
    assert asdict(found) == pytest.approx(
        {
            "array": 1000 * table.mac_joules + 1000 * table.register_joules_per_byte,
            "local_buffer": 1000 * table.local_buffer_joules_per_byte,
            "global_buffer": 2000 * table.global_buffer_joules_per_byte,
            "vector": 1000 * table.vector_operation_joules,
            "dram": 8000 * memory.energy_joules_per_bit + memory.background_watts,
            "interconnect": 8000 * table.interconnect_joules_per_bit,
            "static": watts,
        }
    )
    assert found.total == pytest.approx(sum(asdict(found).values()))


def test_nothing_costs_nothing() -> None:
    assert energy(RowCounts(), 0, machine()).total == 0


def test_energy_is_additive() -> None:
    training = training_graph(residual())
    rows = count(lower(training, SCHEDULES["mbs2"].make(training, machine(), 4), machine())).values()
    whole = RowCounts(**{name: sum(getattr(row, name) for row in rows) for name in COUNTED})
    for row in rows:
        whole.dram_bytes.update(row.dram_bytes)
    parts = [asdict(energy(row, 1000, machine())) for row in rows]
    sums = {component: sum(part[component] for part in parts) for component in parts[0]}
    assert sums == pytest.approx(asdict(energy(whole, 1000 * len(rows), machine())))


@pytest.mark.parametrize("component", [part.name for part in fields(EnergyJoules)])
def test_the_total_counts_every_component(component: str) -> None:
    nothing = dict.fromkeys((part.name for part in fields(EnergyJoules)), 0.0)
    assert EnergyJoules(**{**nothing, component: 2.5}).total == 2.5
