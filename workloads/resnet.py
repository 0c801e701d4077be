"""ResNet: He et al., "Deep residual learning for image recognition" (arXiv 1512.03385), table 1.

It follows torchvision's ``resnet18`` to ``resnet152`` (v1.5: a bottleneck's stride is in its 3x3 convolution), with
group normalization.  The layers of a block's main branch come first, then its projection, if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Conv, MaxPool, ReLU
from wavecore.network.layers.normalization import group_norm

from .common import TORCHVISION, begin, finish, scaled

CHANNELS = (64, 128, 256, 512)  # of the four stages; the last three halve the image

Block = Callable[[Network, str, str, int, int], str]  # (net, input, name, channels, stride) -> output


def resnet(
    name: str,
    block: Block,
    depths: tuple[int, ...],
    /,
    image: int = 224,
    classes: int = 1000,
    width: float = 1.0,
) -> LayerGraph:
    """Build a ResNet with ``depths`` blocks per stage, for images of at least 32 x 32."""
    net = begin(name, image, width, least=32)
    stem = Conv(scaled(64, width), kernel=7, stride=2, padding=3)
    x = _conv_norm(net, net.input, stem, "conv1", "norm1")
    x = net(ReLU(), x, name="relu1")
    x = net(MaxPool(kernel=3, stride=2, padding=1), x, name="maxpool")
    for stage, (depth, channels) in enumerate(zip(depths, CHANNELS, strict=True), start=1):
        for index in range(depth):
            stride = 2 if stage > 1 and index == 0 else 1
            x = block(net, x, f"layer{stage}.{index}", scaled(channels, width), stride)
    return finish(net, x, classes)


def basic(net: Network, x: str, name: str, channels: int, stride: int) -> str:
    """Add a basic block: two 3x3 convolutions and a shortcut."""
    y = _conv_norm(net, x, Conv(channels, 3, stride, padding=1), f"{name}.conv1", f"{name}.norm1")
    y = net(ReLU(), y, name=f"{name}.relu1")
    y = _conv_norm(net, y, Conv(channels, 3, padding=1), f"{name}.conv2", f"{name}.norm2")
    y = net(Add(), y, _shortcut(net, x, name, channels, stride), name=f"{name}.add")
    return net(ReLU(), y, name=f"{name}.relu2")


def bottleneck(net: Network, x: str, name: str, channels: int, stride: int) -> str:
    """Add a bottleneck: a 1x1 convolution that narrows, a 3x3, a 1x1 to four times ``channels``, and a shortcut."""
    y = _conv_norm(net, x, Conv(channels), f"{name}.conv1", f"{name}.norm1")
    y = net(ReLU(), y, name=f"{name}.relu1")
    y = _conv_norm(net, y, Conv(channels, 3, stride, padding=1), f"{name}.conv2", f"{name}.norm2")
    y = net(ReLU(), y, name=f"{name}.relu2")
    y = _conv_norm(net, y, Conv(4 * channels), f"{name}.conv3", f"{name}.norm3")
    y = net(Add(), y, _shortcut(net, x, name, 4 * channels, stride), name=f"{name}.add")
    return net(ReLU(), y, name=f"{name}.relu3")


def _shortcut(net: Network, x: str, name: str, channels: int, stride: int) -> str:
    """Return ``x`` if it has the shape of the block's output, else add its 1x1 projection to that shape."""
    if stride == 1 and net.shape(x).channels == channels:
        return x
    return _conv_norm(net, x, Conv(channels, 1, stride), f"{name}.downsample.0", f"{name}.downsample.1")


def _conv_norm(net: Network, x: str, conv: Conv, conv_name: str, norm_name: str) -> str:
    return net(group_norm(conv.out_channels), net(conv, x, name=conv_name), name=norm_name)


def _entry(layers: int, block: Block, depths: tuple[int, ...], parameters: int, gmacs: float) -> Workload:
    """Return the entry of a ResNet."""
    name = f"resnet{layers}"
    return Workload(
        name=name,
        build=partial(resnet, name, block, depths),
        summary=f"ResNet-{layers}, {sum(depths)} {block.__name__} blocks, group normalization",
        published=Published(parameters=parameters, forward_gmacs=gmacs, source=TORCHVISION),
    )


WORKLOADS: Mapping[str, Workload] = {
    entry.name: entry
    for entry in (
        _entry(18, basic, (2, 2, 2, 2), 11_689_512, 1.814),
        _entry(34, basic, (3, 4, 6, 3), 21_797_672, 3.664),
        _entry(50, bottleneck, (3, 4, 6, 3), 25_557_032, 4.089),
        _entry(101, bottleneck, (3, 4, 23, 3), 44_549_160, 7.801),
        _entry(152, bottleneck, (3, 8, 36, 3), 60_192_808, 11.514),
    )
}
