"""AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (arXiv 1404.5997).

It follows torchvision's ``alexnet``, the single-column network of that paper, which has no normalization.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import Conv, CrossEntropy, Dropout, Flatten, Linear, MaxPool, ReLU

from .common import TORCHVISION, begin, resize, scaled

POOL = MaxPool(kernel=3, stride=2)


def alexnet(image: int = 224, classes: int = 1000, width: float = 1.0) -> LayerGraph:
    """Build AlexNet for images of at least 63 x 63."""
    net = begin("alexnet", image, width, least=63)

    def conv(channels: int, kernel: int, stride: int, padding: int) -> Conv:
        return Conv(scaled(channels, width), kernel, stride, padding, bias=True)

    features = (
        conv(64, 11, 4, 2), ReLU(), POOL,
        conv(192, 5, 1, 2), ReLU(), POOL,
        conv(384, 3, 1, 1), ReLU(),
        conv(256, 3, 1, 1), ReLU(),
        conv(256, 3, 1, 1), ReLU(), POOL,
    )  # fmt: skip
    x = net.input
    for index, layer in enumerate(features):
        x = net(layer, x, name=f"features.{index}")
    x = net(Flatten(), resize(net, x, 6), name="flatten")

    hidden = scaled(4096, width)
    classifier = (Dropout(0.5), Linear(hidden), ReLU(), Dropout(0.5), Linear(hidden), ReLU(), Linear(classes))
    for index, layer in enumerate(classifier):
        x = net(layer, x, name=f"classifier.{index}")
    net(CrossEntropy(), x, name="loss")
    return net.build()


WORKLOADS: Mapping[str, Workload] = {
    "alexnet": Workload(
        name="alexnet",
        build=alexnet,
        summary="AlexNet, 5 convolutions, no normalization",
        batch_per_core=64,
        published=Published(parameters=61_100_840, forward_gmacs=0.714, source=TORCHVISION),
    )
}
