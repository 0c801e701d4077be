"""Does every ONNX operator become the layers that it stands for, of the shapes that onnx itself infers?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")

from onnx_models import classifier, constant, model, node, saved, weight  # noqa: E402

from wavecore.errors import GraphError  # noqa: E402
from wavecore.importers.onnx import import_onnx  # noqa: E402
from wavecore.network.graph import LayerGraph  # noqa: E402
from wavecore.network.layers import AvgPool, Conv, Dropout, GlobalAvgPool, GroupNorm, Linear, MaxPool, ReLU  # noqa: E402

CONV = node("Conv", "x w", "a", pads=[1, 1, 1, 1])
W = weight("w", 8, 3, 3, 3)


def read(folder: Path, nodes: list[Any], weights: list[Any] | None = None, **options: Any) -> LayerGraph:
    """The network of a model that begins with a convolution ``x -> a`` to 8 channels."""
    return import_onnx(saved(folder, model([CONV, *nodes], [W, *(weights or [])], **options))).graph


def inferred(folder: Path, nodes: list[Any], weights: list[Any] | None = None, **options: Any) -> tuple[int, ...]:
    """The shape of the output, samples left out, as onnx infers it."""
    proto = onnx.shape_inference.infer_shapes(model([CONV, *nodes], [W, *(weights or [])], **options), strict_mode=True)
    return tuple(axis.dim_value for axis in proto.graph.output[0].type.tensor_type.shape.dim)[1:]


POOL = [3, 3]


@pytest.mark.parametrize(
    ("operator", "options", "kind"),
    [
        ("Relu", {}, ReLU()),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, MaxPool(2, 2)),
        ("MaxPool", {"kernel_shape": POOL, "strides": [2, 2], "pads": [1, 1, 1, 1]}, MaxPool(3, 2, 1)),
        ("MaxPool", {"kernel_shape": POOL, "strides": [2, 2], "ceil_mode": 1}, MaxPool(3, 2, 0, True)),
        ("MaxPool", {"kernel_shape": [2, 3]}, MaxPool((2, 3), 1)),
        ("MaxPool", {"kernel_shape": POOL, "auto_pad": "SAME_UPPER"}, MaxPool(3, 1, 1)),
        ("MaxPool", {"kernel_shape": POOL, "auto_pad": "VALID"}, MaxPool(3, 1)),
        ("AveragePool", {"kernel_shape": POOL, "pads": [1, 1, 1, 1]}, AvgPool(3, 1, 1)),
        ("AveragePool", {"kernel_shape": [8, 8]}, GlobalAvgPool()),
        ("GlobalAveragePool", {}, GlobalAvgPool()),
        ("GlobalMaxPool", {}, MaxPool(8, 8)),
        ("ReduceMean", {"axes": [2, 3], "keepdims": 1}, GlobalAvgPool()),
        ("Dropout", {}, Dropout(0.5)),
    ],
)
def test_an_operator_on_images(tmp_path: Path, operator: str, options: dict[str, Any], kind: Any) -> None:
    nodes = [node(operator, "a", "y", **options)]
    graph = read(tmp_path, nodes)
    layer = graph.layers[2]
    assert layer.kind == kind
    if operator not in ("Dropout", "ReduceMean"):  # their signatures have changed since
        assert (layer.shape.channels, layer.shape.height, layer.shape.width) == inferred(tmp_path, nodes)


@pytest.mark.parametrize(
    ("dims", "options", "kind"),
    [
        ((6, 3, 1, 1), {}, Conv(6)),
        ((6, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}, Conv(6, 3, 2, 1)),
        ((6, 3, 1, 7), {"pads": [0, 3, 0, 3]}, Conv(6, (1, 7), 1, (0, 3))),
        ((3, 1, 3, 3), {"group": 3}, Conv(3, 3, 1, 0, 3)),
        ((6, 3, 3, 3), {"auto_pad": "SAME_LOWER"}, Conv(6, 3, 1, 1)),
        ((6, 3, 5, 5), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, Conv(6, 5, 2, 2)),
    ],
)
def test_a_convolution(tmp_path: Path, dims: tuple[int, ...], options: dict[str, Any], kind: Conv) -> None:
    proto = model([node("Conv", "x k", "y", **options)], [weight("k", *dims)])
    layer = import_onnx(saved(tmp_path, proto)).graph.layers[1]
    assert layer.kind == kind
    shape = onnx.shape_inference.infer_shapes(proto).graph.output[0].type.tensor_type.shape
    assert [axis.dim_value for axis in shape.dim][1:] == [layer.shape.channels, layer.shape.height, layer.shape.width]


def test_uneven_padding_that_makes_the_same_output_is_evened_out_and_told(tmp_path: Path) -> None:
    proto = model([node("Conv", "x w", "y", strides=[2, 2], auto_pad="SAME_UPPER")], [W])
    imported = import_onnx(saved(tmp_path, proto))
    assert imported.graph.layers[1].kind == Conv(8, 3, 2, 1)
    assert imported.notes == (
        "unequal padding of opposite sides is replaced by equal padding with the same output size in y_node",
    )


def test_a_bias_is_a_stored_one(tmp_path: Path) -> None:
    """Zeros that an exporter computes where a module has no bias are none."""
    shape = node("Constant", "", "n", value_ints=[8])
    zeros = node("ConstantOfShape", "n", "z")
    computed = model([shape, zeros, node("Conv", "x w z", "y")], [W])
    stored = model([node("Conv", "x w z", "y")], [W, weight("z", 8)])
    assert import_onnx(saved(tmp_path, computed)).graph.layers[1].kind == Conv(8, 3)
    assert import_onnx(saved(tmp_path, stored)).graph.layers[1].kind == Conv(8, 3, bias=True)


def test_a_bias_may_be_an_operation_of_its_own(tmp_path: Path) -> None:
    nodes = [node("Flatten", "a", "f"), node("MatMul", "f m", "g"), node("Add", "g b", "y")]
    graph = read(tmp_path, nodes, [weight("m", 512, 10), weight("b", 10)])
    assert [str(layer.kind.kind) for layer in graph][-3:] == ["flatten", "linear", "cross_entropy"]
    assert graph.layers[-2].kind == Linear(10, bias=True)
    alone = read(tmp_path, [*nodes[:1], node("MatMul", "f m", "y")], [weight("m", 512, 10)])
    assert alone.layers[-2].kind == Linear(10, bias=False)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(tmp_path: Path, transposed: int) -> None:
    matrix = weight("m", *((10, 512) if transposed else (512, 10)))
    nodes = [node("Flatten", "a", "f"), node("Gemm", "f m b", "y", transB=transposed)]
    assert read(tmp_path, nodes, [matrix, weight("b", 10)]).layers[-2].kind == Linear(10)


@pytest.mark.parametrize(
    ("operator", "options"),
    [("Clip", {"min": 0.0, "max": 6.0}), ("Clip", {}), ("Relu", {})],
)
def test_relu6_is_a_clip(tmp_path: Path, operator: str, options: dict[str, float]) -> None:
    limits = [constant("low", 0.0), constant("high", 6.0)]
    inputs = "a" if options or operator == "Relu" else "a low high"
    kind = read(tmp_path, [node(operator, inputs, "y", **options)], limits).layers[2].kind
    assert kind == ReLU(None if operator == "Relu" else 6.0)


def test_dropout_has_its_rate_in_an_attribute_or_an_input(tmp_path: Path) -> None:
    old = read(tmp_path, [node("Dropout", "a", "y", ratio=0.2)])
    new = read(tmp_path, [node("Dropout", "a rate", "y")], [constant("rate", 0.2)])
    none = read(tmp_path, [node("Dropout", "a rate", "y")], [constant("rate", 0.0)])
    assert old.layers[2].kind == new.layers[2].kind == Dropout(0.2)
    assert [layer.kind.kind for layer in none] == ["input", "conv", "outlet"]


@pytest.mark.parametrize("operator", ["Identity", "Cast"])
def test_what_changes_nothing_vanishes(tmp_path: Path, operator: str) -> None:
    options = {"to": 10} if operator == "Cast" else {}
    graph = read(tmp_path, [node(operator, "a", "b", **options), node("Relu", "b", "y")])
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "relu", "outlet"]


def test_a_pooling_of_single_positions_vanishes(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("AveragePool", "a", "y", kernel_shape=[1, 1])])
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "outlet"]


BN = [weight(f"n{index}", 8) for index in range(4)]


def test_batch_normalization_becomes_group_normalization(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("BatchNormalization", "a n0 n1 n2 n3", "y")], BN)
    assert graph.layers[2].kind == GroupNorm(8)


def test_group_normalization_in_one_operator_and_in_five(tmp_path: Path) -> None:
    one = node("GroupNormalization", "a n0 n1", "y", num_groups=4)
    assert read(tmp_path, [one], BN).layers[2].kind == GroupNorm(4)
    nodes = [
        node("Reshape", "a grouped", "b"), node("InstanceNormalization", "b ones ones", "c"),
        node("Shape", "a", "s"), node("Reshape", "c s", "d"), node("Mul", "d scale", "e"), node("Add", "e scale", "y"),
    ]  # fmt: skip
    weights = [constant("grouped", 0, 4, -1), weight("ones", 4), weight("scale", 8, 1, 1)]
    graph = read(tmp_path, nodes, weights)
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "norm", "outlet"]
    assert graph.layers[2].kind == GroupNorm(4)


def test_instance_normalization_has_a_group_a_channel(tmp_path: Path) -> None:
    assert read(tmp_path, [node("InstanceNormalization", "a n0 n1", "y")], BN).layers[2].kind == GroupNorm(8)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Flatten", "a", "y")],
        [node("Reshape", "a flat", "y")],
        [
            node("Shape", "a", "s"), node("Gather", "s zero", "n"), node("Unsqueeze", "n first", "m"),
            node("Concat", "m rest", "t", axis=0), node("Reshape", "a t", "y"),
        ],
        [node("GlobalAveragePool", "a", "g"), node("Squeeze", "g two", "y")],
        [node("GlobalAveragePool", "a", "g"), node("Squeeze", "g", "y")],
        [node("GlobalAveragePool", "a", "g"), node("Flatten", "g", "f"), node("Reshape", "f same", "y")],
        [node("GlobalAveragePool", "a", "g"), node("Flatten", "g", "f"), node("Unsqueeze", "f two", "y")],
    ],
)  # fmt: skip
@pytest.mark.parametrize("samples", [1, 4, "N"])
def test_a_vector_is_a_flattened_image(tmp_path: Path, nodes: list[Any], samples: int | str) -> None:
    weights = [
        constant("flat", 0, -1), constant("zero", 0), constant("first", 0), constant("rest", -1),
        constant("two", 2, 3), constant("same", -1, 8),
    ]  # fmt: skip
    weights[1].dims[:] = []  # a scalar
    graph = read(tmp_path, nodes, weights, data=(samples, 3, 8, 8))
    assert [layer.kind.kind for layer in graph][-2:] == ["flatten", "cross_entropy"]


def test_branches(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "a k", "b"), node("Conv", "a k", "c"), node("Concat", "b c", "d", axis=1),
        node("Concat", "d a", "e", axis=-3), node("Sum", "e e", "y"),
    ]  # fmt: skip
    graph = read(tmp_path, nodes, [weight("k", 4, 8, 1, 1)])
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "conv", "conv", "concat", "add", "outlet"]
    assert graph.layers[4].inputs == ("b_node", "c_node", "a_node")  # one concatenation, of three
    assert str(graph.layers[5].shape) == "16x8x8"


def test_a_softmax_at_the_end_is_in_the_loss(tmp_path: Path) -> None:
    nodes = [node("Flatten", "a", "f"), node("Gemm", "f m", "g"), node("Softmax", "g", "y")]
    graph = read(tmp_path, nodes, [weight("m", 512, 10)])
    assert [layer.kind.kind for layer in graph][-2:] == ["linear", "cross_entropy"]


def test_outputs_that_are_no_scores_go_to_dram(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("Relu", "a", "y"), node("MaxPool", "y", "z", kernel_shape=[2, 2])], outputs=("y", "z"))
    assert [layer.name for layer in graph][-2:] == ["y_node.output", "z_node.output"]


def test_what_no_output_needs_is_left_out(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("Relu", "a", "y"), node("NonMaxSuppression", "a", "unused")])
    assert [layer.kind.kind for layer in graph] == ["input", "conv", "relu", "outlet"]


def test_weights_may_be_inputs(tmp_path: Path) -> None:
    proto = model([node("Conv", "x k", "y")], inputs={"k": (4, 3, 3, 3)})
    assert import_onnx(saved(tmp_path, proto)).graph.layers[1].kind == Conv(4, 3)


def test_the_image_may_be_given(tmp_path: Path) -> None:
    proto = model([CONV, node("GlobalAveragePool", "a", "y")], [W], data=("N", 3, "height", "width"))
    path = saved(tmp_path, proto)
    with pytest.raises(GraphError):
        import_onnx(path)
    for image, shape in (("32", "3x32x32"), (16, "3x16x16"), ((16, 32), "3x16x32"), ("16x32", "3x16x32")):
        assert str(import_onnx(path, image=image).graph.layers[0].shape) == shape
    fixed = import_onnx(saved(tmp_path, classifier()), image=8)
    assert fixed.graph == import_onnx(saved(tmp_path, classifier())).graph


def test_vectors_are_networks_too(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x m", "h"), node("Relu", "h", "r"), node("Gemm", "r o", "y")]
    proto = model(nodes, [weight("m", 784, 300), weight("o", 300, 10)], data=(1, 784))
    graph = import_onnx(saved(tmp_path, proto)).graph
    assert [str(layer.shape) for layer in graph] == ["784x1x1", "300x1x1", "300x1x1", "10x1x1", "10x1x1"]
    assert graph.parameter_count == 784 * 300 + 300 * 10
