"""Is a command cut into as many steps and blocks as a hand count says?

A step is 128 KiB of DRAM data or 4096 cycles, whichever gives more steps, and there are at least 8.  The vector unit
has 256 lanes and a port of 1 KiB a cycle.
"""

from __future__ import annotations

import pytest
from builders import SCHEDULES, machine

from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, AvgPool, Conv, CrossEntropy, Outlet
from wavecore.network.shapes import Shape
from wavecore.program.commands import Command, commands
from wavecore.program.lower import lower
from wavecore.training.unroll import training_graph

KIB = 1024


def lowered(graph: LayerGraph, samples: int, *overrides: str) -> dict[str, Command]:
    """The commands of a baseline step of so many samples per core."""
    training, accelerator = training_graph(graph), machine(*overrides)
    plan = SCHEDULES["baseline"].make(training, accelerator, samples)
    return {each.name: each for *_, each in commands(lower(training, plan, accelerator))}


def added(channels: int, side: int) -> LayerGraph:
    """The sum of two convolutions' outputs."""
    net = Network("added", Shape(4, side, side))
    x, y = (net(Conv(channels), net.input, name=name) for name in "xy")
    net(Outlet(), net(Add(), x, y, name="sum"), name="out")
    return net.build()


def test_a_short_operation_has_eight_steps() -> None:
    """3 tensors of 4 * 8 * 8 * 2 = 512 B."""
    assert lowered(added(4, 8), 1)["sum.forward"].steps == 8


@pytest.mark.parametrize(("samples", "steps"), [(1, 12), (2, 24), (12, 144)])
def test_a_step_moves_128_kib(samples: int, steps: int) -> None:
    """3 tensors of 64 * 64 * 64 * 2 B = 512 KiB per sample; 1 MiB read and half written take 1536 cycles."""
    assert 3 * 512 * samples == 128 * steps
    assert lowered(added(64, 64), samples)["sum.forward"].steps == steps


@pytest.mark.parametrize(("samples", "steps"), [(1, 8), (4, 10), (8, 20)])
def test_a_step_takes_4096_cycles(samples: int, steps: int) -> None:
    """25 * 25 * 64 windows of 8 * 8 pixels on 256 lanes are 10,000 cycles per sample, and 16 to start.

    So 40,016 cycles of 4 samples are 10 steps (9.8), 80,016 of 8 samples 20 (19.5).  The 206 KiB per sample that are
    moved (32 * 32 * 64 and 25 * 25 * 64 elements of 2 B) are fewer steps: 7 and 13.
    """
    net = Network("pool", Shape(64, 32, 32))
    net(Outlet(), net(AvgPool(8, 1), net.input, name="pool"), name="out")
    found = lowered(net.build(), samples)["pool.forward"]
    assert found.work.stage("vector").cycles == 10_000 * samples + 16
    assert found.steps == steps
    for startup, exact in ((960, 10), (961, 11)):  # 40,960 cycles are 10 steps to the cycle
        assert lowered(net.build(), 4, f"vector.startup={startup} cycles")["pool.forward"].steps == exact


def test_a_small_buffer_makes_steps_smaller() -> None:
    """16 samples of 32 KiB; two pieces of each of the 3 streams fit the buffer.

    Blocking keeps two pieces of 16 KiB of each stream free, 96 KiB; the other 96 KiB of a buffer of 192 KiB make
    each of the 6 pieces 16 KiB larger.  512 KiB of a stream in pieces of 32 KiB are 16 steps.  By DRAM bytes alone
    (1.5 MiB), they are 12.
    """
    graph = added(16, 32)
    assert lowered(graph, 16)["sum.forward"].steps == 12
    assert lowered(graph, 16, "core.global_buffer=192 KiB")["sum.forward"].steps == 16


def test_without_spare_room_a_piece_is_16_kib() -> None:
    """A buffer of 96 KiB has room for two pieces of 16 KiB of each stream: 512 KiB are 32 steps."""
    found = lowered(added(16, 32), 16, "core.global_buffer=96 KiB", "array.rows=8", "array.columns=8")
    assert found["sum.forward"].steps == 32


@pytest.mark.parametrize(("samples", "blocks"), [(1, 1), (2, 2), (16, 16), (17, 1)])
def test_up_to_16_row_tiles_are_told_apart(samples: int, blocks: int) -> None:
    """16 x 16 pixels are 256 rows, one tile, per sample; weights (64 B) stay, so that every row tile reads them."""
    net = Network("rows", Shape(4, 16, 16))
    net(CrossEntropy(), net(Conv(2, 16), net(Conv(8), net.input, name="rows"), name="head"), name="loss")
    found = lowered(net.build(), samples)["rows.forward"]
    assert (found.order, found.blocks) == ("right_stays", blocks)
    assert found.steps % blocks == 0


def test_every_column_panel_is_a_block() -> None:
    """4 MiB of weights do not fit; 2 samples of 2 KiB do, and 2048 outputs are 16 panels of 128 columns."""
    net = Network("panels", Shape(1024, 1, 1))
    net(CrossEntropy(), net(Conv(2), net(Conv(2048), net.input, name="wide"), name="head"), name="loss")
    found = lowered(net.build(), 2, "core.global_buffer=2 MiB")["wide.forward"]
    assert (found.order, found.blocks) == ("left_stays", 16)
