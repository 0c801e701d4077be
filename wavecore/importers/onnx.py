"""Import ONNX files.

Only the graph is parsed (see `files`); subgraphs, local functions and weights are not.  Shapes are computed by
wavecore's own layer rules; those that a file states are ignored, except for the input's.  The first axis of the input
is the samples, whatever its size; the other sizes must be in the file, or height and width be given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from wavecore.common.toml import as_path
from wavecore.errors import FileError, GraphError, InputError
from wavecore.importers.assembly import ImportedNetwork, assemble
from wavecore.importers.builder import LARGEST_ELEMENTS
from wavecore.importers.files import check_external, read_structure
from wavecore.importers.folding import LARGEST_CONSTANT
from wavecore.importers.model import Dims, Fixed, ImportedModel, OperatorNode, Origin, unknown
from wavecore.importers.naming import clean, dotted
from wavecore.importers.normalization import rules
from wavecore.importers.onnx_operators import TABLE
from wavecore.network.graph import LayerGraph

Image = int | str | tuple[int, int]

_TENSOR = 4
_ATTRIBUTES: Mapping[int, Callable[[Any], Any]] = {
    1: lambda attribute: float(str(np.float32(attribute.f))),  # 0.2 in fp32 is 0.2
    2: lambda attribute: attribute.i,
    3: lambda attribute: attribute.s.decode("utf-8", "replace"),
    6: lambda attribute: list(attribute.floats),
    7: lambda attribute: list(attribute.ints),
}
"""The function that reads an attribute, by AttributeProto.AttributeType (onnx.proto)."""

_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13})
"""The values of TensorProto.DataType that numpy can represent."""

_WORDS = (6, 7)  # TensorProto.DataType of 32-bit and 64-bit integers
_EXTERNAL = 1  # TensorProto.DataLocation
_MOST_AXES = 16
_DOMAINS = ("", "ai.onnx")
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"


def from_onnx(path: str | Path, *, norm: str = "group", folded: str = "keep", image: Image | None = None) -> LayerGraph:
    """Return the network in the ONNX file at ``path``; weights and external data are never read.

    ``norm`` and ``folded`` say how batch normalization is imported (`wavecore.importers.normalization`).  ``image`` is
    the input's height and width: one number for both, a pair or ``"HxW"``; it is required if the file leaves them open.
    Issues a `ModelNote` warning for everything that may differ from what was meant.

    Raises `FileError` for a file that is refused, `GraphError` for a model that cannot be costed, with all unsupported
    operators at once, and `InputError` for a wrong option or if the package onnx is missing.
    """
    return import_onnx(path, norm=norm, folded=folded, image=image).warned()


def import_onnx(
    path: str | Path, *, norm: str = "group", folded: str = "keep", image: Image | None = None
) -> ImportedNetwork:
    """Import as `from_onnx` does, and return the network with its notes and the file's hash."""
    path = as_path(path)
    chosen = rules(str(path), norm, folded)
    structure, sha256 = read_structure(path)
    model = _model(str(path), _graph(str(path), structure), None if image is None else _sides(str(path), image))
    return assemble(model, TABLE, chosen, sha256)


def _sides(where: str, image: Image) -> tuple[int, int]:
    """Return height and width; `InputError` if ``image`` is neither one positive number nor two."""
    text = "x".join(map(str, image)) if isinstance(image, tuple) else str(image)
    match = re.fullmatch(r"([1-9]\d{0,8})(?:x([1-9]\d{0,8}))?", text.strip(), re.ASCII)
    if match is None:
        raise InputError(where, f"image is {text!r}, not a size", "image=224 or image=224x320")
    return int(match[1]), int(match[2] or match[1])


def _graph(where: str, structure: bytes) -> Any:
    """Parse what `read_structure` returned; `InputError` without the package onnx, `FileError` for no network."""
    try:
        onnx = import_module("onnx")
    except ImportError:
        raise InputError(where, "the package onnx is not installed", 'pip install "wavecore[onnx]"') from None
    try:
        graph = onnx.ModelProto.FromString(structure).graph
    except import_module("google.protobuf.message").DecodeError:
        raise FileError(
            where, "is damaged or not an ONNX file", "the complete file; onnx.checker gives details"
        ) from None
    if not graph.node:
        raise FileError(where, "contains no network", "an .onnx file with a graph")
    return graph


def _model(where: str, graph: Any, sides: tuple[int, int] | None) -> ImportedModel:
    """Return the model in a graph; `FileError` if its text is not valid, `GraphError` if its inputs are not usable."""
    try:
        stored = {_text(tensor.name): _tensor(where, tensor) for tensor in graph.initializer}
        data, *others = [value for value in graph.input if _text(value.name) not in stored] or [None]
        if data is None:
            raise GraphError(where, "has no input besides its weights", "a model with one input")
        weights = {value.name: unknown(dims, Origin.INPUT) for value in others if (dims := _weight_dims(value))}
        undefined = {value.name for value in others} - weights.keys()
        if any(name in undefined for node in graph.node for name in node.input):
            what = (
                f"has other inputs of open shape besides {clean(data.name)}: {', '.join(map(clean, sorted(undefined)))}"
            )
            raise GraphError(where, what, "a model of one input, its data")
        given = stored.keys() | {node.output[0] for node in graph.node if node.op_type == "Identity" and node.output}
        sequence = _is_sequence(data, graph)
        return ImportedModel(
            name=clean(Path(where).stem) or "model",
            where=where,
            data=data.name,
            dims=_data_dims(where, data, sides, sequence),
            fixed={**stored, **weights},
            nodes=tuple(_node(where, index, node, given | weights.keys()) for index, node in enumerate(graph.node)),
            outputs=tuple(_text(value.name) for value in graph.output),
            sequence=sequence,
            open_axes=frozenset(axis for axis, each in enumerate(_axes(data) or []) if each.dim_value < 1),
        )
    except UnicodeError:
        raise FileError(
            where, "contains a name that is not valid text", "the complete file; onnx.checker gives details"
        ) from None


def _text(value: str | bytes) -> str:
    """Return a string of the file; UnicodeError for one that is not UTF-8, which protobuf returns as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8")


def _tensor(where: str, tensor: Any) -> Fixed:
    """Return a stored tensor: its shape, and its elements if they are few and in the file itself.

    Raises `GraphError` for a tensor that is too large, `FileError` for external data outside the model's folder.
    """
    name, dims = clean(_text(tensor.name)) or "without a name", tuple(tensor.dims)
    elements = prod(max(1, size) for size in dims[:_MOST_AXES])
    if len(dims) > _MOST_AXES or min(dims, default=0) < 0 or elements > LARGEST_ELEMENTS:
        what = f"tensor {name} of {len(dims)} axes and {elements} elements is out of range"
        raise GraphError(where, what, f"up to {_MOST_AXES} axes and {LARGEST_ELEMENTS} elements")
    for entry in tensor.external_data:
        if entry.key == "location":
            check_external(where, name, _text(entry.value))
    inside = tensor.data_location != _EXTERNAL and not tensor.external_data
    if not inside or tensor.data_type not in _NUMBERS or elements > LARGEST_CONSTANT:
        return unknown(dims)
    try:
        array = import_module("onnx.numpy_helper").to_array(tensor)
    except (ValueError, TypeError):  # fewer elements than its shape has: large data are skipped
        return unknown(dims)
    return Fixed(array, True, Origin.STORED) if array.shape == dims else unknown(dims)


def _axes(value: Any) -> list[Any] | None:
    """Return the axes of an input as protobuf messages; None if it states no shape."""
    tensor = value.type.tensor_type
    return list(tensor.shape.dim) if tensor.HasField("shape") else None


def _weight_dims(value: Any) -> Dims:
    """Return the shape of an input that is a weight; empty if it is not fixed or too large."""
    dims = tuple(int(axis.dim_value) for axis in _axes(value) or [])
    return dims if len(dims) <= _MOST_AXES and min(dims, default=0) > 0 and prod(dims) <= LARGEST_ELEMENTS else ()


def _is_sequence(value: Any, graph: Any) -> bool:
    """Return whether an input is words (two axes of integers) or, in a model with an LSTM, has three axes."""
    count = len(_axes(value) or [])
    recurrent = any(node.op_type == "LSTM" for node in graph.node)
    return (count == 2 and value.type.tensor_type.elem_type in _WORDS) or (count == 3 and recurrent)


def _data_dims(where: str, value: Any, sides: tuple[int, int] | None, sequence: bool) -> Dims:
    """Return the sizes of the data's axes; an open number of samples is 1, ``sides`` replaces height and width."""
    at = f"{where}, input {clean(value.name)}"
    axes = _axes(value)
    if axes is None:
        raise GraphError(at, "has no shape", "an export with the shape of its input")
    sizes = [int(axis.dim_value) for axis in axes]
    names = [clean(_text(axis.dim_param)) or "?" for axis in axes]
    if sides is not None:
        if len(sizes) != 4:
            raise GraphError(
                at, "is not an image, so it has no height and width", "the same command without the option image"
            )
        sizes[2:] = sides
    if sequence:
        sizes[:2] = [max(1, size) for size in sizes[:2]]
    elif sizes and sizes[0] < 1:
        sizes[0] = 1
    if sequence and min(sizes[2:], default=1) < 1:
        raise GraphError(at, f"leaves its features open ({names[2]})", "an export with a fixed number")
    if len(sizes) > 1 and sizes[1] < 1:
        raise GraphError(at, f"leaves its channels or features open ({names[1]})", "an export with a fixed number")
    if min(sizes[2:], default=1) < 1:
        what = f"leaves its height or width open ({' x '.join(names[2:])})"
        raise GraphError(at, what, "--option image=224, or image=HxW")
    return tuple(sizes)


def _node(where: str, index: int, node: Any, given: Collection[str]) -> OperatorNode:
    metadata = {_text(entry.key): _text(entry.value) for entry in node.metadata_props}
    inputs, outputs = tuple(map(_text, node.input)), tuple(map(_text, node.output))
    operator, domain, name = _text(node.op_type), _text(node.domain), _text(node.name)
    attributes = {_text(attribute.name): _attribute(where, attribute) for attribute in node.attribute}
    if operator == "Constant":
        constants = [_constant(value) for value in attributes.values()]
        attributes = {"value": constants[0] if constants else None}
    return OperatorNode(
        operator=operator if domain in _DOMAINS else f"{domain}::{operator}",
        name=clean(name or "".join(outputs[:1])) or f"#{index}",
        path=_path(operator, name, inputs, metadata.get(_SCOPES, "")),
        inputs=inputs,
        outputs=outputs,
        attributes=attributes,
        folded=operator == "Conv" and _is_folded(inputs, metadata.get(_CLASSES, ""), given),
    )


def _attribute(where: str, attribute: Any) -> Any:
    """Return the value of an attribute; None for a kind that no supported operator has."""
    read = _ATTRIBUTES.get(attribute.type)
    return _tensor(where, attribute.t) if attribute.type == _TENSOR else read and read(attribute)


def _constant(value: Any) -> Fixed | None:
    """Return the value of a Constant node from that of its attribute."""
    if isinstance(value, Fixed) or value is None:
        return value
    return None if isinstance(value, str) else Fixed(np.array(value), True, Origin.COMPUTED)


def _path(operator: str, name: str, inputs: tuple[str, ...], scopes: str) -> str:
    """Return the path of the module that a node runs in.

    The name of a layer's weight gives the module, if it ends with ``.weight``.  Else PyTorch's exporters write the
    module into a list of scopes, or into a name with a leading slash; both end with the operator.  Other names are
    returned unchanged.
    """
    at = 0 if operator == "Gather" else 1
    weight = inputs[at] if operator in _WEIGHTED and len(inputs) > at else ""
    if weight.endswith(".weight"):
        return weight.removesuffix(".weight")
    found = re.findall(r"'([^']*)'", scopes)
    if found:
        return found[-2] if len(found) > 1 else ""
    return dotted(name.rpartition("/")[0]) if name.startswith("/") else name


_WEIGHTED = ("Conv", "Gemm", "MatMul", "Gather", "BatchNormalization", "GroupNormalization", "InstanceNormalization")


def _is_folded(inputs: tuple[str, ...], classes: str, given: Collection[str]) -> bool:
    """Return whether a batch normalization may have been folded into a convolution.

    That is so if PyTorch's exporter says so in ``classes``, or if there is a stored bias (in ``given``) whose name is
    not that of the bias of the weight's module.
    """
    if "batch_norm" in classes or len(inputs) < 3 or inputs[2] not in given:
        return "batch_norm" in classes
    stem = inputs[1].removesuffix(".weight")
    return stem == inputs[1] or inputs[2] != f"{stem}.bias"
