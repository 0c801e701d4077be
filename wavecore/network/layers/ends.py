"""The input and the loss of a network, and the reshaping before its classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import Expansion, LayerKind, LayerRole, LayerRules, PhaseSpec, Saved, only
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class Input(LayerKind):
    """The network's input, in DRAM when the step begins."""

    kind: ClassVar[str] = "input"
    shape: Shape


@dataclass(frozen=True, slots=True)
class Flatten(LayerKind):
    """A feature map seen as a vector."""

    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True, slots=True)
class CrossEntropy(LayerKind):
    """Softmax and its cross-entropy with integer labels, of a vector or of every step of a sequence.

    Four lane operations per class forward (maximum, exponential, sum, scale), one backward (p - onehot).
    """

    kind: ClassVar[str] = "cross_entropy"


def _infer_input(layer: Input, inputs: tuple[Shape, ...]) -> Shape:
    if inputs:
        raise ValueError("is the network's input and reads nothing")
    if min(layer.shape.channels, layer.shape.height, layer.shape.width) < 1:
        raise ValueError(f"has an empty shape {layer.shape}")
    return layer.shape


def _infer_flatten(layer: Flatten, inputs: tuple[Shape, ...]) -> Shape:
    return Shape(only(inputs).elements)


def _infer_loss(loss: CrossEntropy, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if shape.width != 1:
        raise ValueError(f"takes one score a class, not {shape}; put a Flatten before it")
    return shape


def _expand_loss(loss: CrossEntropy, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    classes = output.elements
    return Expansion(
        forward=PhaseSpec(passes=(VectorPass(classes, 4),), reads_input=1),
        data_gradient=PhaseSpec(passes=(VectorPass(classes, 1),), reads_saved=("probabilities",)),
        saved=(Saved("probabilities", classes * 16),),
    )


INPUT_RULES = LayerRules(LayerRole.VIEW, _infer_input)
FLATTEN_RULES = LayerRules(LayerRole.VIEW, _infer_flatten)
LOSS_RULES = LayerRules(LayerRole.UNIT, _infer_loss, expand=_expand_loss)
