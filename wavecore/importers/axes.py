"""The axes of sequences, which models transpose and put together as they like.

Each has a name of the letters of what it counts: ``n`` samples, ``t`` steps, ``f`` features, ``d`` the directions of an
LSTM before they and its units become features; ``nt`` or ``tn`` is samples and steps in one axis, and an empty
name an axis of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from wavecore.importers.model import Activation, Dims, UnsupportedError
from wavecore.network.shapes import Shape

NAMES = ("", "n", "t", "nt", "tn", "f", "d")
FEATURES_LAST = "features as the last axis"


def check_features(value: Activation) -> None:
    """UnsupportedError unless the features of a sequence are its last axis."""
    if value.axes[-1] != "f" or "d" in value.axes:
        raise UnsupportedError("over another axis than the features", FEATURES_LAST)


def permuted(value: Activation, order: Sequence[int]) -> Activation:
    """A sequence with its axes in another order."""
    if not value.axes:
        raise UnsupportedError("")
    count = len(value.dims)
    found = [axis % count for axis in order]
    if sorted(found) != list(range(count)):
        raise ValueError(f"puts {count} axes in the order {list(order)}")
    dims, axes = tuple(value.dims[axis] for axis in found), tuple(value.axes[axis] for axis in found)
    return Activation(value.layer, dims, axes)


def regrouped(shape: Shape, value: Activation, dims: Dims) -> Activation:
    """A sequence of ``shape`` with neighbouring axes put together or taken apart, axes of one put in or left out."""
    rest = _parts(shape, value)
    axes: list[str] = []
    for at, size in enumerate(dims):
        name, held = "", 1
        while rest and (held < size or (not name and rest[0][1] == size == 1)):
            name, held = name + rest[0][0], held * rest.pop(0)[1]
        following = dims[at + 1] if at + 1 < len(dims) else 0
        while rest and rest[0][1] == 1 != following and rest[0][0] != "f":
            name += rest.pop(0)[0]
        axes.append("f" if name == "df" else name)
        if held != size or axes[-1] not in NAMES:
            break
    if rest or any(name not in NAMES for name in axes) or len(axes) != len(dims):
        what = f"of a sequence to {'x'.join(map(str, dims))}"
        raise UnsupportedError(what, "samples and steps put into one axis, and nothing else")
    return Activation(value.layer, dims, tuple(axes))


def _parts(shape: Shape, value: Activation) -> list[tuple[str, int]]:
    """What the axes count, one by one, with sizes; a single direction is none."""
    found = []
    for name, size in zip(value.axes, value.dims, strict=True):
        for letter in name:
            own = size if len(name) == 1 else shape.height if letter == "t" else size // shape.height
            if (letter, own) != ("d", 1):
                found.append((letter, own))
    return found
