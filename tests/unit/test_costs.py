"""Does a command cost the cycles and accesses that a hand count says?

The array has 128 columns and both sizes of every product here are smaller, so each product is one output tile; A and B
are fetched once, in fp16 (2 bytes).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import SCHEDULES, chain, machine

from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, Add, Conv, CrossEntropy, Outlet
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.plan.placement import Direction, PlacedOperation, place
from wavecore.program.commands import CommandCost, commands
from wavecore.program.costs import command_work
from wavecore.program.lower import lower
from wavecore.training.operations import EmptyTiles
from wavecore.training.unroll import training_graph

NARROW = machine("core.vector_port=1 B/cycle")  # every byte that the vector unit moves is a cycle


def streamed(graph: LayerGraph, name: str) -> PlacedOperation:
    """An operation with nothing on chip."""
    training = training_graph(graph)
    last = len(training.units) - 1
    both = [place(training, 0, last, way, {}) for way in (Direction.FORWARD, Direction.BACKWARD)]
    return next(each for each in (*both[0], *both[1]) if each.operation.name == name)


def cost(
    graph: LayerGraph,
    name: str,
    samples: int,
    order: LoopOrder,
    blocks: int = 1,
    accelerator: Accelerator = NARROW,
) -> CommandCost:
    return command_work(streamed(graph, name), Blocking(order, 0, blocks=blocks), samples, accelerator, "")


def recurrent() -> LayerGraph:
    """An LSTM of 8 units over 5 time steps, which reads the sums of its gates: 32 x 5."""
    net = Network("lstm", Shape(32, 5))
    net(Outlet(), net(LSTM(8), net.input, name="lstm"), name="out")
    return net.build()


def pointwise() -> LayerGraph:
    """A 1x1 convolution of 4 to 2 channels on 8x8 pixels."""
    net = Network("pointwise", Shape(4, 8, 8))
    net(CrossEntropy(), net(Conv(2, 8), net(Conv(2), net.input, name="one"), name="head"), name="loss")
    return net.build()


# -- the state of a recurrent layer -----------------------------------------------------------------------------


def test_the_state_of_an_lstm_is_written_and_read_in_every_time_step() -> None:
    """Forward, 3 samples: h in fp16 and c in fp32 of 8 units are 8 * (2 + 4) = 48 B per sample and step.

    State: 48 * 3 * 5 = 720 B written and as many read.  The array fetches h, 3 * 8 * 2 = 48 B, and the weights,
    8 * 32 * 2 = 512 B, in each of 5 steps: 2800 B.  The sums of the gates, 32 * 5 * 2 = 320 B per sample, are read
    beside that: 960 B.  Results per sample: h 8 * 5 * 2 = 80 B, gates 320 B, cells 80 B: 1440 B of 3 samples.
    """
    work = cost(recurrent(), "lstm.forward", 3, LoopOrder.WEIGHTS_STAY)
    assert work.buffer_read_bytes == 2800 + 960 + 720
    assert work.buffer_write_bytes == 1440 + 720
    # the vector unit moves sums, results and the state both ways, in 5 equal parts that each start anew (16 cycles)
    assert work.stage("vector").cycles == 5 * ((960 + 1440 + 2 * 720) // 5 + 16)
    assert work.vector_operations == 3 * 8 * 5 * 12


def test_the_state_of_an_lstm_backward() -> None:
    """The 32 sums' gradients in fp16 and dc of 8 units in fp32 are 32 * 2 + 8 * 4 = 96 B per sample and step.

    State: 96 * 3 * 5 = 1440 B each way.  Fetched: 3 * 32 * 2 + 32 * 8 * 2 = 704 B a step, 3520 B.  Read beside
    that, per sample: the gradient 80 B, gates 320 B, cells 80 B: 1440 B.  Result: 320 B per sample, 960 B.
    """
    work = cost(recurrent(), "lstm.data_gradient", 3, LoopOrder.WEIGHTS_STAY)
    assert work.buffer_read_bytes == 3520 + 1440 + 1440
    assert work.buffer_write_bytes == 960 + 1440
    assert work.stage("vector").cycles == 5 * ((1440 + 960 + 2 * 1440) // 5 + 16)
    assert work.vector_operations == 3 * 8 * 5 * 18


# -- partial sums -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_every_round_adds_its_products_to_the_gradient_on_chip(rounds: int) -> None:
    """The gradient has 4 * 2 sums in fp32, 32 B; each round reads and writes all of them, and adds 8 times.

    Fetched for 2 samples: A is 4 x 128, 1024 B, B is 128 x 2, 512 B.  MACs: 4 * 128 * 2.
    """
    work = cost(pointwise(), "one.weight_gradient", 2, LoopOrder.OUTPUT_STAYS, rounds)
    assert (work.macs, work.vector_operations) == (1024, 8 * rounds)
    assert work.buffer_read_bytes == 1024 + 512 + 32 * rounds
    assert work.buffer_write_bytes == 32 * rounds
    assert work.stage("vector").cycles == 2 * 32 * rounds + 16


@pytest.mark.parametrize("order", [LoopOrder.OPERANDS_STAY, LoopOrder.ROW_BLOCKS, LoopOrder.COLUMN_BLOCKS])
def test_blocks_of_other_orders_finish_each_sum_once(order: LoopOrder) -> None:
    work = cost(pointwise(), "one.weight_gradient", 2, order, 3)
    assert (work.buffer_read_bytes, work.buffer_write_bytes) == (1024 + 512 + 32, 32)
    assert (work.vector_operations, work.stage("vector").cycles) == (8, 2 * 32 + 16)


# -- products and sweeps ------------------------------------------------------------------------------------------


def test_a_product_drains_its_results_only() -> None:
    """One sample forward: 64 x 4 pixels and 4 x 2 weights are fetched, 512 + 16 B; 64 x 2 results are 256 B.

    Issue: 64 rows past 4 rows of weights; both registers are there, so max(64, 4) = 64 cycles.  The port takes 512 B a
    cycle, 2 cycles.  Fill: 4 rows.  Drain: 4 + 2 - 2.
    """
    work = cost(pointwise(), "one.forward", 1, LoopOrder.RIGHT_STAYS)
    assert (work.buffer_read_bytes, work.buffer_write_bytes) == (512 + 16, 256)
    assert (work.vector_operations, work.stage("vector").cycles) == (128, 256 + 16)
    assert (
        work.stage("array").cycles,
        work.stage("array").fill_cycles,
        work.stage("array").drain_cycles,
        work.output_tiles,
    ) == (64, 4, 4, 1)
    assert (work.macs, work.effectual_macs, work.gated_macs, work.skipped_macs) == (512, 512, 0, 0)


def test_a_narrow_port_holds_the_array_up() -> None:
    """528 B through a port of 3 B a cycle take 176 cycles, more than the 64 of the issue."""
    slow = machine("core.array_port=3 B/cycle")
    assert cost(pointwise(), "one.forward", 1, LoopOrder.RIGHT_STAYS, 1, slow).stage("array").cycles == 176


@pytest.mark.parametrize(("lanes", "cycles"), [(256, 3 * 1536 + 16), (1, 3 * 768 + 16)])
def test_a_sweep_is_as_slow_as_its_port_or_its_lanes(lanes: int, cycles: int) -> None:
    """A sum of two tensors of 256 elements, 3 samples: 1536 B of each sample pass the port, one operation each.

    With one lane and a port of 2 B a cycle the port still takes 768 cycles per sample, and the lanes 256.
    """
    net = Network("sum", Shape(4, 8, 8))
    x, y = (net(Conv(4), net.input, name=name) for name in "xy")
    net(Outlet(), net(Add(), x, y, name="sum"), name="out")
    port = 1 if lanes == 256 else 2
    accelerator = machine(f"core.vector_port={port} B/cycle", f"vector.lanes={lanes}")
    work = cost(net.build(), "sum.forward", 3, LoopOrder.SWEEPS, 1, accelerator)
    assert (work.vector_operations, work.stage("vector").cycles) == (3 * 256, cycles)
    assert (work.buffer_read_bytes, work.buffer_write_bytes) == (3 * 1024, 3 * 512)
    wide = machine("core.vector_port=64 KiB/cycle", "vector.lanes=1")
    assert cost(net.build(), "sum.forward", 3, LoopOrder.SWEEPS, 1, wide).stage("vector").cycles == 3 * 256 + 16


def test_what_a_product_moves_in_local_buffers_and_registers() -> None:
    """64 x 4 times 4 x 2, one wave.  Local buffers: A 512 B and B 16 B written and read, C 64 * 2 * 4 B written and
    read.

    Registers: an operand in each of 2 columns, 64 * 4 * 2 * 2 B; weights, per column, 4 + 3 + 2 + 1 shifts and 4
    latched, 2 * 14 * 2 B; sums in each of 4 rows, 64 * 2 * 4 * 4 B.
    """
    work = cost(pointwise(), "one.forward", 1, LoopOrder.RIGHT_STAYS)
    assert work.local_buffer_bytes == 2 * (512 + 16 + 512)
    assert work.register_bytes == 1024 + 56 + 2048


def test_every_group_of_a_convolution_is_a_product_of_its_own() -> None:
    """Two groups of 2 to 1 channels on 64 pixels: each fetches 64 * 2 * 2 + 2 * 2 B and issues 64 cycles."""
    net = Network("grouped", Shape(4, 8, 8))
    net(CrossEntropy(), net(Conv(2, 8), net(Conv(2, groups=2), net.input, name="one"), name="head"), name="loss")
    work = cost(net.build(), "one.forward", 1, LoopOrder.RIGHT_STAYS)
    assert (work.stage("array").cycles, work.output_tiles, work.macs) == (128, 2, 64 * 2 * 2)
    assert work.buffer_read_bytes == 2 * (256 + 4)
    assert work.local_buffer_bytes == 2 * 2 * (256 + 4 + 256)


def test_a_strided_data_gradient_is_a_product_for_each_parity() -> None:
    """3x3, stride 2, padding 1 on 8x8: 16 pixels each with 1, 2, 2 and 4 taps of 2 channels: K = 2, 4, 4, 8; N = 4.

    Each issues max(16, K) = 16 cycles; fetched 16 * 18 * 2 + 18 * 4 * 2 B; MACs 16 * 18 * 4.  With 4 columns the drain
    is the fill and 2.
    """
    net = Network("strided", Shape(3, 8, 8))
    x = net(Conv(2, 3, 2, 1), net(Conv(4), net.input, name="stem"), name="down")
    net(CrossEntropy(), net(Conv(2, 4), x, name="head"), name="loss")
    work = cost(net.build(), "down.data_gradient", 1, LoopOrder.RIGHT_STAYS)
    assert (work.stage("array").cycles, work.output_tiles, work.macs) == (4 * 16, 4, 16 * 18 * 4)
    assert work.buffer_read_bytes == 16 * 18 * 2 + 18 * 4 * 2
    assert work.stage("array").drain_cycles == work.stage("array").fill_cycles + 2


@pytest.mark.parametrize(("gated", "resting"), [(False, 0), (True, 256)])
def test_a_tile_of_zeros_is_left_out_with_all_that_it_costs(gated: bool, resting: int) -> None:
    """8 to 2 channels on 4 rows are two waves of 64 x 4 times 4 x 2; one tile of weights is all zero.

    So what is left is one wave: 64 cycles, 512 + 16 B fetched, 512 of 1024 MACs.  A quarter of all has no zero: 256,
    and the other 256 of the wave may rest.  Local buffers and registers: those of the wave.
    """
    net = Network("pruned", Shape(8, 8, 8))
    net(CrossEntropy(), net(Conv(2, 8), net(Conv(2), net.input, name="one"), name="head"), name="loss")
    placed = streamed(net.build(), "one.forward")
    empty = (EmptyTiles(gemm=0, rows=4, columns=2, count=1),)
    pruned = replace(placed.operation, empty_tiles=empty, effectual_share=0.25, gated=gated)
    accelerator = machine("array.rows=4", "core.vector_port=1 B/cycle")
    work = command_work(replace(placed, operation=pruned), Blocking(LoopOrder.RIGHT_STAYS, 0), 1, accelerator, "")
    assert (work.stage("array").cycles, work.buffer_read_bytes) == (64, 512 + 16)
    assert (work.macs, work.skipped_macs, work.effectual_macs, work.gated_macs) == (1024, 512, 256, resting)
    assert work.local_buffer_bytes == 2 * (512 + 16 + 512)
    assert work.register_bytes == 1024 + 56 + 2048
    assert work.output_tiles == 1


def test_the_recurrent_weights_gradient_is_one_product_over_all_steps() -> None:
    """8 x 15 times 15 x 32 for 3 samples of 5 steps; 256 sums."""
    work = cost(recurrent(), "lstm.weight_gradient", 3, LoopOrder.OPERANDS_STAY)
    assert (work.macs, work.vector_operations) == (8 * 15 * 32, 256)


def test_a_core_updates_its_half_of_a_layer() -> None:
    """108 weights on 2 cores: 54 of each, 4 operations per weight.

    Read: both cores' gradients, 2 * 54 * 4 B, master weights and momentum, 54 * 8 B; written: these and 54 * 2 B.
    The other core's gradients cross the interconnect.  Through a port of 1 KiB a cycle 1404 B take 2 cycles, and 16
    to start.
    """
    training = training_graph(chain())
    plan = SCHEDULES["baseline"].make(training, machine(), 4)
    update = next(each for *_, each in commands(lower(training, plan, machine())) if each.name == "one.update")
    assert (update.work.buffer_read_bytes, update.work.buffer_write_bytes) == (432 + 432, 432 + 108)
    assert update.work.interconnect_bytes == 54 * 4
    assert (update.work.vector_operations, update.work.stage("vector").cycles) == (54 * 4, 2 + 16)
    assert (update.steps, update.sweep_steps, update.blocks) == (8, 0, 1)
