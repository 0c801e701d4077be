"""Functions that several families share: begin and end a network, scale its width, and add an LSTM."""

from __future__ import annotations

from wavecore.errors import GraphError
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, AdaptiveAvgPool, CrossEntropy, Dropout, Flatten, GlobalAvgPool, Linear
from wavecore.network.layers.recurrent import GATES
from wavecore.network.shapes import Shape

TORCHVISION = "torchvision, num_params and _ops in the metadata of its ImageNet weights"
LARGEST_IMAGE = 1 << 15
LARGEST_WIDTH = 100


def begin(name: str, image: int, width: float, least: int) -> Network:
    """Begin a network that reads RGB images of ``image`` x ``image``, after checking its options.

    ``least`` is the smallest image: the network's total stride, below which the last layers would read more padding
    than image, or more if windows without padding need it.  Raises `GraphError` for a smaller or too large image, or a
    ``width`` out of range.
    """
    if not least <= image <= LARGEST_IMAGE:
        raise GraphError(f"network {name}", f"image is {image}", f"{least} to {LARGEST_IMAGE}")
    if not 0 < width <= LARGEST_WIDTH:
        raise GraphError(f"network {name}", f"width is {width}", f"above 0, up to {LARGEST_WIDTH}; 1 is as published")
    return Network(name, Shape(3, image, image))


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times ``width`` as the nearest multiple of 8, at least 8; unchanged if ``width`` is 1."""
    return channels if width == 1 else max(8, 8 * int(channels * width / 8 + 0.5))


def resize(net: Network, x: str, side: int) -> str:
    """Average-pool ``x`` to ``side`` x ``side``, the input size of the classifier, unless it has that size already."""
    if net.shape(x) == Shape(net.shape(x).channels, side, side):
        return x
    return net(AdaptiveAvgPool(side), x, name="avgpool")


def finish(net: Network, x: str, classes: int, dropout: float = 0.0, classifier: str = "fc") -> LayerGraph:
    """End with global average pooling, dropout (unless 0), a linear classifier and the loss; return the graph."""
    x = net(GlobalAvgPool(), x, name="avgpool")
    x = net(Flatten(), x, name="flatten")
    if dropout:
        x = net(Dropout(dropout), x, name="dropout")
    x = net(Linear(classes), x, name=classifier)
    net(CrossEntropy(), x, name="loss")
    return net.build()


def lstm(net: Network, x: str, hidden: int, name: str, *, reverse: bool = False) -> str:
    """Add an LSTM of ``hidden`` units: ``name``.input, the input products of all steps, and ``name``, its steps."""
    gates = net(Linear(GATES * hidden), x, name=f"{name}.input")
    return net(LSTM(hidden, reverse), gates, name=name)
