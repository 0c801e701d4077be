"""Track the axes of sequences through transposes and reshapes.

The name of an axis tells what it counts: ``n`` samples, ``t`` steps, ``f`` features, ``d`` the directions of an LSTM as
long as they are separate from its units; ``nt`` or ``tn`` is an axis of both samples and steps, and an empty name is an
axis of size 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from wavecore.importers.model import Activation, Dims, UnsupportedError
from wavecore.network.shapes import Shape

NAMES = ("", "n", "t", "nt", "tn", "f", "d")
FEATURES_LAST = "the features as the last axis"


def check_features(value: Activation) -> None:
    """Raise UnsupportedError unless the features of a sequence are its last axis."""
    if value.axes[-1] != "f" or "d" in value.axes:
        raise UnsupportedError("over an axis other than the features", FEATURES_LAST)


def permuted(value: Activation, order: Sequence[int]) -> Activation:
    """Return a sequence with its axes reordered; ValueError if ``order`` is not a permutation of them."""
    if not value.axes:
        raise UnsupportedError("")
    count = len(value.dims)
    found = [axis % count for axis in order]
    if sorted(found) != list(range(count)):
        raise ValueError(f"has {count} axes, of which {list(order)} is not an order")
    dims, axes = tuple(value.dims[axis] for axis in found), tuple(value.axes[axis] for axis in found)
    return Activation(value.layer, dims, axes)


def regrouped(shape: Shape, value: Activation, dims: Dims) -> Activation:
    """Return a sequence (``shape`` per sample) reshaped to the sizes ``dims``.

    A reshape may join or split neighbouring axes and add or drop axes of size 1.  Raises UnsupportedError if the result
    has an axis that is not in `NAMES`.
    """
    rest = _parts(shape, value)
    axes: list[str] = []
    for at, size in enumerate(dims):
        name, count = "", 1
        while rest and (count < size or (not name and rest[0][1] == size == 1)):
            name, count = name + rest[0][0], count * rest.pop(0)[1]
        following = dims[at + 1] if at + 1 < len(dims) else 0
        while rest and rest[0][1] == 1 != following and rest[0][0] != "f":
            name += rest.pop(0)[0]
        axes.append("f" if name == "df" else name)
        if count != size or axes[-1] not in NAMES:
            break
    if rest or any(name not in NAMES for name in axes) or len(axes) != len(dims):
        what = f"of a sequence to {'x'.join(map(str, dims))}"
        raise UnsupportedError(what, "a reshape that only joins samples and steps")
    return Activation(value.layer, dims, tuple(axes))


def _parts(shape: Shape, value: Activation) -> list[tuple[str, int]]:
    """Return the letter and size of every factor of the axes, in order; a single direction is left out."""
    found = []
    for name, size in zip(value.axes, value.dims, strict=True):
        for letter in name:
            own = size if len(name) == 1 else shape.height if letter == "t" else size // shape.height
            if (letter, own) != ("d", 1):
                found.append((letter, own))
    return found
