"""A workload: ``wavecore run leaky --option channels=32``."""

from wavecore.network.catalog import Workload
from wavecore.network.graph import Network
from wavecore.network.layers import Conv, CrossEntropy, GlobalAvgPool, Linear
from wavecore.network.shapes import Shape
from wavecore_example.layers import LeakyReLU


def leaky(channels=16, image=32):
    """Two convolutions, each with a leaky ReLU, and a classifier."""
    net = Network("leaky", Shape(3, image, image))
    x = net.input
    for number in (1, 2):
        x = net(Conv(channels * number, kernel=3, padding=1), x, name=f"conv{number}")
        x = net(LeakyReLU(), x, name=f"relu{number}")
    x = net(Linear(10), net(GlobalAvgPool(), x), name="classifier")
    net(CrossEntropy(), x, name="loss")
    return net.build()


WORKLOADS = {"leaky": Workload(name="leaky", build=leaky, summary="two convolutions with leaky ReLUs")}
