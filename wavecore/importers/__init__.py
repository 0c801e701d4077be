"""Networks from elsewhere: ONNX files and PyTorch modules as `LayerGraph`.

A reader (`onnx`, `torch`) turns a model into a neutral list of operations (`model`), a table (`onnx_operators`,
`torch_operators`) says what each means in layers (`operators`), and the `builder` puts those together.
"""

from wavecore.importers.assembly import ModelNote
from wavecore.importers.onnx import from_onnx
from wavecore.importers.torch import from_torch

__all__ = ["ModelNote", "from_onnx", "from_torch"]
