"""Name imported layers.

A layer is named after the path of the module that it runs in: ``layer1.0.conv1``.  An operation in the forward of a
module that contains other modules is named by that path and its kind: ``layer1.0.add``.  A name that is taken gets a
number: a ReLU module that is called three times makes ``relu``, ``relu_1`` and ``relu_2``.  An LSTM is always named
after its module, although that contains the layer of its input products.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST_NAME = 120
RESERVED = ("input", "loss")
_LEAVES = ("lstm",)


def clean(name: str) -> str:
    """Return a name from a file with unsafe characters replaced by ``_``, cut to `LONGEST_NAME` characters."""
    text = re.sub(r"[^\w.:/-]+", "_", name[: 2 * LONGEST_NAME])
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."


def dotted(path: str) -> str:
    """Return a module's path in PyTorch's notation, from that of the legacy ONNX exporter.

    The exporter repeats each container's path in the next part.

    >>> dotted("/layer1/layer1.0/conv1")
    'layer1.0.conv1'
    """
    found: list[str] = []
    for part in filter(None, path.split("/")):
        if found and part.startswith(f"{found[-1]}."):
            found.pop()
        found.append(part)
    return ".".join(found)


def layer_names(layers: Iterable[tuple[str, str]]) -> list[str]:
    """Return a unique name for each layer, given as (module path, kind)."""
    paths = [(re.sub(r"[:/]", ".", clean(path)).strip("."), kind) for path, kind in layers]
    containers = _containers([path for path, _ in paths])
    taken = dict.fromkeys(RESERVED, 0)
    names = []
    for path, kind in paths:
        inside = path in containers and kind not in _LEAVES
        name = unique = kind if not path else f"{path}.{kind}" if inside else path
        while unique in taken:
            taken[name] += 1
            unique = f"{name}_{taken[name]}"
        taken[unique] = 0
        names.append(unique)
    return names


def _containers(paths: Sequence[str]) -> set[str]:
    """Return the paths that contain another one of ``paths``."""
    return {path[:at] for path in paths for at, character in enumerate(path) if character == "."}
