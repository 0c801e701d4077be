"""Does a SCALE-Sim topology run as the layers it lists, connected where, and only where, their sizes agree?"""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import ORDER, machine

from wavecore.hardware.scalesim import parse_topology, topology_macs
from wavecore.importers.topology import topology_workload
from wavecore.network.layers import Conv, Linear
from wavecore.network.rules import verify_graph
from wavecore.network.shapes import Shape
from wavecore.simulation import simulate

DATA = Path(__file__).parent.parent / "crosscheck" / "data"
CONV = "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides\n"
GEMM = "Layer,M,N,K\n"


def reads(folder: Path, text: str) -> dict[str, str]:
    """What each convolution or linear layer of a topology reads."""
    path = folder / "t.csv"
    path.write_text(text)
    graph = topology_workload(path)
    verify_graph(graph)
    return {layer.name: layer.inputs[0] for layer in graph if isinstance(layer.kind, Conv | Linear)}


@pytest.mark.parametrize(
    ("second", "source"),
    [
        ("6,6,3,3,4,8,1", "a"),
        ("8,8,3,3,4,8,1", "a"),  # padded by one
        ("8,8,3,3,4,8,2", "a"),  # ... and the last window is partial
        ("7,7,3,3,4,8,2", "a"),  # padded on one side only, as strides allow
        ("8,6,3,1,4,8,1", "a"),
        ("8,8,1,1,4,8,1", "b.input"),  # a filter of one has no padding
        ("7,7,3,3,4,8,1", "b.input"),  # one side only, and every window counts
        ("3,3,2,2,4,8,1", "b.input"),  # pooled in between
        ("6,6,3,3,5,8,1", "b.input"),
        ("9,9,3,3,4,8,1", "b.input"),  # more padding than the filter reaches
    ],
)
def test_a_layer_reads_the_one_above_where_sizes_agree(tmp_path: Path, second: str, source: str) -> None:
    assert reads(tmp_path, f"{CONV}a,8,8,3,3,3,4,1\nb,{second}\n") == {"a": "input", "b": source}


def test_a_gemm_reads_the_one_above_where_sizes_agree(tmp_path: Path) -> None:
    found = reads(tmp_path, GEMM + "a,16,8,4\nb,16,2,8\nc,16,2,8\nd,8,2,2\n")
    assert found == {"a": "input", "b": "a", "c": "c.input", "d": "d.input"}


def test_a_filter_of_the_whole_image_is_a_linear_layer(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(CONV + "a,8,8,3,3,3,4,1,\nb,6,6,6,6,4,10,1,\nc,1,1,1,1,10,5,1,\n")
    graph = topology_workload(path)
    assert [str(layer.kind.kind) for layer in graph] == ["input", "conv", "flatten", "linear", "linear", "outlet"]
    assert (graph.name, str(graph.layers[-1].shape), graph.parameter_count) == ("net", "5x1x1", 108 + 1440 + 50)


def test_depthwise_has_a_group_a_channel(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CONV + "DP,6,6,3,3,7,2,1\n")
    assert topology_workload(path).layers[1].shape == Shape(14, 4, 4)


def test_a_name_that_is_taken_gets_its_line(tmp_path: Path) -> None:
    found = reads(tmp_path, CONV + "input,8,8,3,3,3,4,1\n\na,6,6,3,3,4,4,1\na,4,4,3,3,4,4,1\n")
    assert found == {"input@2": "input", "a": "input@2", "a@5": "a"}


def test_a_padded_filter_is_no_linear_layer(tmp_path: Path) -> None:
    """The filter is as large as what it reads, 4 x 3 pixels, but has 3 x 1 windows on them with their padding.

    3 windows of 4 x 3 x 3 weights are 108 MACs; the first layer makes 4 x 3 pixels of 3 channels out of 1.
    """
    path = tmp_path / "net.csv"
    path.write_text(CONV + "one,8,5,1,1,1,3,3,\ntwo,6,3,4,3,3,1,1,\n")
    graph = topology_workload(path)
    assert isinstance(graph.by_name["two"].kind, Conv)
    assert graph.forward_macs == 12 * 3 + 108
    assert sum(map(topology_macs, parse_topology(path))) == 12 * 3 + 108


@pytest.mark.parametrize("engine", ["event", "analytic"])
@pytest.mark.parametrize("schedule", ORDER)
@pytest.mark.parametrize("name", ["scalesim_conv", "scalesim_gemm", "scalesim_large"])
def test_topologies_run(name: str, schedule: str, engine: str) -> None:
    path = DATA / f"{name}.csv"
    forward = sum(map(topology_macs, parse_topology(path)))
    run = simulate(topology_workload(path), schedule, machine(), batch=4, engine=engine)
    assert sum(row.macs for row in run.rows if row.phase == "forward") == 4 * forward
    assert sum(row.macs for row in run.rows if row.phase == "weight_gradient") == 4 * forward
