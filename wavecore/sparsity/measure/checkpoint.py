"""Read the weights of an untrusted checkpoint, without executing code from it and within size limits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavecore.common.files import check_readable
from wavecore.errors import FileError
from wavecore.sparsity.arrays import LARGEST_BYTES, MOST_ARRAYS, check_unpacked, read_arrays
from wavecore.sparsity.measure.state import pruned_weights, torch_state

if TYPE_CHECKING:
    from wavecore.network.sparsity import Booleans

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".onnx")
_ONNX = 'pip install "wavecore[onnx]"'


def read_checkpoint(path: Path) -> dict[str, Booleans]:
    """Return the nonzero elements of every tensor of two or more dimensions, as booleans, by the tensor's name.

    A weight that pruning has split into original and mask (`wavecore.sparsity.measure.state`) is one tensor.

    Raises `FileError` for a file that is missing, damaged, too large, or that could only be read by executing code.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(str(path), "is not a checkpoint of a known format", " or ".join(SUFFIXES))
    if suffix in (".safetensors", ".npz"):
        found = {name: array != 0 for name, array in read_arrays(path).items()}
    else:
        check_readable(path)
        if path.stat().st_size > LARGEST_BYTES:
            raise FileError(str(path), f"is larger than {LARGEST_BYTES >> 30} GiB")
        found = _onnx(path) if suffix == ".onnx" else _torch(path)
    weights = {name: array for name, array in pruned_weights(path, found).items() if array.ndim > 1}
    if not weights:
        raise FileError(str(path), "holds no weights: no tensor has two or more dimensions", "a state dict")
    return weights


def _torch(path: Path) -> dict[str, Booleans]:
    """Return the nonzero elements of a state dict's tensors; `FileError` if many of them share a file's few bytes."""
    tensors = torch_state(path)
    for name, tensor in tensors.items():
        _check_dense(path, name, tensor)
    check_unpacked(path, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    return {name: (tensor != 0).numpy() for name, tensor in tensors.items()}


def _check_dense(path: Path, name: str, tensor: Any) -> None:
    """Raise `FileError` for a tensor that is not dense or larger than its storage."""
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise FileError(str(path), f"{name[:60]!r} is not a dense tensor", "tensor.to_dense(), or dequantize()")
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > held:
        what = f"{name[:60]!r} is declared with {tensor.numel()} elements, but holds {held} bytes"
        raise FileError(str(path), what, "tensor.contiguous() before it is saved")


def _onnx(path: Path) -> dict[str, Booleans]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise FileError(str(path), "can only be read with onnx", _ONNX) from error
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise FileError(str(path), "is not an ONNX model, or is damaged", "onnx.save(...)") from error
    _check_count(path, len(model.graph.initializer))
    transposed = _transposed(model)
    found: dict[str, Booleans] = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            what = f"keeps {tensor.name[:60]!r} in another file, which is not opened"
            raise FileError(str(path), what, "onnx.save(..., save_as_external_data=False)")
        if len(tensor.dims) < 2:
            continue
        if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > LARGEST_BYTES:
            raise FileError(str(path), f"{tensor.name[:60]!r} has an impossible shape", "the complete file")
        try:
            array = numpy_helper.to_array(tensor)
        except Exception as error:
            raise FileError(str(path), f"{tensor.name[:60]!r} does not fill its shape", "the complete file") from error
        nonzero = array != 0
        found[tensor.name] = nonzero.T if tensor.name in transposed else nonzero
    return found


def _transposed(model: Any) -> set[str]:
    """Return the names of matrices stored as (inputs, outputs): those of a MatMul, or of a Gemm without ``transB``."""
    names = set()
    for node in model.graph.node:
        transposes = any(each.name == "transB" and each.i for each in node.attribute)
        if node.op_type == "MatMul" or (node.op_type == "Gemm" and not transposes):
            names.update(node.input[1:2])
    return names


def _check_count(path: Path, count: int) -> None:
    if count > MOST_ARRAYS:
        raise FileError(str(path), f"holds {count} tensors", f"at most {MOST_ARRAYS}")
