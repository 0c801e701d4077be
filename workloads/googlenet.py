"""GoogLeNet: Szegedy et al., "Going deeper with convolutions" (arXiv 1409.4842), table 1.

It follows torchvision's ``googlenet`` without the auxiliary heads: a normalization (here group normalization) after
every convolution, 3x3 convolutions where the paper has 5x5, max-poolings that round up, and a dropout of 0.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import MaxPool

from .common import TORCHVISION, begin, finish
from .towers import Tower, block, chain, same

HALVE = MaxPool(kernel=3, stride=2, round_up=True)
KEEP = MaxPool(kernel=3, stride=1, padding=1, round_up=True)

STEM = (
    ("conv1", same(64, 7, stride=2)),
    ("maxpool1", HALVE),
    ("conv2", same(64)),
    ("conv3", same(192, 3)),
    ("maxpool2", HALVE),
)
BLOCKS: Mapping[
    str, MaxPool | tuple[int, int, int, int, int, int]
] = {  # 1x1; 3x3 reduce, 3x3; "5x5" reduce, "5x5"; pool projection
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": HALVE,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": MaxPool(kernel=2, stride=2, round_up=True),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def inception(one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> tuple[Tower, ...]:
    """Return the four towers of a block (figure 2b), from their channels."""
    return (
        (("branch1", same(one)),),
        (("branch2.0", same(reduce3)), ("branch2.1", same(three, 3))),
        (("branch3.0", same(reduce5)), ("branch3.1", same(five, 3))),
        (("branch4.0", KEEP), ("branch4.1", same(pool))),
    )


def googlenet(image: int = 224, classes: int = 1000, width: float = 1.0) -> LayerGraph:
    """Build GoogLeNet for images of at least 32 x 32."""
    net = begin("googlenet", image, width, least=32)
    x = chain(net, net.input, STEM, width)
    for name, row in BLOCKS.items():
        x = net(row, x, name=name) if isinstance(row, MaxPool) else block(net, x, name, inception(*row), width)
    return finish(net, x, classes, dropout=0.2)


WORKLOADS: Mapping[str, Workload] = {
    "googlenet": Workload(
        name="googlenet",
        build=googlenet,
        summary="GoogLeNet, 9 inception blocks, group normalization, without auxiliary heads",
        published=Published(parameters=6_624_904, forward_gmacs=1.498, source=TORCHVISION),
    )
}
