"""Are DRAM bytes what a hand count says, under every schedule?

Bytes of the chain, per sample (fp16): input 3*8*8*2 = 384, one 4*8*8*2 = 512, its mask 4*8*8/8 = 32, two 2*2 = 4,
the loss's probabilities 4; gradients like their tensors.  Parameters: one 3*3*3*4 = 108, two 4*8*8*2 = 512:
weights of 2 bytes, gradients of 4, master weights and momentum of 8.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import ORDER, SCHEDULES, chain, machine, residual

from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Concat, Conv, CrossEntropy, Flatten, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.model import Plan
from wavecore.plan.traffic import Transfer, When, plan_traffic, share, sub_batches
from wavecore.program.counts import count, count_totals
from wavecore.program.lower import lower
from wavecore.training.operations import Phase, Tensor, TensorClass
from wavecore.training.unroll import training_graph

SAMPLES, CORES = 4, 2
WEIGHTS = {"chain": 620, "residual": 108 + 144 + 144 + 512}


def make(network: LayerGraph, schedule: str) -> Plan:
    return SCHEDULES[schedule].make(training_graph(network), machine(), SAMPLES)


def moved(network: LayerGraph, plan: Plan) -> dict[str, tuple[int, int]]:
    """(bytes read, bytes written) of one core by class; the optimizer's of both cores together."""
    traffic = plan_traffic(training_graph(network), plan, machine())
    result = {}
    for kind in TensorClass:
        cores = 1 if kind is TensorClass.OPTIMIZER else CORES
        result[kind.value] = (traffic[kind, False] // cores, traffic[kind, True] // cores)
    return result


def expected(network: str, activation: tuple[int, int], gradient: tuple[int, int], mask: int, weights: int) -> object:
    parameters = WEIGHTS[network]
    return {
        "activation": tuple(SAMPLES * nbytes for nbytes in activation),
        "gradient": tuple(SAMPLES * nbytes for nbytes in gradient),
        "mask": (SAMPLES * mask, SAMPLES * mask),
        "weight": (weights * 2, 0),
        "weight_gradient": (0, parameters * 4),  # one iteration: written once, no partial sums to read
        # the update reads both cores' gradients (4) and the state (8); it writes state (8) and new weights (2)
        "optimizer": (parameters * (CORES * 4 + 8), parameters * (8 + 2)),
    }


@pytest.mark.parametrize("schedule", ["baseline", "archopt"])
def test_the_chain_through_dram(schedule: str) -> None:
    """Reads: input, one and two forward; probabilities, one and the input backward; gradient of two for both
    GEMMs, of one for the weights.  Writes: one, two, probabilities; both gradients.  Forward reads all weights,
    backward those of two: the first layer has no data gradient.
    """
    reads, writes = 384 + 512 + 4 + 4 + 512 + 384, 512 + 4 + 4
    count = expected("chain", (reads, writes), (4 + 4 + 512, 4 + 512), 32, 620 + 512)
    assert moved(chain(), make(chain(), schedule)) == count


@pytest.mark.parametrize("schedule", ["il", "mbs-fs", "mbs1", "mbs2"])
def test_the_chain_on_chip(schedule: str) -> None:
    """Forward reads the input only and writes what is saved (one, probabilities); gradients never leave."""
    count = expected("chain", (384 + 4 + 512 + 384, 512 + 4), (0, 0), 32, 620 + 512)
    assert moved(chain(), make(chain(), schedule)) == count


# every image between the residual network's layers has 4*8*8*2 = 512 bytes
RESIDUAL = {
    # reads forward: input, stem (a), a, b, stem (sum), sum, head; backward: probabilities, sum, a, stem, input
    # writes: stem, a, b, sum, head, probabilities
    # gradients written: head, sum, a, stem; read: head twice, sum (b twice, added to that of stem by a), a twice, stem
    "baseline": ((384 + 5 * 512 + 4 + 4 + 3 * 512 + 384, 4 * 512 + 8), (8 + 6 * 512, 4 + 3 * 512)),
    # stem lasts until a is done and is read again for the sum; the sum's gradient is used by head, b and a, one unit
    # after the other, and is written for the use beyond the next unit's
    "il": ((384 + 512 + 4 + 3 * 512 + 384, 3 * 512 + 4), (0, 512)),
    # both stay until their last branch has read them
    "mbs2": ((384 + 4 + 3 * 512 + 384, 3 * 512 + 4), (0, 0)),
}
SAME = {"archopt": "baseline", "mbs-fs": "il", "mbs1": "il"}


@pytest.mark.parametrize("schedule", ORDER)
def test_a_residual_block(schedule: str) -> None:
    activation, gradient = RESIDUAL[SAME.get(schedule, schedule)]
    count = expected("residual", activation, gradient, 0, WEIGHTS["residual"] + 144 + 144 + 512)
    assert moved(residual(), make(residual(), schedule)) == count


def serialized(network: LayerGraph, sub_batch: int, held: frozenset[str] = frozenset()) -> Plan:
    plan = make(network, "mbs2")
    (group,) = plan.groups
    return replace(plan, groups=(replace(group, sub_batch=sub_batch, held=held),))


@pytest.mark.parametrize(("sub_batch", "iterations"), [(4, 1), (3, 2), (2, 2), (1, 4)])
def test_iterations_repeat_weights_and_partial_sums_and_nothing_else(sub_batch: int, iterations: int) -> None:
    whole, parts = (moved(chain(), serialized(chain(), size)) for size in (SAMPLES, sub_batch))
    for kind in ("activation", "gradient", "mask", "optimizer"):
        assert parts[kind] == whole[kind]
    assert parts["weight"] == (whole["weight"][0] * iterations, 0)
    assert parts["weight_gradient"] == (620 * 4 * (iterations - 1), 620 * 4 * iterations)


def test_held_gradients_are_written_once_and_held_weights_read_once_a_direction() -> None:
    gradients = frozenset({"one.weight_gradient", "two.weight_gradient"})
    assert moved(chain(), serialized(chain(), 1, gradients))["weight_gradient"] == (0, 620 * 4)
    held = moved(chain(), serialized(chain(), 1, frozenset({"two.weight"})))
    # one's 108 in each of four iterations, two's 512 once forward and once backward
    assert held["weight"] == (2 * (108 * 4 + 512 * 2), 0)


def test_normalization_reads_once_or_once_a_sweep() -> None:
    network = workload("resnet18", image=32, width=0.25)
    norms = [layer for layer in network if layer.kind.kind == "norm"]
    image = sum(layer.shape.elements * 2 for layer in norms)
    plan = make(network, "baseline")
    twice, once = (moved(network, replace(plan, normalization_passes=passes)) for passes in (2, 1))
    # forward reads the input once less; backward the input and the gradient
    assert twice["activation"][0] - once["activation"][0] == 2 * image * SAMPLES
    assert twice["gradient"][0] - once["gradient"][0] == image * SAMPLES
    assert all(twice[kind][1] == once[kind][1] for kind in twice)


# -- the pieces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sub_batch", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (9, [9, 1])])
def test_sub_batches(sub_batch: int, sizes: list[int]) -> None:
    group = replace(make(chain(), "mbs2").groups[0], sub_batch=sub_batch)
    assert sub_batches(group, 10) == sizes
    assert group.iterations(10) == len(sizes)


def test_shares_add_up() -> None:
    for total in range(20):
        for parts in range(1, 7):
            shares = [share(total, part, parts) for part in range(parts)]
            assert sum(shares) == total
            assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("when", "happens"),
    [(When.ALWAYS, [1, 1, 1]), (When.FIRST, [1, 0, 0]), (When.AFTER_FIRST, [0, 1, 1]), (When.LAST, [0, 0, 1])],
)
def test_when_a_transfer_happens(when: When, happens: list[int]) -> None:
    move = Transfer(Tensor("w", TensorClass.WEIGHT, 1), 1, False, when=when)
    assert [move.happens(iteration, 3) for iteration in range(3)] == happens


def test_what_an_update_moves_is_the_optimizers() -> None:
    tensor = Tensor("w", TensorClass.WEIGHT, 8)
    assert Transfer(tensor, 8, True).traffic_class is TensorClass.WEIGHT
    assert Transfer(tensor, 8, True, update=True).traffic_class is TensorClass.OPTIMIZER


def test_a_branch_reads_its_part_of_the_gradient_of_a_concatenation() -> None:
    """4 and 12 channels of 64 pixels join before a ReLU, of whose gradient each reads its own through DRAM."""
    net = Network("joined", Shape(3, 8, 8))
    branches = [net(Conv(channels), net.input, name=name) for name, channels in (("a", 4), ("b", 12))]
    net(CrossEntropy(), net(Conv(2, 8), net(ReLU(), net(Concat(), *branches), name="relu"), name="head"), name="loss")
    training, accelerator = training_graph(net.build()), machine()
    plan = SCHEDULES["baseline"].make(training, accelerator, 5)
    moved = plan_traffic(training, plan, accelerator)
    relu, scores = 16 * 64 * 2, 2 * 2
    assert moved[TensorClass.GRADIENT, True] == accelerator.chip.cores * 5 * (relu + scores)
    assert moved[TensorClass.GRADIENT, False] == accelerator.chip.cores * 5 * (relu + 2 * scores)


def test_rounds_that_blocking_does_not_choose_are_not_counted() -> None:
    """A gradient of 5x5x8x64 fp32 = 51,200 bytes is large against its operands, 16 and 128 bytes per sample.

    At 65,920 bytes there is room for rounds, which read both operands once, but each would add to all of it.  So
    blocking holds columns of it instead and reads the left operand, 8 channels of fp16, twice for each of 3 samples.
    """
    net = Network("rounds", Shape(3, 1, 1))
    x = net(Conv(64, 5, padding=2), net(Conv(8, 1), net.input, name="first"), name="wide")
    net(CrossEntropy(), net(Linear(2), net(Flatten(), x)))
    training = training_graph(net.build())
    small = machine("array.rows=16", "array.columns=16", "core.global_buffer=65920 B", "chip.cores=1")
    plan = SCHEDULES["archopt"].make(training, small, 3)
    moved = count(lower(training, plan, small))["wide", Phase.WEIGHT_GRADIENT].dram_bytes
    assert moved[TensorClass.ACTIVATION, False] == 2 * 3 * 16
    assert count_totals(lower(training, plan, small)).dram_bytes == plan_traffic(training, plan, small)
