"""Which laws do all GEMMs on all arrays obey?"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.hardware.dataflows.base import utilization
from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY as WS
from wavecore.hardware.specs import ArraySpec

arrays = st.builds(
    ArraySpec,
    rows=st.integers(1, 256),
    columns=st.integers(1, 256),
    tile_rows=st.integers(1, 512),
    weight_double_buffering=st.booleans(),
    weight_load=st.sampled_from(["skewed", "global"]),
)
sizes = st.integers(1, 5000)
law = settings(deadline=None)


@law
@given(arrays, sizes, sizes, sizes)
def test_cycles_are_the_sum_of_their_parts(array, m, k, n):
    gemm = WS.gemm_cycles(array, m, k, n)
    parts = (gemm.fill_cycles, gemm.stream_cycles, gemm.weight_gap_cycles, gemm.drain_cycles)
    assert min(parts) >= 0
    assert sum(parts) == gemm.cycles == gemm.last_output_cycle + 1
    assert WS.fill_cycles(array, m, k, n) <= gemm.first_output_cycle < gemm.cycles


@law
@given(arrays, sizes, sizes, sizes)
def test_no_gemm_beats_the_roofline(array, m, k, n):
    gemm = WS.gemm_cycles(array, m, k, n)
    assert gemm.macs == m * k * n
    assert 0 < utilization(array, gemm) <= 1
    assert WS.issue_cycles(array, m, k, n) * array.rows * array.columns >= gemm.macs


@law
@given(arrays, sizes, sizes, sizes)
def test_a_second_weight_register_never_costs_cycles(array, m, k, n):
    one = WS.gemm_cycles(replace(array, weight_double_buffering=False), m, k, n)
    two = WS.gemm_cycles(replace(array, weight_double_buffering=True), m, k, n)
    assert two.cycles <= one.cycles
    assert two.stream_cycles == one.stream_cycles


@law
@given(arrays, sizes, sizes, sizes)
def test_a_skewed_load_never_costs_cycles(array, m, k, n):
    skewed = WS.gemm_cycles(replace(array, weight_load="skewed"), m, k, n)
    whole = WS.gemm_cycles(replace(array, weight_load="global"), m, k, n)
    assert skewed.cycles <= whole.cycles


@law
@given(arrays, sizes, sizes, sizes, st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1)]))
def test_more_work_never_takes_fewer_cycles(array, m, k, n, more):
    larger = (m + more[0], k + more[1], n + more[2])
    assert WS.issue_cycles(array, *larger) >= WS.issue_cycles(array, m, k, n)
    assert WS.gemm_cycles(array, *larger).cycles >= WS.gemm_cycles(array, m, k, n).cycles


@law
@given(arrays, sizes, sizes, sizes, st.integers(1, 9))
def test_issue_and_traffic_add_up_over_whole_row_tiles(array, m, k, n, count):
    above = count * array.tile_rows
    parts = WS.issue_cycles(array, above, k, n) + WS.issue_cycles(array, m, k, n)
    assert WS.issue_cycles(array, above + m, k, n) == parts
    whole, first, second = (WS.array_bytes(array, rows, k, n) for rows in (above + m, above, m))
    for name in ("a_fetch_bytes", "b_fetch_bytes", "local_c_write_bytes", "b_register_bytes"):
        assert getattr(whole, name) == getattr(first, name) + getattr(second, name)


@law
@given(arrays, sizes, sizes, sizes)
def test_back_to_back_is_never_slower_than_one_by_one(array, m, k, n):
    """Skewed only: a global shift waits for the whole array, a narrow tile's last result doesn't."""
    skewed = replace(array, weight_load="skewed")
    assert WS.issue_cycles(skewed, m, k, n) <= WS.gemm_cycles(skewed, m, k, n).cycles
