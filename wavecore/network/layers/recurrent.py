"""The recurrent part of an LSTM: what must run time step by time step.

An LSTM is two layers.  A `Linear` multiplies the inputs of all time steps with the input
weights at once; `LSTM` takes those sums, adds the product of the last step's outputs with the recurrent weights, and
makes the gates of each step, one step after the other.  So each of the two has one weight matrix, as a
sparsity profile expects.

Per step, with ``a`` the four sums (in PyTorch's order i, f, g, o), and in backward from the last step to the first::

    i, f, o = sigmoid(a);  g = tanh(a)          do = dh tanh(c);  dc += dh o (1 - tanh(c)^2)
    c = f c' + i g;  h = o tanh(c)              di = dc g;  df = dc c';  dg = dc i;  dc' = dc f

and each gate's gradient times the derivative of its function gives that of its sum, which is the gradient of the
layer's input.  Lane operations per hidden unit and step, one for each multiply-add and each function (a table look-up):

* forward: add the product to the sums = 4; functions of the gates = 4, of c = 1; c = 2; h = 1;
* backward: add the product to dh = 1; tanh(c) = 1; do, di, df, dg = 4; dc += = 3; dc' = 1; the derivative of a sigmoid,
  s (1 - s), and the product with it = 2 each, of tanh the same = 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.network.compute import BatchedDimension, Gemm, VectorPass
from wavecore.network.layers.base import (
    Expansion,
    LayerKind,
    LayerRole,
    LayerRules,
    Parameter,
    PhaseSpec,
    Saved,
    only,
)
from wavecore.network.shapes import Shape

GATES = 4
FORWARD_LANE_OPERATIONS = 12
BACKWARD_LANE_OPERATIONS = 18


@dataclass(frozen=True, slots=True)
class LSTM(LayerKind):
    """The recurrent part of an LSTM of ``hidden`` units; it reads the sums of its gates, 4 x hidden x steps.

    It begins with a state of zeros, at the last step if it runs in ``reverse``.
    """

    kind: ClassVar[str] = "lstm"
    hidden: int
    reverse: bool = False
    bias: bool = False


def _infer(lstm: LSTM, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if shape.channels != GATES * lstm.hidden or shape.width != 1:
        raise ValueError(
            f"takes the sums of {GATES} gates of {lstm.hidden} units, {GATES * lstm.hidden} x steps x 1, not {shape}; "
            f"put a Linear({GATES * lstm.hidden}) before it"
        )
    return Shape(lstm.hidden, shape.height)


def _parameters(lstm: LSTM, inputs: tuple[Shape, ...]) -> tuple[Parameter, ...]:
    weight = Parameter("weight", GATES * lstm.hidden * lstm.hidden)
    return (weight, Parameter("bias", GATES * lstm.hidden)) if lstm.bias else (weight,)


def _expand(lstm: LSTM, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    hidden, steps = lstm.hidden, output.height
    gates = GATES * hidden
    return Expansion(
        forward=PhaseSpec(
            gemms=(Gemm(1, hidden, gates, BatchedDimension.M, steps),),
            passes=(VectorPass(output.elements, FORWARD_LANE_OPERATIONS),),
            reads_input=1,
            reads_weight=True,
            time_steps=steps,
            state_bytes=hidden * (ELEMENT_BYTES + ACCUMULATOR_BYTES),  # h for the next product, c
        ),
        data_gradient=PhaseSpec(
            gemms=(Gemm(1, gates, hidden, BatchedDimension.M, steps),),
            passes=(VectorPass(output.elements, BACKWARD_LANE_OPERATIONS),),
            reads_gradient=1,
            reads_weight=True,
            reads_saved=("gates", "cells"),
            time_steps=steps,
            state_bytes=gates * ELEMENT_BYTES + hidden * ACCUMULATOR_BYTES,  # the sums' gradients, dc
        ),
        weight_gradient=PhaseSpec(
            gemms=(Gemm(hidden, steps, gates, BatchedDimension.K),),
            passes=(VectorPass(gates * hidden, 1, batched=False),),
            of_itself=True,
            writes_weight_gradient=True,
        ),
        saved=(
            Saved("gates", gates * steps * 8 * ELEMENT_BYTES),
            Saved("cells", hidden * steps * 8 * ELEMENT_BYTES),
        ),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, _parameters, _expand, takes_fused=False)
