"""VGG: Simonyan and Zisserman, "Very deep convolutional networks" (arXiv 1409.1556), table 1.

It follows torchvision's ``vgg11`` to ``vgg19``, which have no normalization.  With ``norm="group"`` a group
normalization follows every convolution, where torchvision's ``vgg*_bn`` have batch normalization.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from wavecore.errors import unknown_name
from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import Conv, CrossEntropy, Dropout, Flatten, LayerKind, Linear, MaxPool, ReLU
from wavecore.network.layers.normalization import group_norm

from .common import TORCHVISION, begin, resize, scaled

CHANNELS = (64, 128, 256, 512, 512)  # of the five stages, each of which ends with a 2x2 max-pooling


def vgg(
    name: str,
    depths: tuple[int, ...],
    /,
    image: int = 224,
    classes: int = 1000,
    width: float = 1.0,
    norm: str = "none",
) -> LayerGraph:
    """Build a VGG with ``depths`` convolutions per stage, for images of at least 32 x 32."""
    if norm not in ("none", "group"):
        raise unknown_name(f"network {name}", "norm", norm, ("none", "group"))
    net = begin(name, image, width, least=32)

    features: list[LayerKind] = []
    for depth, published in zip(depths, CHANNELS, strict=True):
        channels = scaled(published, width)
        normalization = (group_norm(channels),) if norm == "group" else ()
        convolution = Conv(channels, kernel=3, padding=1, bias=not normalization)
        features += (convolution, *normalization, ReLU()) * depth
        features.append(MaxPool(kernel=2, stride=2))
    x = net.input
    for index, layer in enumerate(features):
        x = net(layer, x, name=f"features.{index}")
    x = net(Flatten(), resize(net, x, 7), name="flatten")

    hidden = scaled(4096, width)
    classifier = (Linear(hidden), ReLU(), Dropout(0.5), Linear(hidden), ReLU(), Dropout(0.5), Linear(classes))
    for index, layer in enumerate(classifier):
        x = net(layer, x, name=f"classifier.{index}")
    net(CrossEntropy(), x, name="loss")
    return net.build()


def _entry(depths: tuple[int, ...], parameters: int, gmacs: float) -> Workload:
    """Return the entry of a VGG; its name counts the convolutions and three linear layers."""
    convolutions = sum(depths)
    name = f"vgg{convolutions + 3}"
    return Workload(
        name=name,
        build=partial(vgg, name, depths),
        summary=f"VGG-{convolutions + 3}, {convolutions} convolutions, no normalization",
        published=Published(parameters=parameters, forward_gmacs=gmacs, source=TORCHVISION),
    )


WORKLOADS: Mapping[str, Workload] = {
    entry.name: entry
    for entry in (
        _entry((1, 1, 2, 2, 2), 132_863_336, 7.609),
        _entry((2, 2, 2, 2, 2), 133_047_848, 11.308),
        _entry((2, 2, 3, 3, 3), 138_357_544, 15.470),
        _entry((2, 2, 4, 4, 4), 143_667_240, 19.632),
    )
}
