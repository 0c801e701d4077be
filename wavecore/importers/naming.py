"""What imported layers are called.

A layer takes the path of the module that it runs in: ``layer1.0.conv1``.  One that runs beside modules, in the code of
a module that holds others, is called by that path and its kind: ``layer1.0.add``.  A name that is taken gets a number:
a ReLU module that is called three times makes ``relu``, ``relu_1`` and ``relu_2``.  An LSTM is called by its module,
though the products of its inputs are in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST_NAME = 120
RESERVED = ("input", "loss")
_LEAVES = ("lstm",)


def clean(name: str) -> str:
    """A name from a file, without what a terminal or a table could stumble over."""
    text = re.sub(r"[^\w.:/-]+", "_", name[: 2 * LONGEST_NAME])
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."


def dotted(path: str) -> str:
    """A module's path as PyTorch writes it; the legacy ONNX exporter repeats each container's path in the next.

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
    """Names of layers that are given by path and kind."""
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
    """The paths of which another is a continuation."""
    return {path[:at] for path in paths for at, character in enumerate(path) if character == "."}
