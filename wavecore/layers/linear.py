"""Fully-connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.layers.base import Expansion, LayerKind, LayerRules, Parameter, Role, Work, only
from wavecore.operations import Gemm, VectorPass
from wavecore.shapes import Shape


@dataclass(frozen=True, slots=True)
class Linear(LayerKind):
    """A fully-connected layer to ``out_features``; its input must be flat (see `Flatten`)."""

    kind: ClassVar[str] = "linear"
    out_features: int
    bias: bool = True


def _infer(linear: Linear, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if shape.pixels != 1:
        raise ValueError(f"takes a flat input, not {shape}; put a Flatten before it")
    return Shape(linear.out_features)


def _parameters(linear: Linear, inputs: tuple[Shape, ...]) -> tuple[Parameter, ...]:
    weight = Parameter("weight", only(inputs).channels * linear.out_features)
    return (weight, Parameter("bias", linear.out_features)) if linear.bias else (weight,)


def _expand(linear: Linear, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    fan_in, fan_out = only(inputs).channels, linear.out_features
    return Expansion(
        forward=Work(
            gemms=(Gemm(1, fan_in, fan_out),),
            passes=(VectorPass(fan_out, 1),),
            reads_input=1,
            reads_weight=True,
        ),
        weight_gradient=Work(
            gemms=(Gemm(fan_in, 1, fan_out, "k"),),
            passes=(VectorPass(fan_in * fan_out, 1, batched=False),),
            reads_input=1,
            reads_gradient=1,
            writes_weight_gradient=True,
        ),
        data_gradient=Work(
            gemms=(Gemm(1, fan_out, fan_in),),
            passes=(VectorPass(fan_in, 1),),
            reads_gradient=1,
            reads_weight=True,
        ),
    )


RULES = LayerRules(Role.UNIT, _infer, _parameters, _expand)
