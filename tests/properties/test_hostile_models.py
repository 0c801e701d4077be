"""Does any damage to a model give either a network or one clear error, never anything else?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

from onnx_models import classifier  # noqa: E402

from wavecore.errors import InputError  # noqa: E402
from wavecore.importers.folding import FOLDS  # noqa: E402
from wavecore.importers.onnx import import_onnx  # noqa: E402
from wavecore.importers.onnx_operators import TABLE  # noqa: E402
from wavecore.network.rules import verify_graph  # noqa: E402

WHOLE = classifier().SerializeToString()
OPERATORS = sorted({*TABLE, *FOLDS, "Shape", "Size", "Constant", "If", "NoSuchOperator"})
NAMES = (
    "axis", "axes", "kernel_shape", "strides", "pads", "dilations", "group", "ceil_mode", "auto_pad", "transB", "ratio",
    "min", "max", "keepdims", "perm", "start", "end", "num_groups", "value", "value_ints", "shape",
)  # fmt: skip
numbers = st.sampled_from([0, 1, -1, 2, 3, 7, 8, 1 << 10, 1 << 15, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)])
values = st.one_of(
    numbers,
    st.lists(numbers, min_size=1, max_size=5),
    st.sampled_from([0.5, -3.0, float("nan"), float("inf"), "SAME_UPPER", "text", [1.5]]),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "model.onnx"


def outcome(path: Path, content: bytes) -> None:
    """Import a file of this content: a network that obeys the rules, or an InputError of one line."""
    path.write_bytes(content)
    try:
        verify_graph(import_onnx(path).graph)
    except InputError as error:
        assert "\n" not in error.message and error.message.isprintable()
        assert len(error.message) < 3000


@given(st.integers(0, len(WHOLE)))
@settings(max_examples=150)
def test_truncated(path: Path, length: int) -> None:
    outcome(path, WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=400)
def test_bytes_changed(path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for position, value in changes:
        content[position] = value
    outcome(path, bytes(content))


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes(path: Path, content: bytes) -> None:
    outcome(path, content)


def retype(data: st.DataObject, graph: Any, node: Any) -> None:
    node.op_type = data.draw(st.sampled_from(OPERATORS))


def rewire(data: st.DataObject, graph: Any, node: Any) -> None:
    known = ["", "x", *(name for each in graph.node for name in (*each.input, *each.output))]
    node.input[:] = data.draw(st.lists(st.sampled_from(known), max_size=5))
    node.output[:] = data.draw(st.lists(st.sampled_from(known), max_size=2))


def attribute(data: st.DataObject, graph: Any, node: Any) -> None:
    name, value = data.draw(st.sampled_from(NAMES)), data.draw(values)
    for old in [each for each in node.attribute if each.name == name]:
        node.attribute.remove(old)
    node.attribute.append(onnx.helper.make_attribute(name, value))


def resize(data: st.DataObject, graph: Any, node: Any) -> None:
    tensor = data.draw(st.sampled_from(list(graph.initializer)))
    tensor.dims[:] = data.draw(st.lists(numbers, max_size=5))


def reshape(data: st.DataObject, graph: Any, node: Any) -> None:
    axes = graph.input[0].type.tensor_type.shape.dim
    data.draw(st.sampled_from(list(axes))).dim_value = data.draw(numbers)


def repeat(data: st.DataObject, graph: Any, node: Any) -> None:
    graph.node.append(node)


CHANGES = (retype, rewire, attribute, resize, reshape, repeat)


@given(st.data())
@settings(max_examples=300)
def test_nodes_changed(path: Path, data: st.DataObject) -> None:
    """Well-formed files whose graphs make no sense: other operators, inputs, attributes and sizes."""
    proto = classifier()
    for _ in range(data.draw(st.integers(1, 4))):
        change = data.draw(st.sampled_from(CHANGES))
        change(data, proto.graph, data.draw(st.sampled_from(list(proto.graph.node))))
    outcome(path, proto.SerializeToString())
