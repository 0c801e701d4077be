"""Values that make no sense are refused by name before anything is computed with them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from builders import machine

import wavecore as wc
from wavecore.errors import GraphError, InputError, NameLookupError
from wavecore.hardware.specs import CORE_UNITS, UnitKind, UnitSpec
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, CrossEntropy, Dropout, Flatten, Linear, ReLU
from wavecore.network.layers.base import LayerKind
from wavecore.network.shapes import Shape
from wavecore.simulation import simulate
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph

LENET = wc.workload("lenet5")
TRAINING = training_graph(LENET)


def after(kind: LayerKind) -> LayerGraph:
    net = Network("n", Shape(3, 8, 8))
    net(CrossEntropy(), net(Flatten(), net(kind, net.input)))
    return net.build()


@pytest.mark.parametrize("ceiling", [math.nan, -1.0, 0.0, math.inf])
def test_ceilings(ceiling: float) -> None:
    with pytest.raises(GraphError, match="is no positive number"):
        after(ReLU(ceiling=ceiling))
    assert after(ReLU(ceiling=6.0))


@pytest.mark.parametrize("rate", [math.nan, -0.1, 1.1])
def test_rates(rate: float) -> None:
    with pytest.raises(GraphError, match="is no share from 0 to 1"):
        after(Dropout(rate))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[2J", "a\u202eb"])
def test_names_that_cannot_be_shown(name: str) -> None:
    layers = (*LENET.layers[:-1], replace(LENET.layers[-1], name=name))
    with pytest.raises(GraphError, match="is no name that can be shown"):
        simulate(replace(LENET, layers=layers), "baseline", engine="analytic")


def test_sequences_that_nothing_could_hold() -> None:
    net = Network("n", Shape(8, 1 << 60, 1))
    net(CrossEntropy(), net(LSTM(4), net(Linear(16), net.input)))
    with pytest.raises(GraphError, match="which no machine could hold"):
        simulate(net.build(), "baseline", engine="analytic")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lookahead": (5, 1)}, "looks ahead 5 of 1 rows"),
        ({"time_steps": 1 << 60}, "has a size that no machine could hold"),
        ({"state_bytes": -1}, "has a size that is zero or negative"),
    ],
)
def test_operations_changed_by_hand(changes: dict[str, Any], said: str) -> None:
    unit = TRAINING.units[1]
    changed = replace(unit, forward=(replace(unit.forward[0], **changes), *unit.forward[1:]))
    units = tuple(changed if each is unit else each for each in TRAINING.units)
    with pytest.raises(GraphError, match=said):
        verify_training(replace(TRAINING, units=units))


def test_a_negative_count_of_parameters() -> None:
    with pytest.raises(GraphError, match="parameter_count: is -1"):
        verify_training(replace(TRAINING, parameter_count=-1))


def test_units_for_layers_that_there_are_not() -> None:
    unit = UnitSpec(name="normalizer", kind=UnitKind.VECTOR, layer_kinds=("norms",))
    with pytest.raises(NameLookupError, match=r"units\[4\].layer_kinds: there is no kind of layer named 'norms'"):
        simulate(LENET, "baseline", replace(machine(), units=(*CORE_UNITS, unit)), engine="analytic")


def test_an_example_without_samples() -> None:
    from torch import nn

    with pytest.raises(InputError, match="is not one or more samples"):
        wc.from_torch(nn.Linear(4, 2), (0, 4))
