"""Do products side by side in the array give their results, in the cycles and with the accesses that they are charged?

Referees: the array register by register (`wavecore.golden.array`), PyTorch's grouped convolutions, and hand counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from packed import kept_products, packed_operands
from wavecore_example.dataflows import OUTPUT_STATIONARY

from wavecore.golden.array import cut_waves, run_waves
from wavecore.hardware.dataflows import DATAFLOWS
from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY as WS
from wavecore.hardware.packing import TOLERATED, Sizes, holds_right, layouts, packed_cost
from wavecore.hardware.specs import ArraySpec

WIDE_PORT = 1 << 20


def array_of(rows: int, columns: int, tile_rows: int = 8, double: bool = True, load: str = "skewed") -> ArraySpec:
    return ArraySpec(
        rows=rows,
        columns=columns,
        tile_rows=tile_rows,
        weight_double_buffering=double,
        weight_load=load,  # type: ignore[arg-type]
    )


arrays = st.builds(
    array_of,
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from(["skewed", "global"]),
)
sizes = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5))


@settings(deadline=None)
@given(arrays, sizes, st.integers(2, 9), st.data())
def test_every_layout_computes_its_products_in_its_cycles(
    array: ArraySpec, sizes: Sizes, count: int, data: st.DataObject
) -> None:
    found = list(layouts(array, sizes, count))
    assume(found)
    layout = data.draw(st.sampled_from(found))
    (m, k, n), numbers = sizes, np.random.default_rng(count)
    lefts = [numbers.integers(-9, 10, (m, k)) for _ in range(layout.together)]
    rights = [numbers.integers(-9, 10, (k, n)) for _ in range(layout.together)]
    a, b = packed_operands(lefts, rights, layout)
    run = run_waves(cut_waves(a, b, array), array)
    for made, left, right in zip(kept_products(run.product, layout, m, n), lefts, rights, strict=True):
        assert np.array_equal(made, left @ right)
    assert run.cycles == WS.gemm_cycles(array, *layout.sizes).cycles
    moved = WS.array_bytes(array, *layout.sizes)
    assert 2 * (run.operand_writes + run.weight_writes) + 4 * run.partial_sum_writes == moved.register_bytes


@given(arrays, sizes, st.integers(1, 40))
def test_packs_take_all_products_once_in_about_the_fewest_cycles(array: ArraySpec, sizes: Sizes, count: int) -> None:
    """No layout in full packs and a rest is faster by more than is tolerated."""
    found = packed_cost(array, sizes, count, WIDE_PORT)
    ways = list(layouts(array, sizes, count))
    assert (found is None) == (not ways)
    if found is None:
        return
    m, k, n = sizes
    assert found.cost.macs == m * k * n * count
    best = min(-(-count // way.together) * WS.issue_cycles(array, *way.sizes) for way in ways)
    assert found.cost.issue_cycles <= TOLERATED * best
    assert found.zero_macs == 0 or found.discarded_macs == 0


def test_nine_taps_of_fourteen_channels_by_hand() -> None:
    """126 of 128 rows and 14 columns: 28 channels are 2 packs, each of m = 1000 cycles.

    Fetched: 1000 x 9 operands of each channel, and its 9 weights once per row tile of 256, of which there are 4.
    """
    array = array_of(128, 128, 256)
    found = packed_cost(array, (1000, 9, 1), 28, 512)
    assert found is not None
    assert found.cost.issue_cycles == 2 * (3 * 256 + 232)
    assert found.cost.fetch_bytes == 28 * 2 * (1000 * 9 + 4 * 9)
    assert (found.zero_macs, found.discarded_macs) == (28 * 1000 * 9 * 13, 0)
    assert found.cost.register_bytes == WS.array_bytes(array, 1000, 126, 14).register_bytes * 2
    assert (found.fill_cycles, found.drain_cycles) == (126, 126 + 14 - 2)


def test_a_weight_gradient_is_crosswise() -> None:
    """9 x 12,800 times 12,800 x 1: a wave of 128 positions takes 128 cycles, in which 14 channels' 126 rows pass.

    One by one, each channel takes 100 waves of 128 cycles; 14 of them together take as many.  28 together take 252 a
    wave, 1.6 % less than two packs of 14, and multiply twice as much: not worth it.
    """
    array = array_of(128, 128, 256)
    for channels in (14, 28):
        found = packed_cost(array, (9, 12_800, 1), channels, WIDE_PORT)
        assert found is not None
        assert found.cost.issue_cycles == 100 * 128 * channels // 14
        assert (found.zero_macs, found.discarded_macs) == (0, channels * 9 * 12_800 * 13)


def test_deep_groups_fill_every_wave() -> None:
    """288 rows of 4 groups are 9 waves of 128; one by one they take 3 waves each."""
    array = array_of(128, 128, 256)
    found = packed_cost(array, (256, 288, 32), 4, WIDE_PORT)
    assert found is not None
    assert found.cost.issue_cycles == 9 * 256


def test_a_narrow_port_asks_for_fewer_at_a_time() -> None:
    """At 18 B a cycle, one channel's nine operands a cycle are all that can come: packs of any size take as long."""
    array = array_of(128, 128, 256)
    wide, narrow = (packed_cost(array, (256, 9, 1), 14, port) for port in (WIDE_PORT, 18))
    assert wide is not None and narrow is not None
    assert wide.cost.issue_cycles == 256
    assert narrow.cost.fetch_bytes == wide.cost.fetch_bytes


def test_nothing_is_packed_where_not_two_fit() -> None:
    assert packed_cost(array_of(8, 8), (4, 4, 5), 6, WIDE_PORT) is None


def test_only_an_array_that_holds_the_right_operand_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATAFLOWS, OUTPUT_STATIONARY.name, OUTPUT_STATIONARY)
    assert holds_right(array_of(8, 8))
    assert not holds_right(replace(array_of(8, 8), dataflow=OUTPUT_STATIONARY.name))


# -- grouped convolutions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "outputs", "groups"), [(6, 6, 6), (8, 12, 4), (6, 3, 3), (4, 8, 2)])
def test_packed_products_are_a_grouped_convolution(channels: int, outputs: int, groups: int) -> None:
    """All groups at once on the array, forward on the diagonal and the weight gradient crosswise, against PyTorch."""
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(groups)
    image, weight, gradient = (
        torch.tensor(numbers.integers(-4, 5, shape), dtype=torch.float64)
        for shape in ((2, channels, 6, 6), (outputs, channels // groups, 3, 3), (2, outputs, 6, 6))
    )
    columns = torch.nn.functional.unfold(image, 3, padding=1).numpy().astype(int)  # (2, channels x 9, 36)
    windows = columns.reshape(2, groups, -1, 36).transpose(1, 0, 3, 2).reshape(groups, 72, -1)
    kernels = weight.numpy().astype(int).reshape(groups, outputs // groups, -1).transpose(0, 2, 1)
    wanted = gradient.numpy().astype(int).reshape(2, groups, outputs // groups, 36).transpose(1, 0, 3, 2)
    wanted = wanted.reshape(groups, 72, -1)
    array = array_of(64, 32, 16)

    made = on_the_array(array, list(windows), list(kernels), crosswise=False)
    forward = np.stack(made).reshape(groups, 2, 36, -1).transpose(1, 0, 3, 2).reshape(2, outputs, 6, 6)
    assert np.array_equal(forward, torch.nn.functional.conv2d(image, weight, padding=1, groups=groups).numpy())

    made = on_the_array(array, [each.T for each in windows], list(wanted), crosswise=True)
    ours = np.stack(made).transpose(0, 2, 1).reshape(outputs, channels // groups, 3, 3)
    exact = torch.nn.grad.conv2d_weight(image, tuple(weight.shape), gradient, padding=1, groups=groups)
    assert np.array_equal(ours, exact.numpy())


def on_the_array(
    array: ArraySpec, lefts: list[np.ndarray], rights: list[np.ndarray], crosswise: bool
) -> list[np.ndarray]:
    (m, k), n = lefts[0].shape, rights[0].shape[1]
    layout = next(each for each in layouts(array, (m, k, n), len(lefts)) if each[:2] == (len(lefts), crosswise))
    a, b = packed_operands(lefts, rights, layout)
    return kept_products(run_waves(cut_waves(a, b, array), array).product, layout, m, n)
