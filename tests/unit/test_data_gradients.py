"""Is the data gradient of a convolution exact, and free of products that do not exist?  PyTorch is the referee."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from builders import machine
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wavecore.network.compute import Gemm, TrimmedProduct
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import KINDS, Conv, CrossEntropy, Flatten, LayerKind, Linear, ReLU
from wavecore.network.layers.base import Expansion, pair
from wavecore.network.layers.convolution import TapClass, gradient_classes, tap_classes
from wavecore.network.shapes import Shape
from wavecore.simulation import simulate

torch = pytest.importorskip("torch")


def expand(kind: LayerKind, shape: Shape) -> Expansion:
    rules = KINDS[type(kind)]
    assert rules.expand is not None
    return rules.expand(kind, (shape,), rules.infer(kind, (shape,)))


def data_gradient(conv: Conv, shape: Shape) -> tuple[Gemm, ...]:
    work = expand(conv, shape).data_gradient
    assert work is not None
    return work.gemms


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Shape]:
    """Kernels up to beyond the image, strides beyond the kernel, padding beyond what the kernel reaches."""
    groups = draw(st.integers(1, 3))
    two = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
    shape = Shape(groups * draw(st.integers(1, 3)), *draw(two(1, 9)))
    kernel, stride, padding = draw(two(1, 9)), draw(two(1, 5)), draw(two(0, 4))
    assume(shape.height + 2 * padding[0] >= kernel[0] and shape.width + 2 * padding[1] >= kernel[1])
    return Conv(groups * draw(st.integers(1, 3)), kernel, stride, padding, groups), shape


@settings(deadline=None)
@given(convolutions())
def test_no_phase_takes_more_macs_than_pytorch_counts(case: tuple[Conv, Shape]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    conv, shape = case
    weight = torch.zeros(conv.out_channels, shape.channels // conv.groups, *pair(conv.kernel))
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.conv2d(
            torch.zeros(1, *astuple(shape)), weight, None, conv.stride, conv.padding, groups=conv.groups
        )
    counted = counter.get_total_flops() // 2
    work = expand(conv, shape)
    assert work.weight_gradient is not None and work.data_gradient is not None
    forward, weight_gradient, gradient = (
        sum(gemm.macs for gemm in phase.gemms) for phase in (work.forward, work.weight_gradient, work.data_gradient)
    )
    assert forward == weight_gradient == counted
    assert gradient <= counted


def outputs_under(classes: TapClass, stride: int, padding: int) -> np.ndarray:
    """Return the outputs that each position reads, (positions, taps); all members must read the same."""
    read = [
        [[(member.first + j * stride + padding - tap) / stride for tap in member.taps] for j in range(classes.count)]
        for member in classes.members
    ]
    assert all(rows == read[0] for rows in read)
    return np.array(read[0], dtype=int)


def multiplied(conv: Conv, shape: Shape, gradient: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, list[Gemm]]:
    """Carry out the products of a data gradient; return it and the products.  Every position is written once."""
    stride, padding = pair(conv.stride), pair(conv.padding)
    result, written = np.zeros((len(gradient), *astuple(shape))), np.zeros((shape.height, shape.width), dtype=int)
    far = 20  # zeros around the output, for products with what is outside
    around = np.pad(gradient, ((0, 0), (0, 0), (far, far), (far, far)))
    outputs, inputs = conv.out_channels // conv.groups, shape.channels // conv.groups
    gemms = []
    for group, (rows, columns) in product(range(conv.groups), gradient_classes(conv, shape)):
        own = around[:, group * outputs : (group + 1) * outputs]
        y, x = outputs_under(rows, stride[0], padding[0]) + far, outputs_under(columns, stride[1], padding[1]) + far
        read = own[:, :, y[:, None, :, None], x[None, :, None, :]]  # samples, outputs, rows, columns, taps, taps
        left = read.transpose(0, 2, 3, 1, 4, 5).reshape(len(gradient) * rows.count * columns.count, -1)
        pairs = list(product(rows.members, columns.members))
        kernels = weight[group * outputs : (group + 1) * outputs]
        right = np.stack([kernels[:, :, down.taps][:, :, :, across.taps] for down, across in pairs], axis=-1)
        right = right.transpose(0, 2, 3, 1, 4).reshape(-1, inputs * len(pairs))
        made = (left @ right).reshape(len(gradient), rows.count, columns.count, inputs, len(pairs))
        for number, (down, across) in enumerate(pairs):
            at = np.ix_(
                down.first + stride[0] * np.arange(rows.count), across.first + stride[1] * np.arange(columns.count)
            )
            written[at] += group == 0
            for channel in range(inputs):
                result[:, group * inputs + channel][:, at[0], at[1]] = made[:, :, :, channel, number]
        gemms.append(Gemm(left.shape[0] // len(gradient), left.shape[1], right.shape[1]))
    assert written.max(initial=0) <= 1
    return result, gemms


@settings(deadline=None)
@given(convolutions(), st.integers(0, 2**32 - 1))
def test_the_products_are_the_gradient(case: tuple[Conv, Shape], seed: int) -> None:
    """Small whole numbers, so that every sum is exact."""
    conv, shape = case
    numbers = np.random.default_rng(seed)
    output = KINDS[Conv].infer(conv, (shape,))
    weight = numbers.integers(-4, 5, (conv.out_channels, shape.channels // conv.groups, *pair(conv.kernel)))
    gradient = numbers.integers(-4, 5, (2, *astuple(output)))
    ours, gemms = multiplied(conv, shape, gradient, weight)
    exact = torch.nn.grad.conv2d_input(
        (2, *astuple(shape)),
        torch.tensor(weight, dtype=torch.float64),
        torch.tensor(gradient, dtype=torch.float64),
        conv.stride,
        conv.padding,
        groups=conv.groups,
    )
    assert np.array_equal(ours, exact.numpy())
    each = [gemm for gemm in data_gradient(conv, shape) for _ in range(gemm.count)]
    assert sorted(map(sizes, each)) == sorted(map(sizes, gemms))


def sizes(gemm: Gemm) -> tuple[int, int, int]:
    return gemm.m, gemm.k, gemm.n


# -- waves that leave out rows -----------------------------------------------------------------------------------------


def reaching(size: int, outputs: int, kernel: int, stride: int, padding: int) -> list[dict[int, int]]:
    """Return for each position of an axis its taps, and the output that each reaches, by trying all outputs."""
    found: list[dict[int, int]] = [{} for _ in range(size)]
    for output, tap in product(range(outputs), range(kernel)):
        if 0 <= (position := output * stride - padding + tap) < size:
            found[position][tap] = output
    return found


@st.composite
def unpadded(draw: st.DrawFn) -> tuple[Conv, Shape]:
    """Unpadded convolutions with rows that only some taps reach."""
    tall, wide = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    down, across = draw(st.integers(1, tall - 1)), draw(st.integers(1, 3))
    height, width = tall + down + draw(st.integers(0, 4)), wide + draw(st.integers(0, 6))
    conv = Conv(draw(st.integers(1, 4)), (tall, wide), (down, across))
    return conv, Shape(draw(st.integers(1, 3)), height, width)


@settings(deadline=None)
@given(unpadded(), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_trimmed_waves_are_the_gradient(case: tuple[Conv, Shape], wave_rows: int, seed: int) -> None:
    """A wave of some rows of the right operand streams as many rows as its taps reach, and the others are zeros."""
    conv, shape = case
    work = expand(conv, shape).data_gradient
    output, numbers = KINDS[Conv].infer(conv, (shape,)), np.random.default_rng(seed)
    kernel, stride, padding = pair(conv.kernel), pair(conv.stride), pair(conv.padding)
    assert work is not None and work.trimmed
    weight = numbers.integers(-4, 5, (conv.out_channels, shape.channels, *kernel))
    gradient = numbers.integers(-4, 5, (conv.out_channels, output.height, output.width))
    rows, columns = (
        reaching(size, count, kernel[i], stride[i], padding[i])
        for i, (size, count) in enumerate(zip((shape.height, shape.width), (output.height, output.width), strict=True))
    )
    result = np.zeros(astuple(shape))
    parities = {
        (y % stride[0], x % stride[1]): None
        for y, x in product(range(shape.height), range(shape.width))
        if rows[y] and columns[x]
    }
    left = list(work.trimmed)
    for down, across in parities:
        positions = [
            (y, x)
            for y, x in product(range(down, shape.height, stride[0]), range(across, shape.width, stride[1]))
            if rows[y] and columns[x]
        ]
        taps = sorted({tap for y, x in positions for tap in product(rows[y], columns[x])})
        a = np.array(
            [
                [
                    gradient[:, rows[y][i], columns[x][j]]
                    if i in rows[y] and j in columns[x]
                    else 0 * gradient[:, 0, 0]
                    for i, j in taps
                ]
                for y, x in positions
            ]
        ).reshape(len(positions), -1)
        b = np.array([weight[:, :, i, j] for i, j in taps]).reshape(-1, shape.channels)
        whole = [[i in rows[y] and j in columns[x] for i, j in taps] for y, x in positions]
        mine = next(each for each in left if matches(each, np.array(whole)))
        left.remove(mine)
        made = np.zeros((len(positions), shape.channels), dtype=int)
        for start in range(0, len(b), wave_rows):
            end = min(start + wave_rows, len(b))
            first, last = start // conv.out_channels, (end - 1) // conv.out_channels
            reached = np.array(whole)[:, first : last + 1].any(axis=1)
            assert mine.rows(first, last) == reached.sum()
            assert not a[~reached, start:end].any()
            made[reached] += a[reached, start:end] @ b[start:end]
        for at, (y, x) in enumerate(positions):
            result[:, y, x] = made[at]
    exact = torch.nn.grad.conv2d_input(
        (1, *astuple(shape)),
        torch.tensor(weight, dtype=torch.float64),
        torch.tensor(gradient[None], dtype=torch.float64),
        conv.stride,
        conv.padding,
    )
    assert not left
    assert np.array_equal(result, exact.numpy()[0])
    assert sum(
        rows * len(taps) * each.depth * each.n * each.count for each in work.trimmed for rows, taps in each.reached
    ) == sum(gemm.macs for gemm in work.gemms)


def matches(found: TrimmedProduct, whole: np.ndarray) -> bool:
    """Whether a product has the taps of these positions."""
    wanted = Counter(frozenset(np.flatnonzero(row).tolist()) for row in whole)
    mine: Counter[frozenset[int]] = Counter()
    for rows, taps in found.reached:
        mine[taps] += rows
    return mine == wanted and found.taps == whole.shape[1]


# -- the forms that have names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(56, 3, 1, 1), (56, 3, 2, 1), (55, 3, 2, 1), (17, 7, 1, 3), (224, 7, 2, 3), (14, 1, 1, 0), (14, 1, 2, 0)],
)
def test_a_padded_axis_is_one_product_for_each_parity(size: int, kernel: int, stride: int, padding: int) -> None:
    """Edges are not apart: there, taps meet zeros, as they do in the forward pass."""
    expected = [
        (len(range(residue, size, stride)), len(range((residue + padding) % stride, kernel, stride)))
        for residue in range(stride)
    ]
    found = tap_classes(size, kernel, stride, padding)
    assert [(each.count, each.taps) for each in found] == [each for each in expected if each[1]]
    assert all(len(each.members) == 1 for each in found)


def test_an_unpadded_axis_has_its_edges_apart() -> None:
    """3 taps on 6 positions: the outer ones meet 1 and 2 of them, so that 12 products are made, not 18."""
    assert [(each.count, each.taps) for each in tap_classes(6, 3, 1, 0)] == [(1, 1), (1, 2), (2, 3), (1, 2), (1, 1)]


def test_a_kernel_over_the_whole_image_is_one_product() -> None:
    assert data_gradient(Conv(4096, 7), Shape(512, 7, 7)) == (Gemm(1, 4096, 512 * 49),)


def test_a_patch_embedding_is_one_product() -> None:
    assert data_gradient(Conv(768, 16, 16), Shape(3, 224, 224)) == (Gemm(14 * 14, 768, 3 * 16 * 16),)


def test_depthwise_products_are_per_channel() -> None:
    """3x3 over 5x5, unpadded, so that per axis 1, 1, 1, 1 and 1 positions meet 1, 2, 3, 2 and 1 taps."""
    gemms = data_gradient(Conv(4, 3, groups=4), Shape(4, 5, 5))
    assert sum(gemm.macs for gemm in gemms) == 3 * 3 * 9 * 4
    assert all(gemm.n == 1 and gemm.count % 4 == 0 for gemm in gemms)


def test_tiny_images_keep_each_weight_once() -> None:
    """3x3, padding 1, on 2x2: apart, 16 weights a pair of channels would be loaded, to save 20 of 36 products."""
    assert data_gradient(Conv(64, 3, padding=1), Shape(64, 2, 2)) == (Gemm(4, 64 * 9, 64),)


# -- a convolution over the whole image is a linear layer --------------------------------------------------------------


def head(kind: Conv | Linear) -> LayerGraph:
    net = Network("head", Shape(8, 9, 9))
    x = net(ReLU(), net(Conv(24, 3), net.input, name="body"))
    if isinstance(kind, Linear):
        x = net(Flatten(), x)
    x = net(ReLU(), net(kind, x, name="wide"))
    if isinstance(kind, Conv):
        x = net(Flatten(), x)
    net(CrossEntropy(), net(Linear(10), x, name="classes"))
    return net.build()


@pytest.mark.parametrize("schedule", ["baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2"])
@pytest.mark.parametrize("buffer", ["10 MiB", "640 KiB"])
def test_a_convolution_over_the_whole_image_is_a_linear_layer_in_every_figure(schedule: str, buffer: str) -> None:
    accelerator = machine(f"core.global_buffer={buffer}")
    runs = [simulate(head(kind), schedule, accelerator, batch=8) for kind in (Conv(300, 7, bias=True), Linear(300))]
    conv, linear = (
        [{key: value for key, value in figures(row).items() if key not in ("name", "kind")} for row in run.rows]
        for run in runs
    )
    assert conv == linear
    assert runs[0].step_cycles == runs[1].step_cycles
    assert runs[0].global_buffer_bytes == runs[1].global_buffer_bytes


def figures(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}  # type: ignore[attr-defined]
