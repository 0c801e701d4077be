"""The operator of ONNX that is a leaky ReLU.  A reader takes the attributes, and adds layers to what is built."""

from wavecore_example.layers import LeakyReLU


def leaky_relu(build, node):
    """Add the layer, with the slope that ONNX calls alpha."""
    value = build.elementwise(node)
    build.layer(node, LeakyReLU(node.number("alpha", 0.01)), value, dims=value.dims, axes=value.axes)


OPERATORS = {"LeakyRelu": leaky_relu}
