"""Does every layer of a random SCALE-Sim topology cost the same in ``wavecore scalesim`` and in ``wavecore run``?"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.hardware.scalesim import TopologyLayer, gemm_of, repeats_of, topology_macs
from wavecore.importers.topology import network_of
from wavecore.network.rules import verify_graph
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph


def output_size(size: int, kernel: int, stride: int) -> int:
    """The windows of one axis, as SCALE-Sim counts them: a partial one is a whole one."""
    return -(-(size - kernel) // stride) + 1


@st.composite
def layers(draw: st.DrawFn, name: str, above: TopologyLayer | None) -> TopologyLayer:
    """A convolution; half of them read the layer above, padded as their filter allows."""
    if above is not None and draw(st.booleans()):
        height = output_size(above.ifmap_height, above.filter_height, above.strides[0])
        width = output_size(above.ifmap_width, above.filter_width, above.strides[1])
        channels = above.filters * (above.channels if above.depthwise else 1)
        filter_height, filter_width = draw(st.integers(1, height)), draw(st.integers(1, width))
        height += draw(st.integers(0, filter_height - 1))
        width += draw(st.integers(0, filter_width - 1))
    else:
        height, width, channels = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
        filter_height, filter_width = draw(st.integers(1, height)), draw(st.integers(1, width))
    return TopologyLayer(
        name=name,
        kind="conv",
        ifmap_height=height,
        ifmap_width=width,
        filter_height=filter_height,
        filter_width=filter_width,
        channels=channels,
        filters=draw(st.integers(1, 3)),
        strides=(draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        depthwise=draw(st.integers(0, 3)) == 0,
    )


@st.composite
def topologies(draw: st.DrawFn) -> tuple[TopologyLayer, ...]:
    """One to four layers, some of which read the one above."""
    found: list[TopologyLayer] = []
    for index in range(draw(st.integers(1, 4))):
        found.append(draw(layers(f"layer{index}", found[-1] if found else None)))
    return tuple(found)


@settings(max_examples=300)
@given(topologies())
def test_every_layer_has_scalesims_macs_outputs_and_weights(topology: tuple[TopologyLayer, ...]) -> None:
    graph = network_of("random", topology)
    verify_graph(graph)
    training = training_graph(graph)
    verify_training(training)
    units = {unit.name: unit for unit in training.units}
    for layer in topology:
        pixels, filters, depth = gemm_of(layer)
        assert sum(op.macs for op in units[layer.name].forward) == topology_macs(layer)
        assert graph.by_name[layer.name].shape.elements == pixels * filters * repeats_of(layer)
        weights = sum(parameter.elements for parameter in graph.parameters(graph.by_name[layer.name]))
        assert weights == depth * filters * repeats_of(layer)
