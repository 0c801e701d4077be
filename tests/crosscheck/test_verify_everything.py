"""No program reads what is not there yet, and each computes autograd's gradients: every workload under every schedule,
and random windows, which is where a step needs more of its operands than the even share."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.cli import main
from wavecore.errors import SpaceError
from wavecore.golden.verification import verify_workload
from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload_names
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import AvgPool, Conv, CrossEntropy, Flatten, GlobalAvgPool, Linear, MaxPool, ReLU
from wavecore.network.shapes import Shape
from wavecore.simulation import schedule_names

WHOLE_NETWORKS = [name for name in workload_names() if name != "bidaf"]  # which is a piece, without a loss


@pytest.fixture(autouse=True)
def needs_torch() -> None:
    pytest.importorskip("torch", reason='PyTorch is the referee: pip install "wavecore[torch]"')


@pytest.mark.parametrize("schedule", schedule_names())
@pytest.mark.parametrize("workload", WHOLE_NETWORKS)
def test_every_workload_under_every_schedule(workload: str, schedule: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(("verify", workload, "--schedule", schedule, "--json"))
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("buffer", ["192 KiB", "512 KiB", "4 MiB"])
@pytest.mark.parametrize("image", ["75", "79", "91"])
def test_unpadded_convolutions_at_several_sizes(image: str, buffer: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--image", image, "--set", f"core.global_buffer={buffer}")
    code = main(("verify", "inception_v3", "--schedule", "il", *options, "--json"))
    assert code == 0, capsys.readouterr().err


@st.composite
def windows(draw: st.DrawFn) -> LayerGraph:
    """A stack of convolutions and pools with any kernel, stride and padding (at most half the kernel for a pool)."""
    net = Network("windows", Shape(2, draw(st.integers(6, 40)), draw(st.integers(3, 9))))
    x = net.input
    for _ in range(draw(st.integers(1, 4))):
        shape, kernel, stride = net.shape(x), draw(st.integers(1, 7)), draw(st.integers(1, 4))
        padding = draw(st.integers(0, kernel // 2 if draw(st.booleans()) else kernel - 1))
        narrow = min(shape.width, draw(st.integers(1, 3)))
        kind = draw(st.sampled_from([Conv, Conv, MaxPool, AvgPool]))
        if kernel > shape.height + 2 * padding:
            continue
        if kind is Conv:
            x = net(Conv(draw(st.integers(1, 6)), (kernel, narrow), (stride, 1), (padding, 0)), x)
            x = net(ReLU(), x) if draw(st.booleans()) else x
        else:
            x = net(kind((kernel, narrow), (stride, 1), (min(padding, kernel // 2), 0)), x)
    net(CrossEntropy(), net(Linear(3), net(Flatten(), net(GlobalAvgPool(), x))))
    return net.build()


@given(windows(), st.sampled_from(schedule_names()), st.sampled_from([1, 2, 4, 16, 64]))
@settings(max_examples=60)
def test_random_windows(graph: LayerGraph, schedule: str, kibibytes: int) -> None:
    """In small buffers steps are short, so that each is a small share of a sample."""
    small = [f"core.global_buffer={kibibytes} KiB", "array.rows=4", "array.columns=4", "array.tile_rows=8"]
    try:
        verified = verify_workload(graph, schedule, load_accelerator(overrides=small), 6)
    except SpaceError:
        return
    assert verified.passed, verified
