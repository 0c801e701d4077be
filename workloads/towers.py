"""Build the blocks of GoogLeNet and the Inceptions: parallel towers of layers whose outputs are concatenated.

A *step* is a layer with its name; a convolution stands for the convolution, its normalization and its ReLU.  A *tower*
is a chain of steps, which may end in a `Fork` into further towers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from wavecore.network.graph import Network
from wavecore.network.layers import AvgPool, Concat, Conv, MaxPool, ReLU
from wavecore.network.layers.base import pair
from wavecore.network.layers.normalization import group_norm

from .common import scaled

Step = tuple[str, Conv | MaxPool | AvgPool]
AVERAGE = AvgPool(kernel=3, stride=1, padding=1)
HALVE = MaxPool(kernel=3, stride=2)


@dataclass(frozen=True, slots=True)
class Fork:
    """The end of a tower that splits into ``towers``."""

    towers: tuple[Tower, ...]


Tower = tuple[Step | Fork, ...]


def same(channels: int, kernel: int | tuple[int, int] = 1, stride: int = 1) -> Conv:
    """Return a convolution with an odd kernel, padded to keep the image's size at stride 1."""
    height, width = pair(kernel)
    return Conv(channels, kernel, stride, padding=(height // 2, width // 2))


def valid(channels: int, kernel: int, stride: int = 1) -> Conv:
    """Return a convolution without padding."""
    return Conv(channels, kernel, stride)


def chain(net: Network, x: str, steps: Iterable[Step], width: float, prefix: str = "") -> str:
    """Add ``steps`` one after the other, with ``prefix`` before their names and channels multiplied by ``width``."""
    for name, kind in steps:
        x = _step(net, x, prefix + name, kind, width)
    return x


def block(net: Network, x: str, name: str, towers: tuple[Tower, ...], width: float) -> str:
    """Add the ``towers``, each of which reads ``x``, and the concatenation of their outputs."""
    ends = [end for tower in towers for end in _tower(net, x, name, tower, width)]
    return net(Concat(), *ends, name=f"{name}.concat")


def _tower(net: Network, x: str, name: str, tower: Tower, width: float) -> list[str]:
    """Add a tower, and return the layers at its ends."""
    for step in tower:
        if isinstance(step, Fork):
            return [end for each in step.towers for end in _tower(net, x, name, each, width)]
        x = _step(net, x, f"{name}.{step[0]}", step[1], width)
    return [x]


def _step(net: Network, x: str, name: str, kind: Conv | MaxPool | AvgPool, width: float) -> str:
    """Add a pooling, or a convolution with its normalization and its ReLU."""
    if not isinstance(kind, Conv):
        return net(kind, x, name=name)
    channels = scaled(kind.out_channels, width)
    x = net(replace(kind, out_channels=channels), x, name=f"{name}.conv")
    x = net(group_norm(channels), x, name=f"{name}.norm")
    return net(ReLU(), x, name=f"{name}.relu")
