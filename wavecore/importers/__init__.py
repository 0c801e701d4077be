"""Import ONNX files and PyTorch modules as a `LayerGraph`.

A reader (`onnx`, `torch`) turns a model into a list of operations that is the same for all formats (`model`).  A table
(`onnx_operators`, `torch_operators`) maps each operator to layers (`operators`, `sequences`).  `builder` walks over the
operations and collects the layers, and `assembly` builds the graph from them.
"""

from wavecore.importers.assembly import ModelNote
from wavecore.importers.onnx import from_onnx
from wavecore.importers.torch import from_torch

__all__ = ["ModelNote", "from_onnx", "from_torch"]
