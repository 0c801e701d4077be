"""How a layer that multiplies two activations is unrolled: every sample has products of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from builders import ORDER, machine

from wavecore.errors import GraphError
from wavecore.network.compute import BatchedDimension, Gemm, VectorPass
from wavecore.network.graph import Network
from wavecore.network.layers import KINDS, Conv, CrossEntropy, Flatten, GlobalAvgPool, Linear, ReLU
from wavecore.network.layers.base import GRADIENT, Expansion, LayerKind, LayerRole, LayerRules, PhaseSpec
from wavecore.network.shapes import Shape
from wavecore.simulation import simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import OperandRole, Phase, Use
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph


@dataclass(frozen=True, slots=True)
class Product(LayerKind):
    """Of two sequences, each step of the first with each of the second: the scores of an attention."""

    kind: ClassVar[str] = "product"


def infer(kind: Product, inputs: tuple[Shape, ...]) -> Shape:
    first, second = inputs
    if first.channels != second.channels:
        raise ValueError(f"multiplies {first.channels} with {second.channels} channels")
    return Shape(second.pixels, first.height, first.width)


def expand(kind: Product, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    rows, columns, depth = inputs[0].pixels, inputs[1].pixels, inputs[0].channels

    def phase(m: int, k: int, n: int, operands: tuple[int, int]) -> PhaseSpec:
        return PhaseSpec(
            gemms=(Gemm(m, k, n, BatchedDimension.COUNT),), passes=(VectorPass(m * n, 1),), operands=operands
        )

    return Expansion(
        forward=phase(rows, depth, columns, (0, 1)),
        input_gradients=(phase(rows, columns, depth, (GRADIENT, 1)), phase(depth, rows, columns, (0, GRADIENT))),
    )


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(KINDS, Product, LayerRules(LayerRole.UNIT, infer, expand=expand))
    yield


def attention(*, alike: bool = False, masked: bool = False) -> TrainingGraph:
    net = Network("attention", Shape(3, 4, 4))
    x = net(Conv(8), net.input, name="x")
    q = net(Conv(8), x, name="q")
    q = net(ReLU(), q) if masked else q
    k = q if alike else net(Conv(8), x, name="k")
    y = net(Product(), q, k, name="scores")
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), y))))
    return training_graph(net.build())


def scores(training: TrainingGraph) -> dict[str, tuple[tuple[Use, ...], tuple[str, ...], tuple[Gemm, ...]]]:
    unit = training.units[training.unit_index["scores"]]
    return {op.name: (op.reads, op.writes, op.gemms) for op in (*unit.forward, *unit.backward)}


def test_forward_and_both_gradients() -> None:
    training = attention()
    left, right, count = OperandRole.LEFT, OperandRole.RIGHT, BatchedDimension.COUNT
    assert scores(training) == {
        "scores.forward": ((Use("q", left), Use("k", right)), ("scores",), (Gemm(16, 8, 16, count),)),
        "scores.data_gradient.0": (
            (Use("scores.gradient", left), Use("k", right)),
            ("q.gradient",),
            (Gemm(16, 16, 8, count),),
        ),
        "scores.data_gradient.1": (
            (Use("q", left), Use("scores.gradient", right)),
            ("k.gradient",),
            (Gemm(8, 16, 16, count),),
        ),
    }
    assert {"q", "k"} <= training.saved
    assert training.macs == sum(op.macs for unit in training.units for op in (*unit.forward, *unit.backward))


def test_a_product_with_itself_adds_two_gradients() -> None:
    training = attention(alike=True)
    unit = training.units[training.unit_index["scores"]]
    assert [(op.name, op.writes) for op in unit.backward] == [
        ("scores.data_gradient.0", ("q.gradient@scores.0",)),
        ("scores.data_gradient.1", ("q.gradient",)),
    ]
    assert unit.backward[1].reads[-1].added_to == "q.gradient"


def test_masks_are_applied_where_the_gradient_is_made() -> None:
    assert scores(attention(masked=True))["scores.data_gradient.0"][0][-1] == Use("q.mask", OperandRole.DRAIN)


def test_the_count_grows_with_the_samples() -> None:
    gemm = Gemm(16, 8, 16, BatchedDimension.COUNT, count=3)
    assert (gemm.at(5), gemm.count_at(5), gemm.macs) == ((16, 8, 16), 15, 3 * 16 * 8 * 16)


def test_a_product_that_is_not_of_its_network() -> None:
    training = attention()
    unit = training.units[training.unit_index["scores"]]
    (op,) = unit.forward
    twice = replace(unit, forward=(replace(op, gemms=op.gemms * 2),))
    units = tuple(twice if each is unit else each for each in training.units)
    with pytest.raises(GraphError, match="its operations take"):
        verify_training(replace(training, units=units))


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("schedule", ORDER)
@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_it_trains_under_every_schedule(alike: bool, schedule: str, engine: str) -> None:
    """In 3 KiB sub-batches of a few samples pass; `simulate` holds the bytes of the run to those of the plan."""
    training, accelerator = attention(alike=alike), machine("core.global_buffer=3 KiB", "chip.cores=1")
    run = simulate(training, schedule, accelerator, batch=8, engine=engine)
    assert run.macs == 8 * training.macs
    rows = {row.phase: row.macs for row in run.rows if row.name == "scores"}
    assert rows == {Phase.FORWARD: 8 * 16 * 8 * 16, Phase.DATA_GRADIENT: 2 * 8 * 16 * 8 * 16}
