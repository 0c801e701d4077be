"""Do the closed forms equal the register-level array, cycle for cycle, and is no cycle wasted?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from wavecore.golden.array import HazardError, Timetable, cut_waves, multiply, run_waves
from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY as WS
from wavecore.hardware.specs import ArraySpec

EXACT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

arrays = st.builds(
    ArraySpec,
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    tile_rows=st.integers(1, 12),
    weight_double_buffering=st.booleans(),
    weight_load=st.sampled_from(["skewed", "global"]),
)
shapes = st.tuples(st.integers(1, 18), st.integers(1, 18), st.integers(1, 18))


def operands(m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng([m, k, n])
    return numbers.integers(-99, 100, (m, k)), numbers.integers(-99, 100, (k, n))


def check(array: ArraySpec, m: int, k: int, n: int) -> None:
    a, b = operands(m, k, n)
    run = multiply(a, b, array)
    gemm = WS.gemm_cycles(array, m, k, n)
    waves = cut_waves(a, b, array)
    starts = run.timetable.stream_cycles
    streamed = sum(len(wave.a) for wave in waves)
    entered = starts[-1] + len(waves[-1].a)
    assert np.array_equal(run.product, a @ b)
    assert gemm.tiles.waves == len(waves)
    assert (gemm.cycles, gemm.first_output_cycle, gemm.last_output_cycle) == (
        run.cycles,
        run.first_output_cycle,
        run.last_output_cycle,
    )
    assert (gemm.fill_cycles, gemm.stream_cycles) == (starts[0], streamed)
    assert gemm.weight_gap_cycles == entered - starts[0] - streamed
    assert gemm.drain_cycles == run.cycles - entered


@settings(EXACT, max_examples=300)
@given(arrays, shapes)
def test_cycles_and_product(array, shape):
    check(array, *shape)


@settings(EXACT, max_examples=10)
@given(arrays, st.integers(8, 16), st.integers(8, 16), st.tuples(*[st.integers(1, 40)] * 3))
def test_cycles_and_product_on_larger_arrays(array, rows, columns, shape):
    check(replace(array, rows=rows, columns=columns), *shape)


@pytest.mark.parametrize("load", ["skewed", "global"])
@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize(
    ("rows", "columns", "tile_rows", "shape"),
    [
        pytest.param(1, 1, 1, (1, 1, 1), id="one element, one product"),
        pytest.param(1, 1, 4, (6, 5, 3), id="one element"),
        pytest.param(1, 6, 4, (9, 3, 13), id="one row"),
        pytest.param(6, 1, 4, (9, 13, 3), id="one column"),
        pytest.param(4, 4, 8, (8, 4, 4), id="one wave that fills the array"),
        pytest.param(4, 4, 8, (8, 10, 4), id="K not a multiple of the rows"),
        pytest.param(4, 4, 8, (2, 16, 4), id="M smaller than K"),
        pytest.param(5, 4, 1, (3, 11, 9), id="tiles of one row, remainder in K and N"),
        pytest.param(6, 5, 4, (4, 2, 3), id="a tile smaller than the array"),
        pytest.param(2, 7, 1, (2, 2, 8), id="the narrow last block finishes before the wide one"),
        pytest.param(4, 4, 3, (7, 9, 9), id="remainders everywhere"),
    ],
)
def test_edges(rows, columns, tile_rows, shape, double, load):
    array = ArraySpec(rows=rows, columns=columns, tile_rows=tile_rows, weight_double_buffering=double, weight_load=load)
    check(array, *shape)


@settings(EXACT, max_examples=100)
@given(arrays, shapes)
def test_issue_is_what_one_more_of_the_same_adds(array, shape):
    waves = cut_waves(*operands(*shape), array)
    assert run_waves(waves * 2, array).cycles == WS.gemm_cycles(array, *shape).cycles + WS.issue_cycles(array, *shape)


@settings(EXACT, max_examples=100)
@given(arrays, shapes)
def test_register_bytes_count_every_write(array, shape):
    run = multiply(*operands(*shape), array)
    counted = WS.array_bytes(array, *shape)
    assert counted.a_register_bytes == 2 * run.operand_writes
    assert counted.b_register_bytes == 2 * run.weight_writes
    assert counted.c_register_bytes == 4 * run.partial_sum_writes


@settings(EXACT, max_examples=60)
@given(arrays, shapes, st.data())
def test_no_wave_could_start_one_cycle_earlier(array, shape, data):
    """Hurrying any load or stream by one cycle, others unchanged, spoils a weight, a sum or a rule."""
    waves = cut_waves(*operands(*shape), array)
    table = run_waves(waves, array).timetable
    assert run_waves(waves, array, table).timetable == table
    index = data.draw(st.integers(0, len(waves) - 1), label="hurried stream")
    with pytest.raises(HazardError):
        run_waves(waves, array, replace(table, stream_cycles=hurry(table.stream_cycles, index)))
    assume(index > 0)
    if waits_for_weights(table, index, waves):
        with pytest.raises(HazardError):
            run_waves(waves, array, replace(table, load_cycles=hurry(table.load_cycles, index)))


def hurry(cycles: tuple[int, ...], index: int) -> tuple[int, ...]:
    return (*cycles[:index], cycles[index] - 1, *cycles[index + 1 :])


def waits_for_weights(table: Timetable, index: int, waves: list) -> bool:
    """Whether the stream could be earlier if its weights were."""
    return table.stream_cycles[index] == table.load_cycles[index] + waves[index].b.shape[0]


def test_real_numbers_are_multiplied_in_double_precision():
    numbers = np.random.default_rng(7)
    a, b = numbers.standard_normal((9, 11)), numbers.standard_normal((11, 6))
    array = ArraySpec(rows=4, columns=4, tile_rows=5, weight_double_buffering=True, weight_load="skewed")
    np.testing.assert_allclose(multiply(a, b, array).product, a @ b, rtol=1e-13, atol=1e-13)


def test_hazard_says_which_element_and_when():
    array = ArraySpec(rows=2, columns=2, tile_rows=4, weight_double_buffering=True, weight_load="skewed")
    waves = cut_waves(*operands(4, 2, 2), array)
    with pytest.raises(HazardError) as caught:
        run_waves(waves, array, Timetable(load_cycles=(0,), stream_cycles=(1,)))
    assert str(caught.value) == "cycle 1, element [0, 0]: a wave arrives before its weights"
