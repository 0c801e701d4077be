"""Do area, leakage and energy move in the right direction when the machine changes, whatever the machine?"""

from __future__ import annotations

from dataclasses import asdict

import pytest
from builders import machine
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.hardware.area import area_mm2
from wavecore.hardware.scaling import highest_clock_hz, sram_joules_per_byte, voltage_volts
from wavecore.hardware.specs import Accelerator
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph
from wavecore.results.energy import static_watts
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.training.unroll import training_graph

LAWS = settings(max_examples=60, deadline=None)
RUNS = settings(max_examples=12, deadline=None)
SIZES = st.integers(2, 512)
BUFFERS_KIB = st.integers(64, 1 << 16)
CLOCKS_MHZ = st.integers(50, 1800)
CHANNELS = st.integers(1, 64)
DYNAMIC = (
    "mac_joules",
    "register_joules_per_byte",
    "local_buffer_joules_per_byte",
    "global_buffer_joules_per_byte",
    "vector_operation_joules",
    "interconnect_joules_per_bit",
)
ROUNDING = 1 + 1e-9


def ordered(low_high: tuple[int, int]) -> tuple[int, int]:
    return min(low_high), max(low_high)


def more(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    """Two different values, the smaller one first."""
    return st.tuples(values, values).map(ordered).filter(lambda pair: pair[0] < pair[1])


def grows(small: Accelerator, large: Accelerator) -> None:
    """Area and leakage of the second machine are larger."""
    assert area_mm2(small).total < area_mm2(large).total
    assert static_watts(small) < static_watts(large)


@LAWS
@given(more(SIZES), SIZES, st.sampled_from(["rows", "columns"]), st.integers(1, 4))
def test_a_larger_array_has_more_area_and_leaks_more(sizes: tuple[int, int], other: int, side: str, cores: int) -> None:
    across = "columns" if side == "rows" else "rows"
    fixed = (f"array.{across}={other}", f"chip.cores={cores}")
    small, large = (machine(f"array.{side}={size}", *fixed) for size in sizes)
    grows(small, large)
    assert area_mm2(small).array / area_mm2(large).array == pytest.approx(sizes[0] / sizes[1])
    assert small.energy.local_buffer_joules_per_byte <= large.energy.local_buffer_joules_per_byte * ROUNDING
    assert small.energy.interconnect_joules_per_bit <= large.energy.interconnect_joules_per_bit
    assert small.energy.mac_joules == large.energy.mac_joules


@LAWS
@given(more(BUFFERS_KIB), SIZES)
def test_a_larger_buffer_has_more_area_leaks_more_and_takes_more_a_byte(sizes: tuple[int, int], lanes: int) -> None:
    small, large = (machine(f"core.global_buffer={size} KiB", f"vector.lanes={lanes}") for size in sizes)
    grows(small, large)
    assert small.energy.global_buffer_joules_per_byte <= large.energy.global_buffer_joules_per_byte * ROUNDING


@LAWS
@given(more(st.integers(1, 4096)))
def test_more_lanes_have_more_area_and_leak_more(lanes: tuple[int, int]) -> None:
    few, many = (machine(f"vector.lanes={number}") for number in lanes)
    grows(few, many)
    assert few.energy.vector_operation_joules == many.energy.vector_operation_joules


@LAWS
@given(more(CHANNELS))
def test_more_channels_have_more_area_and_background_power(channels: tuple[int, int]) -> None:
    few, many = (machine(f"memory.channels={number}") for number in channels)
    grows(few, many)
    assert few.memory.background_watts < many.memory.background_watts


@LAWS
@given(more(st.integers(1, 1 << 12)), st.sampled_from(["array_port", "vector_port", "memory_port"]))
def test_a_wider_port_has_more_area_and_takes_no_more_a_byte(widths: tuple[int, int], port: str) -> None:
    narrow, wide = (machine(f"core.{port}={width} B/cycle") for width in widths)
    grows(narrow, wide)
    assert narrow.energy.global_buffer_joules_per_byte >= wide.energy.global_buffer_joules_per_byte / ROUNDING


@LAWS
@given(more(CLOCKS_MHZ))
def test_a_faster_clock_never_takes_less_energy_an_event(clocks: tuple[int, int]) -> None:
    """The port to memory is fixed, so that all parts have the same size."""
    slow, fast = (machine(f"chip.clock={clock} MHz", "core.memory_port=4096 B/cycle") for clock in clocks)
    for name in DYNAMIC:
        assert getattr(slow.energy, name) <= getattr(fast.energy, name) * ROUNDING
    assert static_watts(slow) <= static_watts(fast) * ROUNDING
    assert area_mm2(slow) == area_mm2(fast)
    if clocks[1] * 10**6 > slow.technology.nominal_clock_hz:
        assert slow.energy.mac_joules < fast.energy.mac_joules


@LAWS
@given(st.integers(1, 1_801_000_000))
def test_the_voltage_carries_the_clock(clock_hz: int) -> None:
    technology = machine().technology
    volts = voltage_volts(technology, clock_hz)
    assert technology.nominal_voltage_volts <= volts <= technology.highest_voltage_volts
    nominal, threshold = technology.nominal_voltage_volts, technology.threshold_voltage_volts
    law = ((volts - threshold) / (nominal - threshold)) ** technology.alpha * nominal / volts
    assert law * technology.nominal_clock_hz == pytest.approx(max(clock_hz, technology.nominal_clock_hz), rel=1e-6)
    assert clock_hz <= highest_clock_hz(technology)


@LAWS
@given(more(BUFFERS_KIB), more(st.integers(1, 64)))
def test_an_access_takes_more_from_a_larger_bank_and_less_a_byte_if_wider(
    banks: tuple[int, int], widths: tuple[int, int]
) -> None:
    technology = machine().technology
    assert sram_joules_per_byte(technology, banks[0], widths[0]) < sram_joules_per_byte(technology, banks[1], widths[0])
    narrow, wide = (sram_joules_per_byte(technology, banks[0], width) for width in widths)
    assert narrow > wide and narrow * widths[0] < wide * widths[1], "but the wider access takes more in all"


# -- steps ---------------------------------------------------------------------------------------------------

GRAPH: LayerGraph = workload("resnet18", image=64)
TRAINING = training_graph(GRAPH)


def run(*overrides: str) -> Run:
    return simulate(TRAINING, "mbs2", machine(*overrides), batch=4, engine="analytic")


@RUNS
@given(more(st.sampled_from([300, 500, 700, 1000, 1200, 1400, 1800])))
def test_a_step_at_a_faster_clock(clocks: tuple[int, int]) -> None:
    """Is faster, takes more power, and no less energy in any part that has no time in it."""
    slow, fast = (run(f"chip.clock={clock} MHz", "core.memory_port=1 KiB/cycle") for clock in clocks)
    assert fast.step_seconds <= slow.step_seconds
    assert fast.average_watts > slow.average_watts
    for part in ("array", "local_buffer", "global_buffer", "vector", "interconnect"):
        assert getattr(slow.energy_joules, part) <= getattr(fast.energy_joules, part) * (1 + 1e-6)


@RUNS
@given(more(st.sampled_from([4, 8, 16, 32, 64])))
def test_a_step_with_more_channels_of_the_same_bandwidth(channels: tuple[int, int]) -> None:
    """Takes more power for DRAM beside the transfers: what the counts leave over is background power x time."""
    left = []
    for number in channels:
        found, memory = run(f"memory.channels={number}"), machine(f"memory.channels={number}").memory
        rest = found.energy_joules.dram - 8 * found.dram_bytes.total * memory.energy_joules_per_bit
        left.append(rest / found.step_seconds)
    assert left[0] / left[1] == pytest.approx(channels[0] / channels[1], rel=1e-6)


@RUNS
@given(more(st.sampled_from([16, 32, 64, 128, 256])))
def test_a_step_on_a_larger_array_leaks_more_a_second(sizes: tuple[int, int]) -> None:
    watts = []
    for size in sizes:
        found = run(f"array.rows={size}", f"array.columns={size}")
        watts.append(found.energy_joules.static / found.step_seconds)
        assert found.area_mm2.total == pytest.approx(sum(asdict(found.area_mm2).values()))
    assert watts[0] < watts[1]
