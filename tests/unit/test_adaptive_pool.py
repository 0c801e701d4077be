"""Adaptive average pooling against windows worked out by hand and against what any such pooling must do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.network.graph import Network
from wavecore.network.layers import KINDS, AdaptiveAvgPool, CrossEntropy, Flatten
from wavecore.network.layers.adaptive import windows
from wavecore.network.shapes import Shape


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        (7, 7, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7)]),
        (6, 3, [(0, 2), (2, 4), (4, 6)]),
        (7, 3, [(0, 3), (2, 5), (4, 7)]),
        (8, 7, [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8)]),
        (1, 3, [(0, 1), (0, 1), (0, 1)]),
        (2, 3, [(0, 1), (0, 2), (1, 2)]),
    ],
)
def test_windows(size: int, count: int, expected: list[tuple[int, int]]) -> None:
    assert [(window.start, window.stop) for window in windows(size, count)] == expected


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_windows_cover_everything_evenly(size: int, count: int) -> None:
    found = windows(size, count)
    assert len(found) == count
    assert {position for window in found for position in window} == set(range(size))
    assert {len(window) for window in found} <= {-(-size // count), -(-size // count) + 1, size // count}


def test_a_layer_reads_each_position_of_each_window_once() -> None:
    net = Network("pool", Shape(4, 7, 6))
    net(CrossEntropy(), net(Flatten(), net(AdaptiveAvgPool((3, 2)), net.input, name="pool")))
    graph = net.build()
    assert graph.by_name["pool"].shape == Shape(4, 3, 2)
    rules = KINDS[AdaptiveAvgPool]
    assert rules.expand is not None
    work = rules.expand(AdaptiveAvgPool((3, 2)), (Shape(4, 7, 6),), Shape(4, 3, 2))
    assert work.forward.passes[0].elements == 4 * (3 + 3 + 3) * (3 + 3)
