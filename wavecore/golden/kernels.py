"""What each layer kind computes on real numbers, forward and backward: one table, written from the definitions.

Arrays are (samples, channels, height, width).  Convolutions are im2col GEMMs; group normalization uses
``EPSILON``; average pooling divides by the window inside the padded image; the maximum of a window is its first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from wavecore.golden.operands import AnyArray, Kernels, LayerOperands, present
from wavecore.golden.sequences import SEQUENCE_KERNELS
from wavecore.network.graph import Layer
from wavecore.network.layers import (
    AdaptiveAvgPool,
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    CrossEntropy,
    Dropout,
    GlobalAvgPool,
    GroupNorm,
    LayerKind,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.layers.adaptive import windows
from wavecore.network.layers.base import pair
from wavecore.network.shapes import Shape

EPSILON = 1e-5  # added to the variance
_BATCH = (0, 2, 3)  # the axes over which a batch normalization takes its statistics


# -- windows ---------------------------------------------------------------------------------------------


def _taps(kind: Conv | MaxPool | AvgPool, output: Shape) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Each position of the window, row by row: its number, and where in the padded image all windows have it."""
    (height, width), (down, across) = pair(kind.kernel), pair(kind.stride)
    for number, (y, x) in enumerate(product(range(height), range(width))):
        rows = slice(y, y + down * (output.height - 1) + 1, down)
        yield number, (rows, slice(x, x + across * (output.width - 1) + 1, across))


def _padded_size(kind: Conv | MaxPool | AvgPool, shape: Shape, output: Shape) -> tuple[int, int]:
    """Rows and columns that the windows reach over, at least the padded image."""
    kernel, stride, padding = pair(kind.kernel), pair(kind.stride), pair(kind.padding)
    reach = [stride[axis] * (count - 1) + kernel[axis] for axis, count in enumerate((output.height, output.width))]
    return max(reach[0], shape.height + 2 * padding[0]), max(reach[1], shape.width + 2 * padding[1])


def _pad(kind: Conv | MaxPool | AvgPool, image: AnyArray, output: Shape, fill: float = 0.0) -> AnyArray:
    height, width = image.shape[2:]
    top, left = pair(kind.padding)
    size = _padded_size(kind, Shape(image.shape[1], height, width), output)
    padded = np.full((*image.shape[:2], *size), fill, dtype=image.dtype)
    padded[:, :, top : top + height, left : left + width] = image
    return padded


def _columns(kind: Conv | MaxPool | AvgPool, image: AnyArray, output: Shape, fill: float = 0.0) -> AnyArray:
    """im2col: (samples, channels, taps, output height, output width)."""
    padded = _pad(kind, image, output, fill)
    return np.stack([padded[:, :, rows, columns] for _, (rows, columns) in _taps(kind, output)], axis=2)


def _image(kind: Conv | MaxPool | AvgPool, columns: AnyArray, shape: Shape, output: Shape) -> AnyArray:
    """The transpose of `_columns`: add every tap to the pixel that it came from."""
    top, left = pair(kind.padding)
    size = _padded_size(kind, shape, output)
    padded = np.zeros((*columns.shape[:2], *size), dtype=columns.dtype)
    for number, (rows, across) in _taps(kind, output):
        padded[:, :, rows, across] += columns[:, :, number]
    return padded[:, :, top : top + shape.height, left : left + shape.width]


# -- GEMMs -----------------------------------------------------------------------------------------------


def _conv_matrices(conv: Conv, weight: AnyArray, channels: int) -> tuple[AnyArray, AnyArray | None]:
    """The weight as (groups, outputs a group, inputs a group x taps), and the bias."""
    depth = channels // conv.groups * pair(conv.kernel)[0] * pair(conv.kernel)[1]
    count = conv.out_channels * depth
    matrix = weight[:count].reshape(conv.groups, conv.out_channels // conv.groups, depth)
    return matrix, weight[count:] if conv.bias else None


def _grouped(array: AnyArray, groups: int, rows: int) -> AnyArray:
    """(samples, groups, rows, pixels)."""
    return array.reshape(array.shape[0], groups, rows, -1)


def _conv_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    (image,) = o.inputs
    matrix, bias = _conv_matrices(o.kind, present(o.weight), image.shape[1])
    columns = _grouped(_columns(o.kind, image, o.output), o.kind.groups, matrix.shape[2])
    result = np.matmul(matrix, columns).reshape(-1, o.output.channels, o.output.height, o.output.width)
    return result if bias is None else result + bias[:, None, None], {}


def _conv_data_gradient(o: LayerOperands) -> list[AnyArray]:
    (shape,) = o.input_shapes
    matrix, _ = _conv_matrices(o.kind, present(o.weight), shape.channels)
    gradient = _grouped(present(o.gradient), o.kind.groups, matrix.shape[1])
    columns = np.matmul(matrix.transpose(0, 2, 1), gradient)
    columns = columns.reshape(len(gradient), shape.channels, -1, o.output.height, o.output.width)
    return [_image(o.kind, columns, shape, o.output)]


def _conv_weight_gradient(o: LayerOperands) -> AnyArray:
    (image,) = o.inputs
    conv, gradient = o.kind, present(o.gradient)
    depth = image.shape[1] // conv.groups * pair(conv.kernel)[0] * pair(conv.kernel)[1]
    columns = _grouped(_columns(conv, image, o.output), conv.groups, depth)
    results = _grouped(gradient, conv.groups, conv.out_channels // conv.groups)
    weight = np.matmul(results, columns.transpose(0, 1, 3, 2)).sum(axis=0).ravel()
    return np.concatenate([weight, gradient.sum(axis=(0, 2, 3))]) if conv.bias else weight


def _linear_matrix(o: LayerOperands) -> AnyArray:
    features = o.input_shapes[0].channels
    return present(o.weight)[: o.kind.out_features * features].reshape(o.kind.out_features, features)


def _linear_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    matrix = _linear_matrix(o)
    result = np.matmul(matrix, o.inputs[0][:, :, :, 0])
    if o.kind.bias:
        result = result + present(o.weight)[matrix.size :, None]
    return result[:, :, :, None], {}


def _linear_data_gradient(o: LayerOperands) -> list[AnyArray]:
    return [np.matmul(_linear_matrix(o).T, present(o.gradient)[:, :, :, 0])[:, :, :, None]]


def _linear_weight_gradient(o: LayerOperands) -> AnyArray:
    gradient = present(o.gradient)[:, :, :, 0]
    weight = np.matmul(gradient, o.inputs[0][:, :, :, 0].transpose(0, 2, 1)).sum(axis=0).ravel()
    return np.concatenate([weight, gradient.sum(axis=(0, 2))]) if o.kind.bias else weight


# -- normalization ---------------------------------------------------------------------------------------


def _normalized(o: LayerOperands, statistics: AnyArray) -> tuple[AnyArray, AnyArray]:
    """(x_hat, reciprocal deviation), both as (samples, groups, elements of a group)."""
    image = o.inputs[0].reshape(len(o.inputs[0]), o.kind.groups, -1)
    pairs = statistics.reshape(len(image), o.kind.groups, 2, 1)
    return (image - pairs[:, :, 0]) * pairs[:, :, 1], pairs[:, :, 1]


def _norm_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    image = o.inputs[0].reshape(len(o.inputs[0]), o.kind.groups, -1)
    statistics = np.stack([image.mean(axis=2), 1 / np.sqrt(image.var(axis=2) + EPSILON)], axis=2)
    scale, shift = np.split(present(o.weight), 2)
    x_hat = _normalized(o, statistics)[0].reshape(o.inputs[0].shape)
    return x_hat * scale[:, None, None] + shift[:, None, None], {"statistics": statistics}


def _norm_data_gradient(o: LayerOperands) -> list[AnyArray]:
    x_hat, deviation = _normalized(o, o.saved["statistics"])
    scale = np.split(present(o.weight), 2)[0]
    scaled = (present(o.gradient) * scale[:, None, None]).reshape(x_hat.shape)
    projection = (scaled * x_hat).mean(axis=2, keepdims=True)
    result = deviation * (scaled - scaled.mean(axis=2, keepdims=True) - x_hat * projection)
    return [result.reshape(o.inputs[0].shape)]


def _norm_weight_gradient(o: LayerOperands) -> AnyArray:
    x_hat = _normalized(o, o.saved["statistics"])[0].reshape(o.inputs[0].shape)
    gradient = present(o.gradient)
    return np.concatenate([(gradient * x_hat).sum(axis=(0, 2, 3)), gradient.sum(axis=(0, 2, 3))])


def _batch_normalized(o: LayerOperands) -> tuple[AnyArray, AnyArray]:
    """(x_hat, reciprocal deviation) of a whole mini-batch."""
    image = o.inputs[0]
    deviation = 1 / np.sqrt(image.var(axis=_BATCH, keepdims=True) + EPSILON)
    return (image - image.mean(axis=_BATCH, keepdims=True)) * deviation, deviation


def _batch_norm_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    scale, shift = np.split(present(o.weight), 2)
    return _batch_normalized(o)[0] * scale[:, None, None] + shift[:, None, None], {}


def _batch_norm_data_gradient(o: LayerOperands) -> list[AnyArray]:
    x_hat, deviation = _batch_normalized(o)
    scaled = present(o.gradient) * np.split(present(o.weight), 2)[0][:, None, None]
    projection = (scaled * x_hat).mean(axis=_BATCH, keepdims=True)
    return [deviation * (scaled - scaled.mean(axis=_BATCH, keepdims=True) - x_hat * projection)]


def _batch_norm_weight_gradient(o: LayerOperands) -> AnyArray:
    gradient = present(o.gradient)
    return np.concatenate([(gradient * _batch_normalized(o)[0]).sum(axis=_BATCH), gradient.sum(axis=_BATCH)])


# -- pooling ---------------------------------------------------------------------------------------------


def _max_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    columns = _columns(o.kind, o.inputs[0], o.output, -np.inf)
    indices = columns.argmax(axis=2)
    return np.take_along_axis(columns, indices[:, :, None], axis=2)[:, :, 0], {"indices": indices}


def _max_data_gradient(o: LayerOperands) -> list[AnyArray]:
    gradient = present(o.gradient)
    height, width = pair(o.kind.kernel)
    columns = np.zeros((*gradient.shape[:2], height * width, *gradient.shape[2:]), dtype=gradient.dtype)
    indices = o.saved["indices"].astype(np.int64).reshape(gradient.shape)
    np.put_along_axis(columns, indices[:, :, None], gradient[:, :, None], axis=2)
    return [_image(o.kind, columns, o.input_shapes[0], o.output)]


def _divisors(o: LayerOperands) -> AnyArray:
    """Positions of each window inside the padded image, (output height, output width)."""
    shape, kernel, stride, padding = o.input_shapes[0], pair(o.kind.kernel), pair(o.kind.stride), pair(o.kind.padding)
    counts = []
    for axis, (size, count) in enumerate(((shape.height, o.output.height), (shape.width, o.output.width))):
        starts = np.arange(count) * stride[axis] - padding[axis]
        counts.append(np.minimum(starts + kernel[axis], size + padding[axis]) - starts)
    return np.outer(counts[0], counts[1])


def _average_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    total = _columns(o.kind, o.inputs[0], o.output).sum(axis=2)
    return total / _divisors(o).astype(total.dtype), {}


def _average_data_gradient(o: LayerOperands) -> list[AnyArray]:
    gradient = present(o.gradient)
    height, width = pair(o.kind.kernel)
    shared = gradient / _divisors(o).astype(gradient.dtype)
    columns = np.repeat(shared[:, :, None], height * width, axis=2)
    return [_image(o.kind, columns, o.input_shapes[0], o.output)]


def _cells(shape: Shape, output: Shape) -> Iterator[tuple[int, int, slice, slice]]:
    """Each output of adaptive pooling, with the rows and columns whose mean it is."""
    for (y, rows), (x, columns) in product(
        enumerate(windows(shape.height, output.height)), enumerate(windows(shape.width, output.width))
    ):
        yield y, x, slice(rows.start, rows.stop), slice(columns.start, columns.stop)


def _adaptive_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    (image,) = o.inputs
    result = np.empty((*image.shape[:2], o.output.height, o.output.width), dtype=image.dtype)
    for y, x, rows, columns in _cells(o.input_shapes[0], o.output):
        result[:, :, y, x] = image[:, :, rows, columns].mean(axis=(2, 3))
    return result, {}


def _adaptive_data_gradient(o: LayerOperands) -> list[AnyArray]:
    gradient, shape = present(o.gradient), o.input_shapes[0]
    result = np.zeros((len(gradient), shape.channels, shape.height, shape.width), dtype=gradient.dtype)
    for y, x, rows, columns in _cells(shape, o.output):
        count = (rows.stop - rows.start) * (columns.stop - columns.start)
        result[:, :, rows, columns] += gradient[:, :, y, x][:, :, None, None] / count
    return [result]


# -- the rest --------------------------------------------------------------------------------------------


def _loss_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    """The loss of each sample, the mean of its steps (not yet averaged over samples), and the probabilities."""
    scores = o.inputs[0][:, :, :, 0]
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithm = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    each = logarithm - np.take_along_axis(shifted, _labels(o), axis=1)
    return each.mean(axis=(1, 2)), {"probabilities": np.exp(shifted - logarithm)}


def _labels(o: LayerOperands) -> AnyArray:
    """The right class of every step: (samples, 1, steps)."""
    return present(o.labels).reshape(-1, 1, o.output.height)


def _loss_data_gradient(o: LayerOperands) -> list[AnyArray]:
    result = o.saved["probabilities"].reshape(-1, o.output.channels, o.output.height).copy()
    right = np.take_along_axis(result, _labels(o), axis=1)
    np.put_along_axis(result, _labels(o), right - 1, axis=1)
    return [(result / (o.batch * o.output.height))[:, :, :, None]]


def _add_forward(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    return np.sum(np.stack(list(o.inputs)), axis=0), {}


def _pass_on(o: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    return o.inputs[0], {}


KERNELS: Mapping[type[LayerKind], Kernels] = {
    Conv: Kernels(_conv_forward, _conv_data_gradient, _conv_weight_gradient),
    Linear: Kernels(_linear_forward, _linear_data_gradient, _linear_weight_gradient),
    GroupNorm: Kernels(_norm_forward, _norm_data_gradient, _norm_weight_gradient),
    BatchNorm: Kernels(_batch_norm_forward, _batch_norm_data_gradient, _batch_norm_weight_gradient),
    MaxPool: Kernels(_max_forward, _max_data_gradient),
    AvgPool: Kernels(_average_forward, _average_data_gradient),
    GlobalAvgPool: Kernels(_adaptive_forward, _adaptive_data_gradient),
    AdaptiveAvgPool: Kernels(_adaptive_forward, _adaptive_data_gradient),
    Add: Kernels(_add_forward),
    CrossEntropy: Kernels(_loss_forward, _loss_data_gradient),
    ReLU: Kernels(_pass_on),  # elementwise kinds act through `elementwise`, fused or not
    Dropout: Kernels(_pass_on),
    **SEQUENCE_KERNELS,
}


def elementwise(layers: Sequence[Layer], value: AnyArray, kept: Mapping[str, AnyArray]) -> tuple[AnyArray, AnyArray]:
    """Apply elementwise ``layers`` in order; returns the result and where its gradient passes.

    ``value`` is (samples, elements); ``kept`` gives the elements that each dropout keeps.
    """
    mask = np.ones(value.shape, dtype=bool)
    for layer in layers:
        if isinstance(layer.kind, Dropout):
            passes = kept[layer.name]
            value = value * passes / (1 - layer.kind.rate)
        else:
            ceiling = np.inf if layer.kind.ceiling is None else layer.kind.ceiling  # type: ignore[attr-defined]
            passes = (value > 0) & (value < ceiling)
            value = np.clip(value, 0, ceiling)
        mask &= passes
    return value, mask


def mask_scale(layers: Sequence[Layer]) -> float:
    """The factor on the gradient where the mask of `elementwise` lets it pass."""
    scale = 1.0
    for layer in layers:
        if isinstance(layer.kind, Dropout):
            scale /= 1 - layer.kind.rate
    return scale
