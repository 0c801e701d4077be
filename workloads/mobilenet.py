"""MobileNetV2: Sandler et al., "Inverted residuals and linear bottlenecks" (arXiv 1801.04381), table 2.

It follows torchvision's ``mobilenet_v2``, with group normalization.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Conv, ReLU
from wavecore.network.layers.normalization import group_norm

from .common import TORCHVISION, begin, finish

STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(image: int = 224, classes: int = 1000, width: float = 1.0) -> LayerGraph:
    """Build MobileNetV2 for images of at least 32 x 32; its last convolution is never narrower than 1280."""
    net = begin("mobilenet_v2", image, width, least=32)
    stem = Conv(rounded(32 * width), kernel=3, stride=2, padding=1)
    x = _conv_norm_relu(net, net.input, stem, "features.0")
    index = 1
    for expansion, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = inverted_residual(net, x, f"features.{index}", expansion, rounded(channels * width), stride)
            index += 1
    x = _conv_norm_relu(net, x, Conv(rounded(1280 * max(1.0, width))), f"features.{index}")
    return finish(net, x, classes, dropout=0.2, classifier="classifier.1")


def rounded(channels: float) -> int:
    """Return the multiple of 8 nearest to ``channels``, or the next one if that is more than 10 % below; at least 8."""
    multiple = max(8, int(channels + 4) // 8 * 8)
    return multiple if multiple >= 0.9 * channels else multiple + 8


def inverted_residual(net: Network, x: str, name: str, expansion: int, channels: int, stride: int) -> str:
    """Add a 1x1 convolution that widens, a depthwise 3x3 and a linear 1x1; add the input if the shapes are equal."""
    inputs = net.shape(x).channels
    hidden = inputs * expansion
    position = 0
    y = x
    if expansion != 1:
        y = _conv_norm_relu(net, y, Conv(hidden), f"{name}.conv.0")
        position = 1
    depthwise = Conv(hidden, kernel=3, stride=stride, padding=1, groups=hidden)
    y = _conv_norm_relu(net, y, depthwise, f"{name}.conv.{position}")
    y = net(Conv(channels), y, name=f"{name}.conv.{position + 1}")
    y = net(group_norm(channels), y, name=f"{name}.conv.{position + 2}")
    return net(Add(), y, x, name=f"{name}.add") if stride == 1 and inputs == channels else y


def _conv_norm_relu(net: Network, x: str, conv: Conv, name: str) -> str:
    x = net(conv, x, name=f"{name}.0")
    x = net(group_norm(conv.out_channels), x, name=f"{name}.1")
    return net(ReLU(ceiling=6.0), x, name=f"{name}.2")


WORKLOADS: Mapping[str, Workload] = {
    "mobilenet_v2": Workload(
        name="mobilenet_v2",
        build=mobilenet_v2,
        summary="MobileNetV2, 17 inverted residuals, depthwise convolutions, group normalization",
        published=Published(parameters=3_504_872, forward_gmacs=0.301, source=TORCHVISION),
    )
}
