"""Are the closed forms of a GEMM the sums, wave by wave, that they stand for?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY as WS
from wavecore.hardware.specs import ArraySpec

WAVECORE = ArraySpec(rows=128, columns=128, tile_rows=256, weight_double_buffering=True, weight_load="skewed")
arrays = st.builds(
    ArraySpec,
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    tile_rows=st.integers(1, 30),
    weight_double_buffering=st.booleans(),
    weight_load=st.sampled_from(["skewed", "global"]),
)
shapes = st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90))


def pieces(size: int, limit: int) -> list[int]:
    return [min(limit, size - start) for start in range(0, size, limit)]


def waves(array: ArraySpec, m: int, k: int, n: int) -> list[tuple[int, int, int]]:
    return [
        (tile_m, tile_k, tile_n)
        for tile_n in pieces(n, array.columns)
        for tile_m in pieces(m, array.tile_rows)
        for tile_k in pieces(k, array.rows)
    ]


def interval(array: ArraySpec, m: int, k: int) -> int:
    """MODEL section 3, row by row of its table."""
    return {
        ("skewed", True): max(m, k),
        ("skewed", False): m + k,
        ("global", True): max(m, 2 * array.rows + array.columns - 1),
        ("global", False): 2 * array.rows + array.columns + m - 2,
    }[array.weight_load, array.weight_double_buffering]


@settings(deadline=None)
@given(arrays, shapes)
def test_tiles(array, shape):
    cut = WS.tiles(array, *shape)
    m, k, n = shape
    assert cut.waves == len(waves(array, m, k, n))
    assert cut.output_tiles == len(pieces(m, array.tile_rows)) * len(pieces(n, array.columns))
    for size, limit, count, full, last in [
        (m, array.tile_rows, cut.row_tiles, cut.full_m, cut.last_m),
        (k, array.rows, cut.depth_waves, cut.full_k, cut.last_k),
        (n, array.columns, cut.column_tiles, cut.full_n, cut.last_n),
    ]:
        assert [full] * (count - 1) + [last] == pieces(size, limit)


@settings(deadline=None)
@given(arrays, shapes)
def test_issue_is_the_sum_over_waves(array, shape):
    total = sum(interval(array, m, k) for m, k, _ in waves(array, *shape))
    assert WS.issue_cycles(array, *shape) == total


@settings(deadline=None)
@given(arrays, shapes)
def test_cycles_are_the_last_result_of_any_wave(array, shape):
    listed = waves(array, *shape)
    depth = min(shape[1], array.rows) if array.weight_load == "skewed" else array.rows
    starts = [depth]
    for (m, _, _), (_, next_k, _) in pairwise(listed):
        starts.append(starts[-1] + interval(array, m, next_k))
    last = max(start + m + depth + n - 2 for start, (m, _, n) in zip(starts, listed, strict=True))
    assert WS.gemm_cycles(array, *shape).cycles == last


@settings(deadline=None)
@given(arrays, shapes)
def test_bytes_are_the_sum_over_waves(array, shape):
    listed = waves(array, *shape)
    traffic = WS.array_bytes(array, *shape)
    products = shape[0] * shape[2]
    later_waves = sum(m * n for m, _, n in listed) - products
    assert traffic.a_fetch_bytes == 2 * sum(m * k for m, k, _ in listed)
    assert traffic.b_fetch_bytes == 2 * sum(k * n for _, k, n in listed)
    assert traffic.local_a_write_bytes == traffic.local_a_read_bytes == traffic.a_fetch_bytes
    assert traffic.local_b_write_bytes == traffic.local_b_read_bytes == traffic.b_fetch_bytes
    assert traffic.local_c_write_bytes == 4 * (products + later_waves)
    assert traffic.local_c_read_bytes == 4 * (later_waves + products)
    assert traffic.product_bytes == 4 * products


@settings(deadline=None)
@given(arrays, shapes)
def test_register_bytes_are_the_sum_over_waves(array, shape):
    traffic = WS.array_bytes(array, *shape)
    rows, columns = array.rows, array.columns
    latches = int(array.weight_double_buffering)
    operand = weight = partial_sum = 0
    for m, k, n in waves(array, *shape):
        if array.weight_load == "skewed":
            operand += m * k * n
            weight += n * (sum(range(1, k + 1)) + latches * k)
            partial_sum += m * n * min(rows, shape[1])
        else:
            operand += m * rows * columns
            weight += rows * columns * (rows + latches)
            partial_sum += m * rows * columns
    assert traffic.a_register_bytes == 2 * operand
    assert traffic.b_register_bytes == 2 * weight
    assert traffic.c_register_bytes == 4 * partial_sum
    assert traffic.register_bytes == 2 * operand + 2 * weight + 4 * partial_sum


def test_local_buffer_bytes_add_reads_and_writes():
    traffic = WS.array_bytes(WAVECORE, 256, 256, 128)
    a, b, c = 2 * 256 * 256, 2 * 256 * 128, 4 * 256 * 128 * 2
    assert traffic.local_buffer_bytes == 2 * (a + b + c)


@pytest.mark.parametrize(
    ("double", "m", "k", "n", "fill", "stream", "gap", "drain"),
    [
        pytest.param(True, 256, 128, 128, 128, 256, 0, 254, id="one full wave"),
        pytest.param(True, 256, 256, 128, 128, 512, 0, 254, id="loads hide behind streams"),
        pytest.param(True, 49, 256, 128, 128, 98, 79, 254, id="a short stream waits for weights"),
        pytest.param(False, 256, 256, 128, 128, 512, 128, 254, id="one register"),
        pytest.param(True, 256, 64, 32, 64, 256, 0, 94, id="a corner of the array"),
    ],
)
def test_cycles_by_hand(double, m, k, n, fill, stream, gap, drain):
    array = ArraySpec(rows=128, columns=128, tile_rows=256, weight_double_buffering=double, weight_load="skewed")
    cycles = WS.gemm_cycles(array, m, k, n)
    split = (cycles.fill_cycles, cycles.stream_cycles, cycles.weight_gap_cycles, cycles.drain_cycles)
    assert split == (fill, stream, gap, drain)


@pytest.mark.parametrize(("m", "k", "n"), [(49, 128, 128), (1000, 300, 128), (7, 1, 384)])
def test_global_load_counts_what_scale_sim_counts_a_fold(m, k, n):
    """SCALE-Sim pays 2R + C + M - 2 for every fold of a weight-stationary GEMM, and does not cut M."""
    array = ArraySpec(rows=128, columns=128, tile_rows=m, weight_double_buffering=False, weight_load="global")
    folds = -(-k // 128) * -(-n // 128)
    assert WS.gemm_cycles(array, m, k, n).cycles == folds * (2 * 128 + 128 + m - 2)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, -3)])
@pytest.mark.parametrize(
    "form", [WS.tiles, WS.issue_cycles, WS.fill_cycles, WS.drain_cycles, WS.gemm_cycles, WS.array_bytes]
)
def test_sizes_must_be_positive(form, sizes):
    with pytest.raises(ValueError) as caught:
        form(WAVECORE, *sizes)
    assert str(caught.value) == "the sizes of a GEMM are positive, not {} x {} x {}".format(*sizes)
