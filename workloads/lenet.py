"""LeNets for 28 x 28 digits: LeCun et al., "Gradient-based learning applied to document recognition" (1998).

``lenet5`` is Caffe's variant, 20-50-500-10, and ``lenet300`` the perceptron 300-100-10; papers on pruning use these
two.  Both have biases, no normalization, and a ReLU behind every convolution and linear layer except the last.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.errors import GraphError
from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Conv, CrossEntropy, Flatten, Linear, MaxPool, ReLU
from wavecore.network.shapes import Shape

from .common import LARGEST_IMAGE

POOL = MaxPool(kernel=2, stride=2)


def lenet5(image: int = 28, classes: int = 10) -> LayerGraph:
    """Build LeNet-5 for grey images of at least 16 x 16."""
    net = _begin("lenet5", image, least=16)
    x = net.input
    for index, channels in enumerate((20, 50), start=1):
        x = net(Conv(channels, 5, bias=True), x, name=f"conv{index}")
        x = net(ReLU(), x, name=f"relu_conv{index}")
        x = net(POOL, x, name=f"pool{index}")
    return _finish(net, net(Flatten(), x, name="flatten"), (500, classes))


def lenet300(image: int = 28, classes: int = 10) -> LayerGraph:
    """Build LeNet-300-100 for grey images."""
    net = _begin("lenet300", image, least=1)
    return _finish(net, net(Flatten(), net.input, name="flatten"), (300, 100, classes))


def _begin(name: str, image: int, least: int) -> Network:
    """Begin a network that reads grey images; `GraphError` for an image below ``least`` or too large."""
    if not least <= image <= LARGEST_IMAGE:
        raise GraphError(f"network {name}", f"image is {image}", f"{least} to {LARGEST_IMAGE}")
    return Network(name, Shape(1, image, image))


def _finish(net: Network, x: str, features: tuple[int, ...]) -> LayerGraph:
    """End with linear layers of ``features`` outputs, with ReLUs between them, and the loss; return the graph."""
    for index, outputs in enumerate(features, start=1):
        x = net(Linear(outputs), x, name=f"fc{index}")
        if index < len(features):
            x = net(ReLU(), x, name=f"relu_fc{index}")
    net(CrossEntropy(), x, name="loss")
    return net.build()


WORKLOADS: Mapping[str, Workload] = {
    "lenet5": Workload(
        name="lenet5",
        build=lenet5,
        summary="LeNet-5 as in Caffe, 20-50-500-10",
        batch_per_core=50,
        published=Published(
            parameters=431_080, forward_gmacs=0.00229, source="Caffe's examples/mnist/lenet.prototxt, counted"
        ),
    ),
    "lenet300": Workload(
        name="lenet300",
        build=lenet300,
        summary="LeNet-300-100, a perceptron of three layers",
        batch_per_core=50,
        published=Published(
            parameters=266_610, forward_gmacs=0.000266, source="784 x 300 + 300 x 100 + 100 x 10 and biases"
        ),
    ),
}
