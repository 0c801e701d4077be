"""Do shapes, parameters and GEMMs of every kind equal brute-force counts and PyTorch's shapes?"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wavecore.network.compute import BatchedDimension, Gemm
from wavecore.network.layers import (
    KINDS,
    Add,
    AvgPool,
    Concat,
    Conv,
    CrossEntropy,
    Dropout,
    GlobalAvgPool,
    GroupNorm,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.layers.base import Expansion, LayerKind, LayerRole
from wavecore.network.shapes import Shape

sizes = st.integers(1, 9)


def infer(kind: LayerKind, *inputs: Shape) -> Shape:
    return KINDS[type(kind)].infer(kind, inputs)


def expand(kind: LayerKind, *inputs: Shape) -> Expansion:
    rules = KINDS[type(kind)]
    assert rules.expand is not None
    return rules.expand(kind, inputs, infer(kind, *inputs))


def parameters(kind: LayerKind, *inputs: Shape) -> dict[str, int]:
    return {each.name: each.elements for each in KINDS[type(kind)].parameters(kind, inputs)}


def macs(gemms: tuple[Gemm, ...]) -> int:
    return sum(gemm.macs for gemm in gemms)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Shape]:
    groups = draw(st.integers(1, 3))
    two = st.tuples
    shape = Shape(groups * draw(st.integers(1, 2)), draw(sizes), draw(sizes))
    kernel, stride = draw(two(st.integers(1, 4), st.integers(1, 4))), draw(two(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(two(st.integers(0, kernel[0] - 1), st.integers(0, kernel[1] - 1)))
    assume(shape.height + 2 * padding[0] >= kernel[0] and shape.width + 2 * padding[1] >= kernel[1])
    return Conv(groups * draw(st.integers(1, 2)), kernel, stride, padding, groups, draw(st.booleans())), shape


# -- convolutions --------------------------------------------------------------------------------------------


@given(convolutions())
def test_forward_and_weight_gradient_macs_are_those_of_the_loops(case: tuple[Conv, Shape]) -> None:
    """Every tap of every window, those on padding too: im2col writes zeros there."""
    conv, shape = case
    image = np.zeros((shape.channels, shape.height, shape.width))
    (kernel_y, kernel_x), (stride_y, stride_x) = np.atleast_1d(conv.kernel), np.atleast_1d(conv.stride)
    (pad_y, pad_x) = np.atleast_1d(conv.padding)
    padded = np.pad(image, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    weights = np.zeros((conv.out_channels, shape.channels // conv.groups, kernel_y, kernel_x))
    loops = 0
    for _ in range(0, padded.shape[1] - kernel_y + 1, stride_y):
        for _ in range(0, padded.shape[2] - kernel_x + 1, stride_x):
            loops += weights.size
    expansion = expand(conv, shape)
    assert expansion.weight_gradient is not None
    assert macs(expansion.forward.gemms) == macs(expansion.weight_gradient.gemms) == loops
    assert parameters(conv, shape)["weight"] == weights.size
    assert parameters(conv, shape).get("bias", 0) == conv.bias * conv.out_channels


@given(convolutions())
def test_data_gradient_macs_are_between_those_that_meet_and_those_of_forward(case: tuple[Conv, Shape]) -> None:
    """What meets is counted by scattering every tap of every output."""
    conv, shape = case
    expansion, output = expand(conv, shape), infer(conv, shape)
    assert expansion.data_gradient is not None
    (kernel_y, kernel_x), (stride_y, stride_x) = np.atleast_1d(conv.kernel), np.atleast_1d(conv.stride)
    pad_y, pad_x = np.atleast_1d(conv.padding)
    hits = np.zeros((shape.height, shape.width), dtype=int)
    for y, x, tap_y, tap_x in product(range(output.height), range(output.width), range(kernel_y), range(kernel_x)):
        row, column = y * stride_y - pad_y + tap_y, x * stride_x - pad_x + tap_x
        if 0 <= row < shape.height and 0 <= column < shape.width:
            hits[row, column] += 1
    each = shape.channels * conv.out_channels // conv.groups
    assert hits.sum() * each <= macs(expansion.data_gradient.gemms) <= macs(expansion.forward.gemms)
    if not pad_y and not pad_x:
        assert macs(expansion.data_gradient.gemms) == hits.sum() * each


def test_gemms_of_a_convolution() -> None:
    """M x N x K of docs/model.md section 2, per sample."""
    expansion = expand(Conv(5, 3, padding=1), Shape(2, 6, 6))
    assert expansion.forward.gemms == (Gemm(36, 18, 5),)
    assert expansion.data_gradient is not None and expansion.weight_gradient is not None
    assert expansion.data_gradient.gemms == (Gemm(36, 45, 2),)
    assert expansion.weight_gradient.gemms == (Gemm(18, 36, 5, BatchedDimension.K),)


def test_strided_data_gradient_is_split_by_parity() -> None:
    """3x3, stride 2, padding 1 on 6x6: of every 2x2 positions one meets 1 tap, two meet 2, one meets 4."""
    gradient = expand(Conv(5, 3, 2, 1), Shape(2, 6, 6)).data_gradient
    assert gradient is not None
    assert set(gradient.gemms) == {Gemm(9, 5, 2), Gemm(9, 10, 2, count=2), Gemm(9, 20, 2)}


def test_a_kernel_smaller_than_its_stride_leaves_positions_without_gradient() -> None:
    gradient = expand(Conv(5, 1, 2), Shape(2, 6, 6)).data_gradient
    assert gradient is not None
    assert gradient.gemms == (Gemm(9, 5, 2),)


def test_grouped_and_depthwise_gemms_run_group_by_group() -> None:
    grouped = expand(Conv(8, 3, padding=1, groups=2), Shape(4, 6, 6))
    assert grouped.forward.gemms == (Gemm(36, 2 * 9, 4, BatchedDimension.M, 2),)
    depthwise = expand(Conv(4, 3, padding=1, groups=4), Shape(4, 6, 6))
    assert depthwise.forward.gemms == (Gemm(36, 9, 1, BatchedDimension.M, 4),)
    assert depthwise.data_gradient is not None and depthwise.weight_gradient is not None
    assert depthwise.data_gradient.gemms == (Gemm(36, 9, 1, BatchedDimension.M, 4),)
    assert depthwise.weight_gradient.gemms == (Gemm(9, 36, 1, BatchedDimension.K, 4),)


@given(convolutions())
def test_lookahead_covers_every_window_and_no_more(case: tuple[Conv, Shape]) -> None:
    """While row y is made, y rows are complete: their even share of what is read, and the lookahead, hold its window.

    What a row of the result reads is found tap by tap.  The lookahead is the least number of rows that does.
    """
    conv, shape = case
    output = infer(conv, shape)
    (kernel, _), (stride, _), (padding, _) = map(tuple, (conv.kernel, conv.stride, conv.padding))  # type: ignore[arg-type]
    met = [(y, y * stride - padding + tap) for y in range(output.height) for tap in range(kernel)]
    met = [(y, row) for y, row in met if 0 <= row < shape.height]
    expansion = expand(conv, shape)
    assert expansion.data_gradient is not None
    forward = [(y, row + 1) for y, row in met]
    backward = [(row, y + 1) for y, row in met]
    assert expansion.forward.lookahead == (least_lead(forward, shape.height, output.height), shape.height)
    found, rows = expansion.data_gradient.lookahead
    assert rows == output.height
    assert found >= least_lead(backward, output.height, shape.height)


def least_lead(windows: list[tuple[int, int]], rows_read: int, rows_made: int) -> int:
    """The fewest rows beyond the even share that hold, for every (row begun, rows needed), what is needed."""
    return max([0, *(math.ceil(rows - Fraction(row * rows_read, rows_made)) for row, rows in windows)])


# -- everything else -----------------------------------------------------------------------------------------


def test_linear() -> None:
    linear = Linear(10)
    expansion = expand(linear, Shape(20))
    assert infer(linear, Shape(20)) == Shape(10)
    assert parameters(linear, Shape(20)) == {"weight": 200, "bias": 10}
    assert parameters(Linear(10, bias=False), Shape(20)) == {"weight": 200}
    assert expansion.data_gradient is not None and expansion.weight_gradient is not None
    assert [expansion.forward.gemms, expansion.data_gradient.gemms, expansion.weight_gradient.gemms] == [
        (Gemm(1, 20, 10),),
        (Gemm(1, 10, 20),),
        (Gemm(20, 1, 10, BatchedDimension.K),),
    ]


def test_a_gemm_over_samples() -> None:
    assert Gemm(3, 5, 7).at(2) == (6, 5, 7)
    assert Gemm(3, 5, 7, BatchedDimension.K).at(2) == (3, 10, 7)
    assert Gemm(3, 5, 7, count=4).macs == 420


def test_group_normalization() -> None:
    norm, shape = GroupNorm(2), Shape(4, 3, 3)
    expansion = expand(norm, shape)
    assert parameters(norm, shape) == {"scale": 4, "shift": 4}
    assert [(each.name, each.bits) for each in expansion.saved] == [("statistics", 2 * 64)]
    assert expansion.forward.reads_input == 2
    assert expansion.data_gradient is not None
    assert (expansion.data_gradient.reads_input, expansion.data_gradient.reads_gradient) == (2, 2)
    with pytest.raises(ValueError, match=r"^3 groups do not divide 4 channels$"):
        infer(GroupNorm(3), shape)


@pytest.mark.parametrize(("kernel", "bits"), [(1, 1), (2, 2), (3, 4), ((2, 3), 3), (4, 4), (5, 5)])
def test_indices_number_the_positions_of_a_window(kernel: Any, bits: int) -> None:
    pool = MaxPool(kernel, 1)
    (saved,) = expand(pool, Shape(2, 8, 8)).saved
    assert (saved.name, saved.bits) == ("indices", bits * infer(pool, Shape(2, 8, 8)).elements)


def test_average_pooling_saves_nothing() -> None:
    assert expand(AvgPool(2, 2), Shape(2, 8, 8)).saved == ()
    assert expand(GlobalAvgPool(), Shape(2, 8, 8)).saved == ()
    assert infer(GlobalAvgPool(), Shape(2, 8, 8)) == Shape(2)


def test_merges() -> None:
    assert infer(Add(), Shape(2, 4, 4), Shape(2, 4, 4), Shape(2, 4, 4)) == Shape(2, 4, 4)
    assert infer(Concat(), Shape(2, 4, 4), Shape(3, 4, 4)) == Shape(5, 4, 4)
    assert expand(Add(), *[Shape(2, 4, 4)] * 3).forward.passes[0].lane_operations == 2
    for kind, other in ((Add(), Shape(3, 4, 4)), (Concat(), Shape(2, 4, 5))):
        with pytest.raises(ValueError, match=r"two or more equal"):
            infer(kind, Shape(2, 4, 4), other)
        with pytest.raises(ValueError, match=r"two or more equal"):
            infer(kind, Shape(2, 4, 4))


def test_the_loss_keeps_fp16_probabilities() -> None:
    (saved,) = expand(CrossEntropy(), Shape(10)).saved
    assert (saved.name, saved.bits) == ("probabilities", 160)
    with pytest.raises(ValueError, match=r"^takes one score a class, not 2x3x3; put a Flatten before it$"):
        infer(CrossEntropy(), Shape(2, 3, 3))


@pytest.mark.parametrize("kind", [ReLU(), ReLU(6.0), Dropout()])
def test_elementwise_layers_keep_a_bit_an_element(kind: LayerKind) -> None:
    rules = KINDS[type(kind)]
    assert (rules.role, rules.mask_bits, rules.lane_operations) == (LayerRole.ELEMENTWISE, 1, 1)
    assert infer(kind, Shape(2, 3, 4)) == Shape(2, 3, 4)


# -- PyTorch's shapes ----------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(convolutions())
def test_convolution_shapes_are_pytorchs(case: tuple[Conv, Shape]) -> None:
    torch = pytest.importorskip("torch")
    conv, shape = case
    layer = torch.nn.Conv2d(
        shape.channels, conv.out_channels, conv.kernel, conv.stride, conv.padding, groups=conv.groups, device="meta"
    )
    output = layer(torch.empty(1, shape.channels, shape.height, shape.width, device="meta"))
    assert infer(conv, shape) == Shape(*output.shape[1:])


@settings(max_examples=100)
@given(
    size=st.tuples(sizes, sizes),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    round_up=st.booleans(),
)
def test_pooling_shapes_are_pytorchs(
    size: tuple[int, int], kernel: int, stride: int, padding: int, round_up: bool
) -> None:
    torch = pytest.importorskip("torch")
    assume(min(size) + 2 * padding >= kernel >= 2 * padding)
    image = torch.empty(1, 2, *size, device="meta")
    expected = Shape(*torch.nn.MaxPool2d(kernel, stride, padding, ceil_mode=round_up)(image).shape[1:])
    assert infer(MaxPool(kernel, stride, padding, round_up), Shape(2, *size)) == expected
    assert infer(AvgPool(kernel, stride, padding, round_up), Shape(2, *size)) == expected
