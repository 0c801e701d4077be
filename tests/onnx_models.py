"""Small ONNX models made by hand: ``from onnx_models import classifier, model, weight``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str | None]


def weight(name: str, *dims: int) -> TensorProto:
    """A stored tensor of a shape, whose elements say nothing."""
    return numpy_helper.from_array(np.zeros(dims, dtype=np.float32), name)


def constant(name: str, *values: float) -> TensorProto:
    """A stored vector; of whole numbers if all of them are."""
    dtype = np.int64 if all(isinstance(value, int) for value in values) else np.float32
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def model(
    nodes: Sequence[Any],
    weights: Sequence[TensorProto] = (),
    *,
    data: Dims = (1, 3, 8, 8),
    outputs: Sequence[str] = ("y",),
    inputs: Mapping[str, Dims] | None = None,
    words: bool = False,
) -> onnx.ModelProto:
    """A model of one input ``x``, of numbers or of words, and others by name and shape."""
    shapes: dict[str, Dims] = {"x": data, **(inputs or {})}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in shapes.items()]
    if words:
        values[0].type.tensor_type.elem_type = TensorProto.INT64
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "graph", values, ends, list(weights))
    return helper.make_model(graph)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """A node; inputs and outputs are separated by blanks, and ``_`` is one that is left out."""
    names, outputs = [name.replace("_", "") for name in inputs.split()], output.split()
    return helper.make_node(operator, names, outputs, name=f"{outputs[0]}_node", **attributes)


def classifier(data: Dims = (1, 3, 8, 8)) -> onnx.ModelProto:
    """A convolution with its normalization and ReLU, a pooling, a flatten and a linear layer."""
    nodes = [
        node("Conv", "x conv.weight", "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a bn.weight bn.bias bn.mean bn.var", "b"),
        node("Relu", "b", "c"),
        node("MaxPool", "c", "d", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "d shape", "e"),
        node("Gemm", "e fc.weight fc.bias", "y", transB=1),
    ]
    weights = [weight("conv.weight", 8, 3, 3, 3), weight("fc.weight", 10, 128), weight("fc.bias", 10)]
    weights += [weight(f"bn.{name}", 8) for name in ("weight", "bias", "mean", "var")]
    return model(nodes, [*weights, constant("shape", 0, -1)], data=data)


def saved(folder: Path, proto: onnx.ModelProto, name: str = "model.onnx") -> Path:
    """The path of a file that holds a model."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path
