"""The forward operation of a fused layer, its update, and what every phase of a layer reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.network.compute import TrimmedProduct, VectorPass
from wavecore.network.layers import KINDS
from wavecore.network.layers.base import GRADIENT, PhaseSpec
from wavecore.training.fusion import FusedNetwork, Fusion
from wavecore.training.graph import ROWS
from wavecore.training.operations import OperandRole, Operation, Phase, TensorClass, Use
from wavecore.training.tensor_table import TensorTable

UPDATE_LANE_OPERATIONS = 4  # momentum, weight decay, step, rounding to fp16: one each
OPTIMIZER_BYTES = 2 * ACCUMULATOR_BYTES  # fp32 master weight and momentum


def forward_operation(net: FusedNetwork, table: TensorTable, fusion: Fusion) -> Operation:
    """Return the forward operation of a fused layer, with what it saves for backward declared."""
    name, work = fusion.name, fusion.expansion.forward
    writes = [name] if name in net.consumers else []
    if not writes:
        table.drop(name)
    if fusion.masked and fusion.trained:
        writes.append(table.declare(f"{name}.mask", TensorClass.MASK, -(-fusion.layer.shape.elements // 8)))
    for saved in fusion.expansion.saved if fusion.trained else ():
        kind = TensorClass.MASK if saved.name == "indices" else TensorClass.ACTIVATION
        writes.append(table.declare(f"{name}.{saved.name}", kind, -(-saved.bits // 8)))
    if fusion.parameters:
        table.declare(f"{name}.weight", TensorClass.WEIGHT, fusion.parameters * ELEMENT_BYTES, batched=False)
    lane_operations = sum(KINDS[type(layer.kind)].lane_operations for layer in fusion.fused)
    return Operation(
        name=f"{name}.forward",
        unit=name,
        phase=Phase.FORWARD,
        reads=phase_reads(table, fusion, work),
        writes=tuple(writes),
        gemms=work.gemms,
        passes=plus(work.passes, lane_operations),
        in_place=table.same_size(name, fusion.inputs[:1]) if work.in_place else (),
        **manner(work),
    )


def phase_reads(
    table: TensorTable, fusion: Fusion, work: PhaseSpec, gradient: str = "", gradient_is_left: bool = False
) -> tuple[Use, ...]:
    """Return what a phase reads, with the operand each tensor is when the phase is a GEMM.

    ``gradient`` is the tensor that holds the gradient of the layer's output.
    """
    if work.operands is not None:
        return _operand_reads(table, fusion, work.operands, gradient)
    # a time step multiplies its weights with the result of the step before, so that its inputs are no operands
    first = OperandRole.LEFT if work.gemms and not work.time_steps else OperandRole.SIDE
    second = OperandRole.RIGHT if work.gemms else OperandRole.SIDE
    uses: list[Use] = []
    if work.reads_input:
        uses += [Use(tensor, first, work.reads_input) for tensor in dict.fromkeys(fusion.inputs)]
    if work.reads_gradient:
        role = first if gradient_is_left else second
        uses.append(Use(gradient, role, work.reads_gradient, table.share(gradient, fusion.name)))
    if work.reads_weight and fusion.parameters:
        uses.append(Use(f"{fusion.name}.weight", second))
    if work.reads_row_bytes:
        uses.append(Use(table.declare(f"{fusion.name}{ROWS}", TensorClass.WEIGHT, work.reads_row_bytes)))
    uses += [Use(f"{fusion.name}.{saved}") for saved in work.reads_saved]
    return tuple(uses)


def _operand_reads(table: TensorTable, fusion: Fusion, operands: tuple[int, int], gradient: str) -> tuple[Use, ...]:
    """Return the two operands of products of activations: inputs of the layer, or the gradient of its output."""
    uses = []
    for operand, role in zip(operands, (OperandRole.LEFT, OperandRole.RIGHT), strict=True):
        if operand == GRADIENT:
            uses.append(Use(gradient, role, part_bytes=table.share(gradient, fusion.name)))
        else:
            uses += [Use(tensor, role) for tensor in fusion.parts[operand]]
    return tuple(uses)


def update_operations(table: TensorTable, fusion: Fusion) -> tuple[Operation, ...]:
    """Return the update of a fused layer's weights; none without parameters."""
    if not fusion.parameters:
        return ()
    name = fusion.name
    nbytes = fusion.parameters * OPTIMIZER_BYTES
    optimizer = table.declare(f"{name}.optimizer", TensorClass.OPTIMIZER, nbytes, batched=False)
    return (
        Operation(
            name=f"{name}.update",
            unit=name,
            phase=Phase.UPDATE,
            reads=(Use(f"{name}.weight_gradient"), Use(optimizer)),
            writes=(optimizer, f"{name}.weight"),
            passes=(VectorPass(fusion.parameters, UPDATE_LANE_OPERATIONS, batched=False),),
        ),
    )


class Manner(TypedDict):
    """How an operation runs over its samples and its time steps: fields of `Operation`."""

    lookahead: tuple[int, int]
    whole_batch: bool
    time_steps: int
    state_bytes: int
    groups: int
    trimmed: tuple[TrimmedProduct, ...]


def manner(work: PhaseSpec) -> Manner:
    """Return how a phase runs over its samples and its time steps."""
    lookahead = (0, 1) if work.time_steps else work.lookahead  # steps follow each other, not samples
    return Manner(
        lookahead=lookahead,
        whole_batch=work.whole_batch,
        time_steps=work.time_steps,
        state_bytes=work.state_bytes,
        groups=work.groups,
        trimmed=work.trimmed,
    )


def plus(passes: tuple[VectorPass, ...], lane_operations: int) -> tuple[VectorPass, ...]:
    """Add the ``lane_operations`` of fused layers to the last sweep."""
    if not lane_operations or not passes:
        return passes
    last = replace(passes[-1], lane_operations=passes[-1].lane_operations + lane_operations)
    return (*passes[:-1], last)
