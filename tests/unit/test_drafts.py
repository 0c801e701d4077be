"""Do the bytes of a command flow as its loop order says: with which steps they come, go, and are complete?

The dense layer is a 1x1 convolution of 1024 to 512 channels on 16 x 16 pixels: 512 KiB of input and 256 KiB of output
per sample, 1 MiB of weights, 2 MiB of weight gradient.  Its image is 256 rows, one row tile, per sample.
"""

from __future__ import annotations

import pytest
from builders import SCHEDULES, machine

from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear, Outlet
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.plan.placement import Direction, place
from wavecore.program.commands import After, Command, commands
from wavecore.program.flows import step_profiles
from wavecore.program.lower import lower
from wavecore.training.unroll import training_graph

KIB = 1024


def dense(side: int = 16, channels: int = 512) -> LayerGraph:
    net = Network("dense", Shape(1024, side, side))
    net(CrossEntropy(), net(Conv(2, side), net(Conv(channels), net.input, name="dense"), name="head"), name="loss")
    return net.build()


def normalized() -> LayerGraph:
    """32 x 32 pixels of 32 channels: 64 KiB per sample."""
    net = Network("norm", Shape(32, 32, 32))
    x = net(GroupNorm(4), net(Conv(32), net.input, name="conv"), name="norm")
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), x)), name="head"), name="loss")
    return net.build()


def recurrent() -> LayerGraph:
    """64 units over 9 time steps: 32 KiB of recurrent weights."""
    net = Network("lstm", Shape(4 * 64, 9))
    net(Outlet(), net(LSTM(64), net.input, name="lstm"), name="out")
    return net.build()


def lowered(graph: LayerGraph, name: str, samples: int, kib: float, schedule: str = "baseline") -> Command:
    accelerator = machine(f"core.global_buffer={int(kib * KIB)} B")
    training = training_graph(graph)
    plan = SCHEDULES[schedule].make(training, accelerator, samples)
    return next(each for *_, each in commands(lower(training, plan, accelerator)) if each.name == name)


def loads(made: Command) -> dict[str, str]:
    """Of each tensor: the profile at which it comes, and at which it goes (None: with the command)."""
    return {each.transfer.tensor.name: f"{each.flow.profile}, {each.freed}" for each in made.loads}


def stores(made: Command) -> dict[str, str]:
    """Of each tensor: the profile at which it leaves and at which it is complete, and whether it took room to leave."""
    return {
        each.transfer.tensor.name: f"{each.flow.profile}, {each.visible}" + ", staged" * each.staged
        for each in made.stores
    }


@pytest.mark.parametrize(("samples", "weights"), [(17, "at_once, at_end"), (16, "first_block, at_end")])
def test_weights_that_stay_come_with_the_first_row_tile(samples: int, weights: str) -> None:
    """Up to 16 row tiles are told apart; rows of the input pass, a row ahead of what is computed."""
    made = lowered(dense(), "dense.forward", samples, 1152)
    assert (made.order, made.blocks, made.stage_bytes) == ("right_stays", 1 if samples == 17 else 16, 0)
    assert loads(made) == {"input": "even, even", "dense.weight": weights}
    assert stores(made) == {"dense": "even, even, staged"}
    assert made.loads[0].flow.lookahead == 32 * KIB


def test_samples_that_stay_come_with_the_first_panel_and_are_complete_with_the_last() -> None:
    made = lowered(dense(), "dense.forward", 1, 800)
    assert (made.order, made.blocks, made.stage_bytes) == ("left_stays", 4, 0)
    assert loads(made) == {"input": "first_block, at_end", "dense.weight": "even, even"}
    assert stores(made) == {"dense": "even, last_block, staged"}


@pytest.mark.parametrize(
    ("channels", "samples", "kib", "order", "complete"),
    [(512, 32, 700, "column_blocks", "last_block"), (4096, 14, 1200, "row_blocks", "even")],
)
def test_blocks_that_are_read_again_stay_with_the_command(
    channels: int, samples: int, kib: int, order: str, complete: str
) -> None:
    made = lowered(dense(8, channels), "dense.forward", samples, kib)
    assert (made.order, made.stage_bytes) == (order, (kib - 32) * KIB)  # but for two pieces of the result
    assert loads(made) == {"input": "even, None", "dense.weight": "even, None"}
    assert stores(made) == {"dense": f"even, {complete}, staged"}


def test_rounds_over_a_gradient_that_stays() -> None:
    """24 MiB of operands in 8 rounds; the gradient is complete, and partial sums are added, at the end."""
    made = lowered(dense(), "dense.weight_gradient", 32, 10240)
    assert (made.order, made.blocks, made.stage_bytes) == ("output_stays", 8, 2048 * KIB)
    assert loads(made) == {
        "input": "round_start, round_end",
        "dense.gradient": "round_start, round_end",
        "dense.weight_gradient": "at_end, None",
    }
    assert stores(made) == {"dense.weight_gradient": "at_end, at_end"}


def test_operands_that_stay_while_tiles_of_the_gradient_leave() -> None:
    """4 x 4 tiles of 256 x 128 sums."""
    made = lowered(dense(), "dense.weight_gradient", 1, 1280)
    assert (made.order, made.blocks, made.stage_bytes) == ("operands_stay", 16, 0)
    assert loads(made) == {
        "input": "first_block, at_end",
        "dense.gradient": "first_block, at_end",
        "dense.weight_gradient": "even, even",
    }
    assert stores(made) == {"dense.weight_gradient": "even, even, staged"}


def test_blocks_of_a_gradient_stay_with_the_command() -> None:
    made = lowered(dense(), "dense.weight_gradient", 8, 1600)
    assert (made.order, made.stage_bytes) == ("row_blocks", 1600 * KIB)
    assert set(loads(made).values()) == {"even, None"}
    assert stores(made) == {"dense.weight_gradient": "even, even"}


def test_what_is_resident_is_awaited_and_posted_as_it_is_used_and_made() -> None:
    """4 samples on chip: head reads what dense makes, and its gradient's reader waits for all of it at once."""
    made = lowered(dense(), "dense.forward", 4, 10240, "mbs2")
    assert [(each.tensor, each.flow.total, each.flow.profile) for each in made.posts] == [("dense", 1024 * KIB, "even")]
    assert made.reserves == (("dense", 1024 * KIB),)
    user = lowered(dense(), "head.forward", 4, 10240, "mbs2")
    assert [(each.tensor, each.flow.profile, each.flow.sample_bytes) for each in user.waits] == [
        ("dense", "even", 256 * KIB)
    ]
    assert user.releases == (("dense", 1024 * KIB),)


def test_the_two_sweeps_of_a_normalization() -> None:
    """Read twice from DRAM; scale and shift serve every sample; results come with the second sweep over each."""
    made = lowered(normalized(), "norm.forward", 4, 10240)
    assert loads(made) == {"conv": "even, even", "norm.weight": "at_once, at_end"}
    made_late = "second_sweep, second_sweep, staged"
    assert stores(made) == {"norm": made_late, "norm.statistics": made_late}
    assert made.loads[0].flow.total == 2 * 4 * 64 * KIB
    assert (made.loads[0].flow.lookahead, made.loads[0].after) == (0, After.OWN)
    assert made.steps == 2 * 4 * made.sweep_steps


def test_a_normalization_whose_input_is_on_chip() -> None:
    made = lowered(normalized(), "norm.forward", 4, 10240, "mbs2")
    assert [(each.tensor, each.flow.profile) for each in made.waits] == [("conv", "first_sweep")]
    assert [(each.tensor, each.flow.profile) for each in made.posts] == [("norm", "second_sweep")]


@pytest.mark.parametrize(
    ("kib", "order", "weights", "times"),
    [(1024, "weights_stay", "first_block, at_end", 1), (40, "weights_reread", "even, even", 9)],
)
def test_time_steps_over_recurrent_weights(kib: int, order: str, weights: str, times: int) -> None:
    """Every sample is complete with the last time step; the state, 64 * 6 B per sample, is there for all of it."""
    accelerator = ("array.columns=16", "array.rows=16", "array.tile_rows=16", f"core.global_buffer={kib} KiB")
    training = training_graph(recurrent())
    plan = SCHEDULES["baseline"].make(training, machine(*accelerator), 4)
    found = lower(training, plan, machine(*accelerator))
    made = next(each for *_, each in commands(found) if each.name == "lstm.forward")
    assert (made.order, made.stage_bytes, made.time_steps) == (order, 4 * 64 * 6, 9)
    assert loads(made) == {"input": "even, even", "lstm.weight": weights}
    assert {each.transfer.tensor.name: each.flow.total for each in made.loads}["lstm.weight"] == times * 32 * KIB
    assert made.loads[0].flow.lookahead == 0
    assert set(stores(made).values()) == {"even, at_end, staged"}
    assert made.steps % 9 == 0


@pytest.mark.parametrize(
    ("name", "order", "blocks", "resident", "results"),
    [
        ("dense.forward", LoopOrder.RIGHT_STAYS, 1, "even", "even"),  # samples in their order
        ("dense.forward", LoopOrder.LEFT_STAYS, 4, "first_block", "last_block"),  # all samples for every panel
        ("dense.forward", LoopOrder.ROW_BLOCKS, 4, "even", "even"),
        ("dense.forward", LoopOrder.COLUMN_BLOCKS, 4, "first_block", "last_block"),
        ("dense.weight_gradient", LoopOrder.OUTPUT_STAYS, 4, "round_start", "even"),  # a share of the samples per round
        ("dense.weight_gradient", LoopOrder.OPERANDS_STAY, 1, "at_once", "even"),  # all samples for every tile
        ("dense.weight_gradient", LoopOrder.OPERANDS_STAY, 4, "first_block", "even"),
        ("dense.weight_gradient", LoopOrder.ROW_BLOCKS, 4, "first_block", "even"),  # all samples for every block
        ("dense.weight_gradient", LoopOrder.COLUMN_BLOCKS, 4, "first_block", "even"),
    ],
)
def test_when_resident_operands_are_awaited_and_results_complete(
    name: str, order: LoopOrder, blocks: int, resident: str, results: str
) -> None:
    training = training_graph(dense())
    way = Direction.FORWARD if name.endswith("forward") else Direction.BACKWARD
    placed = place(training, 0, len(training.units) - 1, way, {})
    operation = next(each for each in placed if each.operation.name == name)
    found = step_profiles(operation, Blocking(order, 0, blocks=blocks), blocks)
    assert (found.resident, found.results) == (resident, results)
