"""Are a group's footprint, its largest sub-batch and its bytes what a hand count says?

The chain, per sample (fp16): input 384 B, one 512, its mask 32, two 4, the loss's probabilities 4; gradients are as
large as their tensors.  Weights: one 216 B, two 1024; weight gradients (fp32): 432 and 2048.  A stream keeps two
pieces of at most 16 KiB free, which is all of each tensor here.
"""

from __future__ import annotations

import numpy as np
import pytest
from builders import chain, machine

from wavecore.network.graph import Network
from wavecore.network.layers import LSTM, Outlet
from wavecore.network.shapes import Shape
from wavecore.plan.group_costs import INFEASIBLE_BYTES, Candidate, GroupCostModel, linear_bytes
from wavecore.plan.grouping import bytes_saved_by_holding, spill_until_fits, write_group
from wavecore.plan.model import Choices, Residency
from wavecore.plan.residency import Rule
from wavecore.training.unroll import training_graph


def costs(buffer_bytes: int = 10 << 20, batch: int = 10, **choices: object) -> GroupCostModel:
    accelerator = machine(f"core.global_buffer={buffer_bytes} B")
    return GroupCostModel(training_graph(chain()), accelerator, batch, Choices(**choices))  # type: ignore[arg-type]


# (bytes per sample, fixed bytes) of both ways to run each operation of the chain as one group under the rule `next`
FOOTPRINT = {
    # live: one 512.  B stays: 216, a window of 2 of 8 rows 96 and two pieces 384 of the input, two of the mask 32.
    # A stays: the input 384, all of B as one panel, the mask
    "one.forward": ((512, 216 + 96 + 384 + 32), (512 + 384, 216 + 32)),
    # live: one and two; the weights are one panel
    "two.forward": ((512 + 4, 1024), (512 + 4, 1024)),
    # live: two; the probabilities leave
    "loss.forward": ((4, 4), (0, INFEASIBLE_BYTES)),
    # live: two's gradient; the probabilities come: a whole sample ahead, and two pieces
    "loss.data_gradient": ((4, 4 + 4), (0, INFEASIBLE_BYTES)),
    # live: two's gradient.  Operands stay: one, and twice the gradient and its sums.  The gradient stays: half of
    # one at a time, and two windows of all rows with two pieces each
    "two.weight_gradient": ((4 + 512, 2 * 2048), (4 + 256, 2048 + 2 * (512 + 512))),
    # live: two's and one's gradients; the mask comes in two pieces, as the results leave.  The weights are 2 x 256:
    # whole, or one of two panels
    "two.data_gradient": ((4 + 512, 1024 + 32), (4 + 512, 512 + 32)),
    # live: one's gradient; the input as forward
    "one.weight_gradient": ((512 + 384, 2 * 432), (512 + 192, 432 + 2 * (96 + 384))),
}
# DRAM bytes per sample, per iteration, and per iteration after the first
TRAFFIC = {
    "one.forward": (384 + 512 + 32, 216, 0),
    "two.forward": (0, 1024, 0),
    "loss.forward": (4, 0, 0),
    "loss.data_gradient": (4, 0, 0),
    "two.weight_gradient": (512, 2048, 2048),
    "two.data_gradient": (32, 1024, 0),
    "one.weight_gradient": (384, 432, 432),
}
SAMPLE, ITERATION, LATER = (sum(each[index] for each in TRAFFIC.values()) for index in range(3))


def test_what_each_operation_of_the_chain_needs_and_moves() -> None:
    found = costs().footprint(0, 2, Rule.NEXT)
    ways = [tuple(zip(*each, strict=True)) for each in zip(found.per_sample_bytes, found.fixed_bytes, strict=True)]
    assert ways == list(FOOTPRINT.values())
    assert [tuple(each) for each in found.traffic] == list(TRAFFIC.values())
    assert (list(found.units), found.forward_operations) == ([0, 1, 2, 2, 1, 1, 0], 3)
    assert tuple(found.total_traffic) == (SAMPLE, ITERATION, LATER) == (1864, 4744, 2480)


def test_the_largest_sub_batch_is_that_of_the_tightest_operation() -> None:
    """A buffer of 5 KiB: two.weight_gradient has 1024 B beside its fixed 4096; 260 per sample are 3 samples.

    one.forward: (5120 - 728) / 512 = 8; one.weight_gradient: (5120 - 1392) / 704 = 5; two.forward: 4096 / 516 = 7;
    two.data_gradient: (5120 - 544) / 516 = 8.
    """
    small = costs(5120)
    assert small.largest_sub_batches(Rule.NEXT) == [5, 3, 10]
    assert list(small.footprint(0, 2, Rule.NEXT).largest_sub_batches(5120, 10)) == [8, 7, 10, 10, 3, 8, 5]


@pytest.mark.parametrize(("batch", "sub_batch", "iterations"), [(3, 3, 1), (4, 2, 2), (6, 3, 2), (7, 3, 3), (10, 3, 4)])
def test_a_group_is_costed_at_its_balanced_largest_sub_batch(batch: int, sub_batch: int, iterations: int) -> None:
    """4 samples run twice as 2, not as 3 and 1."""
    moved = SAMPLE * batch + ITERATION * iterations + LATER * (iterations - 1)
    assert costs(5120, batch).cost(0, 2, Rule.NEXT) == Candidate(0, 2, Rule.NEXT, sub_batch, moved)


def test_a_group_that_not_one_sample_fits_has_no_cost() -> None:
    """two.weight_gradient needs 4096 + 260 B."""
    assert costs(4096 + 260).cost(0, 2, Rule.NEXT) is not None
    assert costs(4096 + 259).cost(0, 2, Rule.NEXT) is None
    assert costs(4096 + 259).largest_sub_batches(Rule.NEXT)[1] == 0


def test_backward_takes_what_its_fullest_operation_takes() -> None:
    """two.weight_gradient at 3 samples: 4096 + 3 * 260, less than 4096 + 3 * 516."""
    footprint = costs().footprint(0, 2, Rule.NEXT)
    assert footprint.backward_bytes(3) == 4096 + 780
    assert footprint.backward_bytes(0) == 4096
    assert costs().footprint(0, 0, Rule.NONE).backward_bytes(1) == 864 + 384 + 512  # both operands, nothing live


@pytest.mark.parametrize(("buffer_bytes", "held"), [(4876 + 431, []), (4876 + 432, ["one"]), (4876 + 433, ["one"])])
def test_a_gradient_is_held_where_it_just_fits(buffer_bytes: int, held: list[str]) -> None:
    """6 samples in 2 iterations of 3 take 4876 B backward; one's gradient takes 432, two's 2048."""
    small = costs(buffer_bytes, 6)
    candidate = Candidate(0, 2, Rule.NEXT, 3, 0)
    group = write_group(small, candidate, hold=True)
    assert sorted(group.held) == [f"{name}.weight_gradient" for name in held]
    assert bytes_saved_by_holding(small, group) == 2 * 432 * len(held)  # written and read once less
    assert not write_group(small, candidate).held
    assert not write_group(costs(buffer_bytes, 6, hold_weight_gradients=False), candidate, hold=True).held
    assert not write_group(costs(buffer_bytes, 3), candidate, hold=True).held  # one iteration


def test_the_largest_gradient_is_held_first() -> None:
    """4876 B and 2048 for two's gradient leave 431: too few for one's 432."""
    group = write_group(costs(4876 + 2048 + 431, 6), Candidate(0, 2, Rule.NEXT, 3, 0), hold=True)
    assert group.held == {"two.weight_gradient"}


def test_a_group_names_only_what_stays() -> None:
    group = write_group(costs(), Candidate(0, 2, Rule.NEXT, 5, 0))
    assert (group.units, group.sub_batch) == (("one", "two", "loss"), 5)
    assert group.forward == {"one": Residency.NEXT, "two": Residency.NEXT}
    assert group.backward == {"one.gradient": Residency.NEXT, "two.gradient": Residency.NEXT}


def test_tensors_spill_until_every_operation_fits() -> None:
    """10 samples of ``one``, and of its gradient, are 5120 B: in 5000 both go through DRAM; ``two`` (40 B) stays."""
    small = costs(5000)
    group = spill_until_fits(small, write_group(small, Candidate(0, 2, Rule.NEXT, 10, 0)))
    assert (group.forward, group.backward) == ({"two": Residency.NEXT}, {"two.gradient": Residency.NEXT})


def test_a_unit_alone_streams_the_whole_mini_batch() -> None:
    """one: reads 384, writes 512 and a mask; backward reads the gradient 512 and the input 384, writes 432."""
    first, second, third = costs().streamed_costs()
    assert first == Candidate(0, 0, Rule.NONE, 10, 10 * (384 + 512 + 32 + 512 + 384) + 216 + 432)
    # two: one and its result forward; backward its gradient for both products, one, the mask, and one's gradient
    assert second == Candidate(1, 1, Rule.NONE, 10, 10 * (512 + 4 + 4 + 4 + 512 + 32 + 512) + 1024 + 1024 + 2048)
    assert third == Candidate(2, 2, Rule.NONE, 10, 10 * (4 + 4 + 4 + 4))


@pytest.mark.parametrize(("iterations", "moved"), [(0, 70), (1, 75), (3, 89)])
def test_bytes_are_linear_in_samples_and_iterations(iterations: int, moved: int) -> None:
    """10 B per sample, 5 per iteration, 2 per iteration after the first, 7 samples."""
    assert linear_bytes(np.array([10, 5, 2]), 7, np.array(iterations)) == moved


@pytest.mark.parametrize("split", [True, False])
def test_time_steps_run_in_sub_batches_only_if_the_choice_lets_them(split: bool) -> None:
    """An LSTM of 8 units: the state of a sample backward is 96 B, so 100 samples do not fit 8 KiB, and one does."""
    net = Network("lstm", Shape(32, 5))
    net(Outlet(), net(LSTM(8), net.input, name="lstm"), name="out")
    accelerator = machine("core.global_buffer=8 KiB", "array.rows=4", "array.columns=4", "array.tile_rows=4")
    made = GroupCostModel(training_graph(net.build()), accelerator, 100, Choices(serialize_recurrent=split))
    found = made.cost(0, 0, Rule.NEXT)
    assert (found is None) is not split
    whole = GroupCostModel(made.training, accelerator, 1, Choices(serialize_recurrent=split)).cost(0, 0, Rule.NEXT)
    assert whole is not None and whole.sub_batch == 1
