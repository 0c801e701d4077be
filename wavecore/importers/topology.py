"""SCALE-Sim's topology files as workloads.

A topology is a list of layers with sizes, not a network: it has no pooling, normalization, branches or loss.  Its
layers become a network by these rules, which invent nothing:

* a layer reads the output of the layer above it where the two agree: as many channels, and an image of that
  size, or larger by a padding that its filter can have (SCALE-Sim's images include their padding);
* any other layer reads an `Inlet`: its image, padding included, comes from DRAM, and the image's gradient goes there;
* an output that no layer reads goes to DRAM, and its gradient comes from there (`Outlet`);
* the first layer reads the network's input, which needs no gradient;
* one line is SCALE-Sim's GEMM for each sample of the mini-batch.  A partial window at the border counts as a whole one,
  as in SCALE-Sim: its zeros are multiplied, but cause no traffic;
* a filter as large as its image, padding included, is a linear layer, and a depthwise layer has one group per channel;
* ratios of sparsity are ignored, as SCALE-Sim's default configuration does.
"""

from __future__ import annotations

from pathlib import Path

from wavecore.hardware.scalesim import TopologyLayer, parse_topology
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Conv, Flatten, Inlet, LayerKind, Linear, Outlet
from wavecore.network.layers.base import window
from wavecore.network.shapes import Shape


def topology_workload(path: str | Path) -> LayerGraph:
    """Read a topology file as a network, named after the file.

    Raises `FileError` for a file that cannot be read or holds no layer, `GraphError` for a bad layer.
    """
    return network_of(Path(path).stem, parse_topology(path))


def network_of(name: str, layers: tuple[TopologyLayer, ...]) -> LayerGraph:
    """Make a network of a topology's layers by the module's rules; a repeated name gets its line number.

    Raises `GraphError` for a bad layer.
    """
    first, *rest = layers
    net = Network(name, _image(first))
    names = {net.input}
    above = _add(net, first, net.input, _name(first, names))
    for layer in rest:
        own = _name(layer, names)
        if _agrees(layer, net.shape(above)):
            above = _add(net, layer, above, own)
            continue
        net(Outlet(), above, name=f"{above}.output")
        above = _add(net, layer, net(Inlet(_image(layer)), name=f"{own}.input"), own)
    net(Outlet(), above, name=f"{above}.output")
    return net.build()


def _name(layer: TopologyLayer, taken: set[str]) -> str:
    name = layer.name if layer.name not in taken else f"{layer.name}@{layer.line}"
    taken.add(name)
    return name


def _image(layer: TopologyLayer) -> Shape:
    """Return the shape that a layer reads; a GEMM of M x K is a pointwise convolution of M pixels and K channels."""
    if layer.kind == "gemm":
        return Shape(layer.filter_width, layer.ifmap_height, 1)
    return Shape(layer.channels, layer.ifmap_height, layer.ifmap_width)


def _add(net: Network, layer: TopologyLayer, source: str, name: str) -> str:
    """Add a layer that reads ``source``, its image with or without the padding, and return its name."""
    kind = _kind(layer, net.shape(source))
    if isinstance(kind, Linear) and net.shape(source).pixels > 1:
        source = net(Flatten(), source, name=f"{name}.flat")
    return net(kind, source, name=name)


def _kind(layer: TopologyLayer, source: Shape) -> LayerKind:
    if layer.kind == "gemm":
        return Conv(layer.filters)
    kernel = (layer.filter_height, layer.filter_width)
    if source == _image(layer) and kernel == (source.height, source.width) and not layer.depthwise:
        return Linear(layer.filters, bias=False)
    groups = layer.channels if layer.depthwise else 1
    down, across = layer.strides
    stride = down if down == across else layer.strides
    return Conv(layer.filters * groups, kernel, stride, _paddings(layer, source), groups)


def _agrees(layer: TopologyLayer, output: Shape) -> bool:
    """Return whether ``output`` is the image of ``layer``, but for a padding of at most its filter size less one."""
    image = _image(layer)
    if layer.kind == "gemm":
        return image == output
    spare = (image.height - output.height, image.width - output.width)
    if image.channels != output.channels or min(spare) < 0:
        return False
    if spare[0] >= layer.filter_height or spare[1] >= layer.filter_width:
        return False
    return all(
        window(size, kernel, stride, padding) == count
        for size, kernel, stride, padding, count in zip(
            (output.height, output.width),
            (layer.filter_height, layer.filter_width),
            layer.strides,
            _paddings(layer, output),
            _windows(layer),
            strict=True,
        )
    )


def _windows(layer: TopologyLayer) -> tuple[int, int]:
    """Return the height and width of a layer's output; a partial window counts as a whole one."""
    height = -(-(layer.ifmap_height - layer.filter_height) // layer.strides[0]) + 1
    width = -(-(layer.ifmap_width - layer.filter_width) // layer.strides[1]) + 1
    return height, width


def _paddings(layer: TopologyLayer, source: Shape) -> tuple[int, int]:
    """Return the padding, vertical and horizontal, with which ``source`` reaches as far as the windows of a layer."""
    height, width = _windows(layer)
    return (
        -(-((height - 1) * layer.strides[0] + layer.filter_height - source.height) // 2),
        -(-((width - 1) * layer.strides[1] + layer.filter_width - source.width) // 2),
    )
