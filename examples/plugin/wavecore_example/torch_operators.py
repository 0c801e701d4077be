"""The operator of PyTorch that is a leaky ReLU."""

from wavecore_example.layers import LeakyReLU


def leaky_relu(build, node):
    """Add the layer, with the slope that PyTorch calls negative_slope."""
    value = build.elementwise(node)
    build.layer(node, LeakyReLU(node.number("negative_slope", 0.01)), value, dims=value.dims, axes=value.axes)


OPERATORS = {"aten.leaky_relu": leaky_relu}
