"""What each layer kind computes on real numbers, forward and backward: the table `KERNELS`.

Arrays are (samples, channels, height, width).  Convolutions are im2col GEMMs.  Normalizations add `EPSILON` to the
variance.  Average pooling divides by the number of window elements inside the padded image.  Where several elements of
a window have its maximum, max pooling takes the first.
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
_BATCH = (0, 2, 3)  # the axes over which batch normalization takes its statistics


# -- windows ---------------------------------------------------------------------------------------------


def _window_elements(kind: Conv | MaxPool | AvgPool, output: Shape) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yield (number, slices) for each element of the window, row by row.

    ``slices`` (rows, columns) select from the padded image the element of that number of all windows.
    """
    (height, width), (down, across) = pair(kind.kernel), pair(kind.stride)
    for number, (y, x) in enumerate(product(range(height), range(width))):
        rows = slice(y, y + down * (output.height - 1) + 1, down)
        yield number, (rows, slice(x, x + across * (output.width - 1) + 1, across))


def _padded_size(kind: Conv | MaxPool | AvgPool, shape: Shape, output: Shape) -> tuple[int, int]:
    """Return the (rows, columns) that the windows reach over, and at least those of the padded image."""
    kernel, stride, padding = pair(kind.kernel), pair(kind.stride), pair(kind.padding)
    reach = [stride[axis] * (count - 1) + kernel[axis] for axis, count in enumerate((output.height, output.width))]
    return max(reach[0], shape.height + 2 * padding[0]), max(reach[1], shape.width + 2 * padding[1])


def _pad(kind: Conv | MaxPool | AvgPool, image: AnyArray, output: Shape, fill: float = 0.0) -> AnyArray:
    """Pad an image with ``fill`` to `_padded_size`."""
    height, width = image.shape[2:]
    top, left = pair(kind.padding)
    size = _padded_size(kind, Shape(image.shape[1], height, width), output)
    padded = np.full((*image.shape[:2], *size), fill, dtype=image.dtype)
    padded[:, :, top : top + height, left : left + width] = image
    return padded


def _columns(kind: Conv | MaxPool | AvgPool, image: AnyArray, output: Shape, fill: float = 0.0) -> AnyArray:
    """Return im2col of an image: (samples, channels, window elements, output height, output width)."""
    padded = _pad(kind, image, output, fill)
    return np.stack([padded[:, :, rows, columns] for _, (rows, columns) in _window_elements(kind, output)], axis=2)


def _image(kind: Conv | MaxPool | AvgPool, columns: AnyArray, shape: Shape, output: Shape) -> AnyArray:
    """Apply the transpose of `_columns`: add every window element to the pixel that it came from."""
    top, left = pair(kind.padding)
    size = _padded_size(kind, shape, output)
    padded = np.zeros((*columns.shape[:2], *size), dtype=columns.dtype)
    for number, (rows, across) in _window_elements(kind, output):
        padded[:, :, rows, across] += columns[:, :, number]
    return padded[:, :, top : top + shape.height, left : left + shape.width]


# -- GEMMs -----------------------------------------------------------------------------------------------


def _conv_matrices(conv: Conv, weight: AnyArray, channels: int) -> tuple[AnyArray, AnyArray | None]:
    """Return the weight as (groups, outputs per group, inputs per group x window elements), and the bias or None."""
    depth = channels // conv.groups * pair(conv.kernel)[0] * pair(conv.kernel)[1]
    count = conv.out_channels * depth
    matrix = weight[:count].reshape(conv.groups, conv.out_channels // conv.groups, depth)
    return matrix, weight[count:] if conv.bias else None


def _grouped(array: AnyArray, groups: int, rows: int) -> AnyArray:
    """Reshape to (samples, groups, rows, pixels)."""
    return array.reshape(array.shape[0], groups, rows, -1)


def _conv_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    (image,) = operands.inputs
    matrix, bias = _conv_matrices(operands.kind, present(operands.weight), image.shape[1])
    columns = _grouped(_columns(operands.kind, image, operands.output), operands.kind.groups, matrix.shape[2])
    result = np.matmul(matrix, columns).reshape(
        -1, operands.output.channels, operands.output.height, operands.output.width
    )
    return result if bias is None else result + bias[:, None, None], {}


def _conv_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    (shape,) = operands.input_shapes
    matrix, _ = _conv_matrices(operands.kind, present(operands.weight), shape.channels)
    gradient = _grouped(present(operands.gradient), operands.kind.groups, matrix.shape[1])
    columns = np.matmul(matrix.transpose(0, 2, 1), gradient)
    columns = columns.reshape(len(gradient), shape.channels, -1, operands.output.height, operands.output.width)
    return [_image(operands.kind, columns, shape, operands.output)]


def _conv_weight_gradient(operands: LayerOperands) -> AnyArray:
    (image,) = operands.inputs
    conv, gradient = operands.kind, present(operands.gradient)
    depth = image.shape[1] // conv.groups * pair(conv.kernel)[0] * pair(conv.kernel)[1]
    columns = _grouped(_columns(conv, image, operands.output), conv.groups, depth)
    results = _grouped(gradient, conv.groups, conv.out_channels // conv.groups)
    weight = np.matmul(results, columns.transpose(0, 1, 3, 2)).sum(axis=0).ravel()
    return np.concatenate([weight, gradient.sum(axis=(0, 2, 3))]) if conv.bias else weight


def _linear_matrix(operands: LayerOperands) -> AnyArray:
    """Return the weight as (output features, input features)."""
    features = operands.input_shapes[0].channels
    return present(operands.weight)[: operands.kind.out_features * features].reshape(
        operands.kind.out_features, features
    )


def _linear_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    matrix = _linear_matrix(operands)
    result = np.matmul(matrix, operands.inputs[0][:, :, :, 0])
    if operands.kind.bias:
        result = result + present(operands.weight)[matrix.size :, None]
    return result[:, :, :, None], {}


def _linear_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    return [np.matmul(_linear_matrix(operands).T, present(operands.gradient)[:, :, :, 0])[:, :, :, None]]


def _linear_weight_gradient(operands: LayerOperands) -> AnyArray:
    gradient = present(operands.gradient)[:, :, :, 0]
    weight = np.matmul(gradient, operands.inputs[0][:, :, :, 0].transpose(0, 2, 1)).sum(axis=0).ravel()
    return np.concatenate([weight, gradient.sum(axis=(0, 2))]) if operands.kind.bias else weight


# -- normalization ---------------------------------------------------------------------------------------


def _normalized(operands: LayerOperands, statistics: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return (x_hat, reciprocal deviation): (samples, groups, elements per group) and (samples, groups, 1)."""
    image = operands.inputs[0].reshape(len(operands.inputs[0]), operands.kind.groups, -1)
    pairs = statistics.reshape(len(image), operands.kind.groups, 2, 1)
    return (image - pairs[:, :, 0]) * pairs[:, :, 1], pairs[:, :, 1]


def group_statistics(kind: GroupNorm, values: AnyArray) -> AnyArray:
    """Return the mean and the reciprocal deviation of each group of channels: (samples, groups, 2)."""
    image = values.reshape(len(values), kind.groups, -1)
    return np.stack([image.mean(axis=2), 1 / np.sqrt(image.var(axis=2) + EPSILON)], axis=2)


def _norm_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    statistics = operands.saved.get("statistics")  # taken where the input was made
    if statistics is None:
        statistics = group_statistics(operands.kind, operands.inputs[0])
    scale, shift = np.split(present(operands.weight), 2)
    x_hat = _normalized(operands, statistics)[0].reshape(operands.inputs[0].shape)
    return x_hat * scale[:, None, None] + shift[:, None, None], {"statistics": statistics}


def _norm_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    x_hat, deviation = _normalized(operands, operands.saved["statistics"])
    scale = np.split(present(operands.weight), 2)[0]
    scaled = (present(operands.gradient) * scale[:, None, None]).reshape(x_hat.shape)
    projection = (scaled * x_hat).mean(axis=2, keepdims=True)
    result = deviation * (scaled - scaled.mean(axis=2, keepdims=True) - x_hat * projection)
    return [result.reshape(operands.inputs[0].shape)]


def _norm_weight_gradient(operands: LayerOperands) -> AnyArray:
    x_hat = _normalized(operands, operands.saved["statistics"])[0].reshape(operands.inputs[0].shape)
    gradient = present(operands.gradient)
    return np.concatenate([(gradient * x_hat).sum(axis=(0, 2, 3)), gradient.sum(axis=(0, 2, 3))])


def _batch_normalized(operands: LayerOperands) -> tuple[AnyArray, AnyArray]:
    """Return (x_hat, reciprocal deviation) of all samples given: the input's shape and (1, channels, 1, 1)."""
    image = operands.inputs[0]
    deviation = 1 / np.sqrt(image.var(axis=_BATCH, keepdims=True) + EPSILON)
    return (image - image.mean(axis=_BATCH, keepdims=True)) * deviation, deviation


def _batch_norm_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    scale, shift = np.split(present(operands.weight), 2)
    return _batch_normalized(operands)[0] * scale[:, None, None] + shift[:, None, None], {}


def _batch_norm_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    x_hat, deviation = _batch_normalized(operands)
    scaled = present(operands.gradient) * np.split(present(operands.weight), 2)[0][:, None, None]
    projection = (scaled * x_hat).mean(axis=_BATCH, keepdims=True)
    return [deviation * (scaled - scaled.mean(axis=_BATCH, keepdims=True) - x_hat * projection)]


def _batch_norm_weight_gradient(operands: LayerOperands) -> AnyArray:
    gradient = present(operands.gradient)
    return np.concatenate([(gradient * _batch_normalized(operands)[0]).sum(axis=_BATCH), gradient.sum(axis=_BATCH)])


# -- pooling ---------------------------------------------------------------------------------------------


def _max_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    columns = _columns(operands.kind, operands.inputs[0], operands.output, -np.inf)
    indices = columns.argmax(axis=2)
    return np.take_along_axis(columns, indices[:, :, None], axis=2)[:, :, 0], {"indices": indices}


def _max_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    gradient = present(operands.gradient)
    height, width = pair(operands.kind.kernel)
    columns = np.zeros((*gradient.shape[:2], height * width, *gradient.shape[2:]), dtype=gradient.dtype)
    indices = operands.saved["indices"].astype(np.int64).reshape(gradient.shape)
    np.put_along_axis(columns, indices[:, :, None], gradient[:, :, None], axis=2)
    return [_image(operands.kind, columns, operands.input_shapes[0], operands.output)]


def _divisors(operands: LayerOperands) -> AnyArray:
    """Return the number of elements of each window inside the padded image: (output height, output width)."""
    shape, kernel, stride, padding = (
        operands.input_shapes[0],
        pair(operands.kind.kernel),
        pair(operands.kind.stride),
        pair(operands.kind.padding),
    )
    counts = []
    for axis, (size, count) in enumerate(
        ((shape.height, operands.output.height), (shape.width, operands.output.width))
    ):
        starts = np.arange(count) * stride[axis] - padding[axis]
        counts.append(np.minimum(starts + kernel[axis], size + padding[axis]) - starts)
    return np.outer(counts[0], counts[1])


def _average_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    total = _columns(operands.kind, operands.inputs[0], operands.output).sum(axis=2)
    return total / _divisors(operands).astype(total.dtype), {}


def _average_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    gradient = present(operands.gradient)
    height, width = pair(operands.kind.kernel)
    shared = gradient / _divisors(operands).astype(gradient.dtype)
    columns = np.repeat(shared[:, :, None], height * width, axis=2)
    return [_image(operands.kind, columns, operands.input_shapes[0], operands.output)]


def _cells(shape: Shape, output: Shape) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield (y, x, rows, columns) for each output of adaptive pooling: the mean of these rows and columns."""
    for (y, rows), (x, columns) in product(
        enumerate(windows(shape.height, output.height)), enumerate(windows(shape.width, output.width))
    ):
        yield y, x, slice(rows.start, rows.stop), slice(columns.start, columns.stop)


def _adaptive_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    (image,) = operands.inputs
    result = np.empty((*image.shape[:2], operands.output.height, operands.output.width), dtype=image.dtype)
    for y, x, rows, columns in _cells(operands.input_shapes[0], operands.output):
        result[:, :, y, x] = image[:, :, rows, columns].mean(axis=(2, 3))
    return result, {}


def _adaptive_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    gradient, shape = present(operands.gradient), operands.input_shapes[0]
    result = np.zeros((len(gradient), shape.channels, shape.height, shape.width), dtype=gradient.dtype)
    for y, x, rows, columns in _cells(shape, operands.output):
        count = (rows.stop - rows.start) * (columns.stop - columns.start)
        result[:, :, rows, columns] += gradient[:, :, y, x][:, :, None, None] / count
    return [result]


# -- loss, addition, elementwise -------------------------------------------------------------------------


def _loss_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Return the loss of each sample, averaged over its time steps but not over samples, and the probabilities."""
    scores = operands.inputs[0][:, :, :, 0]
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithm = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    each = logarithm - np.take_along_axis(shifted, _labels(operands), axis=1)
    return each.mean(axis=(1, 2)), {"probabilities": np.exp(shifted - logarithm)}


def _labels(operands: LayerOperands) -> AnyArray:
    """Return the labels of every time step: (samples, 1, time steps)."""
    return present(operands.labels).reshape(-1, 1, operands.output.height)


def _loss_data_gradient(operands: LayerOperands) -> list[AnyArray]:
    result = operands.saved["probabilities"].reshape(-1, operands.output.channels, operands.output.height).copy()
    right = np.take_along_axis(result, _labels(operands), axis=1)
    np.put_along_axis(result, _labels(operands), right - 1, axis=1)
    return [(result / (operands.batch * operands.output.height))[:, :, :, None]]


def _add_forward(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    return np.sum(np.stack(list(operands.inputs)), axis=0), {}


def _pass_on(operands: LayerOperands) -> tuple[AnyArray, dict[str, AnyArray]]:
    return operands.inputs[0], {}


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
    ReLU: Kernels(_pass_on),  # `elementwise` computes elementwise kinds, whether fused or not
    Dropout: Kernels(_pass_on),
    **SEQUENCE_KERNELS,
}


def elementwise(
    layers: Sequence[Layer], value: AnyArray, dropout_masks: Mapping[str, AnyArray]
) -> tuple[AnyArray, AnyArray]:
    """Apply elementwise ``layers`` in order; return the result and a mask of the elements whose gradient passes.

    ``value`` is (samples, elements); ``dropout_masks`` is True for the elements that each dropout keeps.
    """
    mask = np.ones(value.shape, dtype=bool)
    for layer in layers:
        if isinstance(layer.kind, Dropout):
            passes = dropout_masks[layer.name]
            value = value * passes / (1 - layer.kind.rate)
        else:
            ceiling = np.inf if layer.kind.ceiling is None else layer.kind.ceiling  # type: ignore[attr-defined]
            passes = (value > 0) & (value < ceiling)
            value = np.clip(value, 0, ceiling)
        mask &= passes
    return value, mask


def mask_scale(layers: Sequence[Layer]) -> float:
    """Return the factor by which dropouts scale the gradient of the elements that the mask of `elementwise` keeps."""
    scale = 1.0
    for layer in layers:
        if isinstance(layer.kind, Dropout):
            scale /= 1 - layer.kind.rate
    return scale
