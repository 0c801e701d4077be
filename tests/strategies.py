"""Random networks and machines for the laws: ``from strategies import machines, networks``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hypothesis import strategies as st

from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    CrossEntropy,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.shapes import Shape

Block = Callable[[st.DrawFn, Network, str], str]

CHANNELS = st.sampled_from([8, 16, 24, 64, 128])
MIN_BUFFER_KIB, MAX_BUFFER_KIB = 256, 16 * 1024


@st.composite
def networks(draw: st.DrawFn, max_blocks: int = 4) -> LayerGraph:
    """Small networks: a stem, up to ``max_blocks`` blocks of any kind, a classifier and its loss."""
    side = draw(st.sampled_from([1, 7, 8, 15, 32, 56]))
    net = Network("random", Shape(draw(st.integers(1, 4)), side, side))
    x = _conv(draw, net, net.input)
    for block in draw(st.lists(st.sampled_from(BLOCKS), max_size=max_blocks)):
        x = block(draw, net, x)
    x = net(Flatten(), net(GlobalAvgPool(), x))
    if draw(st.booleans()):
        x = net(Dropout(), net(ReLU(), net(Linear(draw(st.sampled_from([16, 512]))), x)))
    net(CrossEntropy(), net(Linear(draw(st.sampled_from([2, 10, 1000])), bias=draw(st.booleans())), x))
    return net.build()


@st.composite
def heavy_networks(draw: st.DrawFn) -> LayerGraph:
    """A convolution and a linear layer whose weights may well be more than both a small buffer and the samples."""
    side = draw(st.sampled_from([1, 4, 8]))
    net = Network("heavy", Shape(draw(st.sampled_from([64, 256])), side, side))
    x = _conv(draw, net, net.input, draw(st.sampled_from([64, 512])))
    x = net(Linear(draw(st.sampled_from([16, 512])), bias=draw(st.booleans())), net(Flatten(), x))
    net(CrossEntropy(), net(Linear(10), net(ReLU(), x)))
    return net.build()


def _conv(draw: st.DrawFn, net: Network, x: str, channels: int | None = None, stride: int | None = None) -> str:
    """A convolution that divides the image by its stride, maybe with normalization and ReLU."""
    kernel = draw(st.sampled_from([1, 3, 5]))
    conv = Conv(channels or draw(CHANNELS), kernel, stride or draw(st.integers(1, 2)), kernel // 2)
    return _finish(draw, net, net(conv, x))


def _finish(draw: st.DrawFn, net: Network, x: str) -> str:
    if draw(st.booleans()):
        x = net(GroupNorm(draw(st.sampled_from([1, 4, 8]))), x)
    return net(ReLU(draw(st.sampled_from([None, 6.0]))), x) if draw(st.booleans()) else x


def _pool(draw: st.DrawFn, net: Network, x: str) -> str:
    kind = draw(st.sampled_from([MaxPool, AvgPool]))
    return net(kind(kernel=3, stride=draw(st.integers(1, 2)), padding=1), x)


def _depthwise(draw: st.DrawFn, net: Network, x: str) -> str:
    channels = net.shape(x).channels
    x = _finish(draw, net, net(Conv(channels, 3, draw(st.integers(1, 2)), 1, groups=channels), x))
    return _conv(draw, net, x, stride=1)


def _residual(draw: st.DrawFn, net: Network, x: str) -> str:
    """One or two convolutions beside the identity, or beside a projection where the shape changes."""
    stride = draw(st.integers(1, 2))
    channels = draw(st.sampled_from([net.shape(x).channels, 64]))
    y = _conv(draw, net, x, channels, stride)
    if draw(st.booleans()):
        y = _conv(draw, net, y, channels, 1)
    if net.shape(y) != net.shape(x) or draw(st.booleans()):
        x = net(Conv(channels, 1, stride), x)
    x = net(Add(), y, x)
    return net(ReLU(), x) if draw(st.booleans()) else x


def _inception(draw: st.DrawFn, net: Network, x: str) -> str:
    """Two to four branches, concatenated; one of them may be the block's input itself."""
    branches = []
    for kind in draw(st.lists(st.sampled_from(["one", "two", "pool"]), min_size=1, max_size=3)):
        y = net(AvgPool(3, 1, 1), x) if kind == "pool" else x
        y = _conv(draw, net, y, stride=1)
        branches.append(_conv(draw, net, y, stride=1) if kind == "two" else y)
    rest = x if draw(st.booleans()) else _conv(draw, net, x, stride=1)
    return net(Concat(), *branches, rest)


BLOCKS: tuple[Block, ...] = (_conv, _pool, _depthwise, _residual, _inception)


@cache
def machine(buffer_kib: int) -> Accelerator:
    """The default accelerator with another global buffer."""
    return load_accelerator(overrides=[f"core.global_buffer={buffer_kib} KiB"])


def machines() -> st.SearchStrategy[Accelerator]:
    """Machines with global buffers of 256 KiB to 16 MiB."""
    sizes = st.integers(MIN_BUFFER_KIB, MAX_BUFFER_KIB)
    return st.builds(machine, st.one_of(st.sampled_from([256, 512, 1024, 2048, 4096, 10240]), sizes))
