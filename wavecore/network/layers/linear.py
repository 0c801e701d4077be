"""Fully-connected layers, of a vector or of every step of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.compute import BatchedDimension, Gemm, VectorPass
from wavecore.network.layers.base import Expansion, LayerKind, LayerRole, LayerRules, Parameter, PhaseSpec, only
from wavecore.network.shapes import Shape


@dataclass(frozen=True, slots=True)
class Linear(LayerKind):
    """A fully-connected layer to ``out_features``.

    It takes a vector (see `Flatten`) or a sequence of shape inputs x steps x 1, and applies the same weights to each
    step.
    """

    kind: ClassVar[str] = "linear"
    out_features: int
    bias: bool = True


def _infer(linear: Linear, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if shape.width != 1:
        raise ValueError(f"takes a flat input, not {shape}; put a Flatten before it")
    return Shape(linear.out_features, shape.height)


def _parameters(linear: Linear, inputs: tuple[Shape, ...]) -> tuple[Parameter, ...]:
    weight = Parameter("weight", only(inputs).channels * linear.out_features)
    return (weight, Parameter("bias", linear.out_features)) if linear.bias else (weight,)


def _expand(linear: Linear, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    fan_in, fan_out, steps = only(inputs).channels, linear.out_features, output.height
    return Expansion(
        forward=PhaseSpec(
            gemms=(Gemm(steps, fan_in, fan_out),),
            passes=(VectorPass(output.elements, 1),),
            reads_input=1,
            reads_weight=True,
        ),
        weight_gradient=PhaseSpec(
            gemms=(Gemm(fan_in, steps, fan_out, BatchedDimension.K),),
            passes=(VectorPass(fan_in * fan_out, 1, batched=False),),
            reads_input=1,
            reads_gradient=1,
            writes_weight_gradient=True,
        ),
        data_gradient=PhaseSpec(
            gemms=(Gemm(steps, fan_out, fan_in),),
            passes=(VectorPass(fan_in * steps, 1),),
            reads_gradient=1,
            reads_weight=True,
        ),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, _parameters, _expand)
