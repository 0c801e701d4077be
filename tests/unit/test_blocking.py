"""Are operands read as often as a hand count says, in the order that fits?"""

from __future__ import annotations

from functools import cache

import pytest
from builders import chain, machine
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import networks

from wavecore.errors import SpaceError
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, Conv, CrossEntropy, GlobalAvgPool, Linear, Outlet
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import Blocking, LoopOrder, Need, block, gradient_bytes, least_bytes, needs, operands
from wavecore.plan.model import Residency
from wavecore.plan.placement import Direction, PlacedOperation, place
from wavecore.plan.traffic import transfers
from wavecore.training.unroll import training_graph

KIB = 1024
ARRAY = machine().array
BACKWARD = Direction.BACKWARD


def streamed(network: LayerGraph, direction: Direction = Direction.FORWARD) -> dict[str, PlacedOperation]:
    """All operations of one direction with nothing on chip."""
    training = training_graph(network)
    placed = place(training, 0, len(training.units) - 1, direction, {})
    return {op.operation.name: op for op in placed}


@cache
def dense() -> LayerGraph:
    """A 1x1 convolution of 1024 to 512 channels on 16x16: 512 KiB of input a sample, 1 MiB of weights.

    Its weight gradient is 2 MiB (fp32), its output and the gradient of that 256 KiB a sample.
    """
    net = Network("dense", Shape(1024, 16, 16))
    net(CrossEntropy(), net(Conv(2, 16), net(Conv(512), net.input, name="dense")))
    return net.build()


def moved(op: PlacedOperation, blocking: Blocking, samples: int) -> int:
    return sum(move.nbytes for move in transfers(op, blocking, samples) if not move.write)


# -- forward -------------------------------------------------------------------------------------------------


def test_what_the_dense_layer_needs() -> None:
    """A window of the input is 1 of 16 rows, the one that is being multiplied, and two chunks."""
    parts = operands(streamed(dense())["dense.forward"], ARRAY)
    assert (parts.left, parts.right) == (512 * KIB, 1024 * KIB)
    assert parts.window == 32 * KIB + 32 * KIB
    assert parts.panel == 1024 * 128 * 2
    assert parts.base == 32 * KIB  # two chunks of the output


def test_rows_hold_all_weights_while_the_input_passes() -> None:
    """1 MiB of weights + 64 KiB window + 32 KiB for the output."""
    op = streamed(dense())["dense.forward"]
    assert block(op, ARRAY, 64, (1024 + 64 + 32) * KIB) == Blocking(LoopOrder.RIGHT_STAYS, (1024 + 64 + 32) * KIB)


def test_panels_hold_all_samples_while_the_weights_pass() -> None:
    """One sample of 512 KiB + a panel of 256 KiB + 32 KiB; a byte less, and a sample is one row of tiles."""
    op = streamed(dense())["dense.forward"]
    assert block(op, ARRAY, 1, 800 * KIB) == Blocking(LoopOrder.LEFT_STAYS, 800 * KIB)
    assert block(op, ARRAY, 1, 800 * KIB - 1) == Blocking(LoopOrder.ROW_BLOCKS, 160 * KIB)


@pytest.mark.parametrize("space", [1119, 1000, 900, 800, 700, 600, 500, 400])
def test_blocks_read_the_other_operand_once_each(space: int) -> None:
    """Four samples of 2 MiB against 1 MiB of weights: the fewest bytes of both loop orders."""
    op = streamed(dense())["dense.forward"]
    found = block(op, ARRAY, 4, space * KIB)
    rows = -(-2048 // (space - 32 - 256))  # blocks of A beside a panel of B
    columns = -(-1024 // (space - 32 - 64))  # blocks of B beside a window of A
    by_rows, by_columns = 2048 + 1024 * rows, 2048 * columns + 1024
    assert moved(op, found, 4) == min(by_rows, by_columns, 2048 + 1024 * 4) * KIB


def test_tile_by_tile_is_the_last_resort() -> None:
    """Two B tiles of 128x128 fp16, the window and the output: weights once for each of ceil(256*4/256) row tiles."""
    op = streamed(dense())["dense.forward"]
    least = (64 + 64 + 32) * KIB
    assert least_bytes(op, ARRAY, 4) == least
    assert block(op, ARRAY, 4, least) == Blocking(LoopOrder.ROW_BLOCKS, least, 1, 4, 4)
    with pytest.raises(SpaceError) as caught:
        block(op, ARRAY, 4, least - 1)
    assert str(caught.value) == (
        "layer dense, forward: needs 163840 bytes (160 KiB) of the global buffer for 4 samples, "
        'and has 163839 (160 KiB); try: --set core.global_buffer="160 KiB" or more, or a smaller sub-batch'
    )


# -- weight gradient -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "rounds"), [(10, 8), (8, 8), (6, 12), (5, 16)])
def test_depth_holds_the_gradient_while_samples_pass(space: int, rounds: int) -> None:
    """2 MiB of gradient; 24 MiB of operands in rounds, two at a time: at least 48 MiB / (space - 2 MiB) of them.

    Eight, at most, where room is left: adding so many rounds to the gradient moves less than the operands.
    """
    op = streamed(dense(), BACKWARD)["dense.weight_gradient"]
    assert gradient_bytes(op) == 2048 * KIB
    assert rounds == max(8, -(-48 // (space - 2)))
    assert block(op, ARRAY, 32, space * KIB * KIB) == Blocking(LoopOrder.OUTPUT_STAYS, 2048 * KIB, blocks=rounds)


@pytest.mark.parametrize(("samples", "expected"), [(5, "operands_stay"), (6, "output_stays")])
def test_rounds_are_preferred_where_they_add_less_than_the_operands_move(samples: int, expected: str) -> None:
    """Two rounds over the gradient of 2 MiB add 4 MiB; the operands, 768 KiB per sample, are 3.75 MiB of 5, 4.5 of 6.

    Both orders fit 10 MiB: the operands beside two tiles and their partial sums, 512 KiB; the gradient beside
    twice half of the operands.
    """
    op = streamed(dense(), BACKWARD)["dense.weight_gradient"]
    found = block(op, ARRAY, samples, 10 * KIB * KIB)
    assert str(found.order) == expected
    assert found.blocks == (2 if expected == "output_stays" else 1)


@pytest.mark.parametrize(("room", "rounds"), [(1025, 33), (1024, 33), (1023, 0)])
def test_rounds_add_at_most_16_times_what_the_operands_move(room: int, rounds: int) -> None:
    """A gradient of 256 x 8192 in fp32 is 8 MiB; 32 samples of 32 steps, 16 + 512 KiB each, are 16.5 MiB of operands.

    Beside the gradient, a room of 1 MiB holds two rounds of 512 KiB: 33 of them, which add 33 * 8 = 16 * 16.5 MiB.
    With a KiB less there are 34, and 272 MiB are more than 264.
    """
    net = Network("decoder", Shape(256, 32))
    net(CrossEntropy(), net(Linear(8192, bias=False), net.input, name="decoder"))
    op = streamed(net.build(), BACKWARD)["decoder.weight_gradient"]
    assert gradient_bytes(op) == 8192 * KIB
    found = block(op, ARRAY, 32, (8192 + room) * KIB)
    assert (found.blocks if str(found.order) == "output_stays" else 0) == rounds


def test_tiles_hold_the_samples_while_the_gradient_passes() -> None:
    """One sample is 768 KiB; the gradient would not fit beside it."""
    op = streamed(dense(), BACKWARD)["dense.weight_gradient"]
    tiles = 4 * 256 * 128 * 4 // KIB  # two finished tiles and the partial sums they are added to
    assert block(op, ARRAY, 1, (768 + tiles) * KIB) == Blocking(LoopOrder.OPERANDS_STAY, (768 + tiles) * KIB)


@pytest.mark.parametrize(("space", "blocks"), [(1600, 2), (1300, 3), (900, 4), (640, 8)])
def test_gradient_blocks_read_the_smaller_operand_again_for_each(space: int, blocks: int) -> None:
    """Beside a block of the 2 MiB: a window of 64 KiB, two chunks, a finished tile and its partial sums."""
    op = streamed(dense(), BACKWARD)["dense.weight_gradient"]
    assert blocks == -(-2048 // (space - 64 - 32 - 256))
    found = block(op, ARRAY, 8, space * KIB)
    assert found == Blocking(LoopOrder.ROW_BLOCKS, space * KIB, 1, blocks, blocks)
    assert moved(op, found, 8) - 2048 * KIB == 8 * (512 + 256 * blocks) * KIB  # and partial sums of earlier rounds


def test_on_chip_operands_need_no_room() -> None:
    training = training_graph(chain())
    kept = dict.fromkeys(("two.gradient", "one.gradient", "one"), Residency.KEPT)
    ops = {op.operation.name: op for op in place(training, 0, 2, BACKWARD, kept)}
    parts = operands(ops["two.data_gradient"], ARRAY)
    assert (parts.left, parts.window) == (0, 0)


def test_a_sweep_has_room_for_what_must_be_there_before_it_starts() -> None:
    """The mean of an image needs all of it: a sample of 512 KiB, and two chunks of what comes next."""
    net = Network("mean", Shape(1024, 16, 16))
    net(CrossEntropy(), net(GlobalAvgPool(), net.input, name="mean"))
    op = streamed(net.build())["mean.forward"]
    result = 2 * 1024  # bytes of the means, less than a chunk
    assert operands(op, ARRAY).base == 512 * KIB + 32 * KIB + result


# -- laws ----------------------------------------------------------------------------------------------------

directions = st.sampled_from([Direction.FORWARD, Direction.BACKWARD])


@given(networks(), directions, st.integers(1, 32), st.integers(64, 4096), st.integers(1, 4096))
def test_more_space_never_reads_more(
    network: LayerGraph, way: Direction, samples: int, kib: int, more_kib: int
) -> None:
    for op in streamed(network, way).values():
        if least_bytes(op, ARRAY, samples) > kib * KIB:
            continue
        before, after = (moved(op, block(op, ARRAY, samples, size * KIB), samples) for size in (kib, kib + more_kib))
        assert after <= before


@given(networks(), directions, st.integers(1, 32), st.integers(64, 16384))
def test_a_stage_fits_its_space_and_passes_are_blocks(
    network: LayerGraph, way: Direction, samples: int, kib: int
) -> None:
    fitting = [op for op in streamed(network, way).values() if least_bytes(op, ARRAY, samples) <= kib * KIB]
    assume(fitting)
    for op in fitting:
        found = block(op, ARRAY, samples, kib * KIB)
        assert found.stage_bytes + op.live_bytes * samples <= kib * KIB
        assert 1 in (found.left_passes, found.right_passes)
        assert max(found.left_passes, found.right_passes) in (1, found.blocks)


@pytest.mark.parametrize("buffer_kib", [10_000, 10_240, 10_752, 20_480])
def test_a_gradient_that_hardly_fits_is_not_added_up_in_hundreds_of_rounds(buffer_kib: int) -> None:
    """257 x 10,000 sums of 4 bytes are 9.8 MiB; beside them there is room for a 400th of the operands, or for all."""
    net = Network("decoder", Shape(257, 35))
    net(CrossEntropy(), net(Linear(10_000), net.input, name="decoder"))
    placed = streamed(net.build(), BACKWARD)["decoder.weight_gradient"]
    chosen = block(placed, ARRAY, 30, buffer_kib * KIB)
    added = gradient_bytes(placed) * chosen.blocks if chosen.order == LoopOrder.OUTPUT_STAYS else 0
    assert added <= 16 * sum(move.nbytes for move in transfers(placed, chosen, 30) if not move.write)
    assert moved(placed, chosen, 30) <= 2.1 * moved(placed, block(placed, ARRAY, 30, 1 << 40), 30)


def test_a_recurrent_layer_needs_a_panel_of_its_weights() -> None:
    """8192 units in one time step: a panel of 8192 x 128 is 2 MiB, the state 8192 * 6 B is 48 KiB.

    Two pieces of at most 16 KiB of each stream: sums of the gates and gates, 64 KiB each, 32; outputs and cells, 16 KiB
    each, 16.  That is 2192 KiB.
    """
    net = Network("wide", Shape(4 * 8192, 1))
    net(Outlet(), net(LSTM(8192), net.input, name="lstm"), name="out")
    op = streamed(net.build())["lstm.forward"]
    least = (2048 + 48 + 2 * 32 + 2 * 16) * KIB
    assert least_bytes(op, ARRAY, 1) == least
    assert block(op, ARRAY, 1, least) == Blocking(LoopOrder.WEIGHTS_REREAD, least, 1, 1, 1)
    with pytest.raises(SpaceError, match=r'--set core.global_buffer="2192 KiB" or more'):
        block(op, ARRAY, 1, least - 1)


def test_what_a_weight_gradient_needs_in_either_order() -> None:
    """Operands stay: 512 + 256 KiB per sample, two tiles and their sums.  The gradient stays: half of the operands at
    a time, 2 MiB, and twice a window of 64 KiB and two pieces of the other operand.
    """
    stay, depth = needs(streamed(dense(), BACKWARD)["dense.weight_gradient"], ARRAY)
    assert stay == Need(LoopOrder.OPERANDS_STAY, 768 * KIB, 4 * 256 * 128 * 4)
    assert depth == Need(LoopOrder.OUTPUT_STAYS, 384 * KIB, (2048 + 2 * (64 + 32)) * KIB)
