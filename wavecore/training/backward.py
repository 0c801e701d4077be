"""The backward operations of a fused layer: weight gradient, data gradient, and sums of gradients that end here."""

from __future__ import annotations

from wavecore.common.precision import ACCUMULATOR_BYTES
from wavecore.network.layers.base import PhaseSpec
from wavecore.training.forward import manner, phase_reads
from wavecore.training.fusion import FusedNetwork, Fusion, TensorNames
from wavecore.training.gradients import GradientSums, drained
from wavecore.training.operations import OperandRole, Operation, Phase, TensorClass, Use
from wavecore.training.tensor_table import TensorTable


def backward_operations(
    net: FusedNetwork, table: TensorTable, sums: GradientSums, fusion: Fusion
) -> tuple[Operation, ...]:
    """Return the backward operations of a fused layer, in order.

    The weight gradient runs first, so that the saved input has left the chip before the gradient of the input takes
    space.  A weight gradient that reads the gradient of the input runs after it.
    """
    name = fusion.name
    operations: list[Operation] = []
    if not fusion.trained:
        return ()
    if net.consumers.get(name, ("",))[0] in net.outlets:  # nothing in the network reads it
        operations += sums.gather(name, fusion, last=True)
    weight_work = fusion.expansion.weight_gradient
    if weight_work is not None and not fusion.of_itself:
        operations.append(_weight_gradient(net, table, sums, fusion, weight_work))
    operations += _data_gradients(net, table, sums, fusion)
    if weight_work is not None and fusion.of_itself:
        operations.append(_weight_gradient(net, table, sums, fusion, weight_work))
    for tensor in dict.fromkeys(_wanted(net, fusion.inputs)):
        operations += sums.gather(tensor, fusion, last=net.consumers[tensor][0] == name)
    return tuple(operations)


def _wanted(net: FusedNetwork, tensors: TensorNames) -> list[str]:
    """Return those of ``tensors`` whose gradient is wanted."""
    return [tensor for tensor in tensors if net.trained(tensor)]


def _data_gradients(net: FusedNetwork, table: TensorTable, sums: GradientSums, fusion: Fusion) -> list[Operation]:
    """Return the operations that make the gradients of the layer's inputs; none where they pass through unchanged."""
    expansion = fusion.expansion
    work = expansion.data_gradient
    wanted = _wanted(net, fusion.inputs)
    if expansion.input_gradients:
        return [
            _input_gradient(net, table, sums, fusion, index)
            for index, part in enumerate(fusion.parts)
            if _wanted(net, part)
        ]
    if work is None and expansion.weight_gradient is None:
        for tensor in wanted:
            sums.contribute(tensor, sums.complete[fusion.name], owned=False)
    elif work is not None and (wanted or work.writes_weight_gradient or fusion.of_itself):
        return [_data_gradient(net, table, sums, fusion, work)]
    return []


def _weight_gradient(
    net: FusedNetwork, table: TensorTable, sums: GradientSums, fusion: Fusion, work: PhaseSpec
) -> Operation:
    if work.of_itself:
        left = OperandRole.LEFT if work.gemms and not work.time_steps else OperandRole.SIDE
        right = OperandRole.RIGHT if work.gemms else OperandRole.SIDE
        reads: tuple[Use, ...] = (Use(fusion.name, left), Use(sums.own_part(fusion.inputs[0], fusion), right))
    else:
        reads = phase_reads(table, fusion, work, sums.complete.get(fusion.name, ""))
    return Operation(
        name=f"{fusion.name}.weight_gradient",
        unit=fusion.name,
        phase=Phase.WEIGHT_GRADIENT,
        reads=reads,
        writes=(_weight_gradient_tensor(table, fusion),),
        gemms=work.gemms,
        passes=work.passes,
        accumulates=True,
        **manner(work),
    )


def _weight_gradient_tensor(table: TensorTable, fusion: Fusion) -> str:
    nbytes = fusion.parameters * ACCUMULATOR_BYTES
    return table.declare(f"{fusion.name}.weight_gradient", TensorClass.WEIGHT_GRADIENT, nbytes, batched=False)


def _data_gradient(
    net: FusedNetwork, table: TensorTable, sums: GradientSums, fusion: Fusion, work: PhaseSpec
) -> Operation:
    """Return the operation that makes the gradients of all inputs of a layer."""
    name, gradient = fusion.name, sums.complete.get(fusion.name, "")
    wanted = _wanted(net, fusion.inputs)
    reads = phase_reads(table, fusion, work, gradient, gradient_is_left=True)
    results = [sums.result(tensor, fusion) for tensor in dict.fromkeys(fusion.inputs if fusion.of_itself else wanted)]
    writes = [result.name for result in results]
    in_place = work.in_place and wanted
    if work.writes_weight_gradient:
        writes.append(_weight_gradient_tensor(table, fusion))
    return Operation(
        name=f"{name}.data_gradient",
        unit=name,
        phase=Phase.DATA_GRADIENT,
        reads=(*reads, *(use for result in results for use in result.reads)),
        writes=tuple(writes),
        gemms=work.gemms,
        passes=(*work.passes, *drained(results)),
        accumulates=work.writes_weight_gradient,
        in_place=table.same_size(writes[0], (gradient, *fusion.inputs)) if in_place else (),
        **manner(work),
    )


def _input_gradient(net: FusedNetwork, table: TensorTable, sums: GradientSums, fusion: Fusion, index: int) -> Operation:
    """Return the operation that makes the gradient of one input, where each input has products of its own."""
    work = fusion.expansion.input_gradients[index]
    reads = phase_reads(table, fusion, work, sums.complete[fusion.name])
    results = [sums.result(tensor, fusion, index) for tensor in dict.fromkeys(_wanted(net, fusion.parts[index]))]
    return Operation(
        name=f"{fusion.name}.data_gradient.{index}",
        unit=fusion.name,
        phase=Phase.DATA_GRADIENT,
        reads=(*reads, *(use for result in results for use in result.reads)),
        writes=tuple(result.name for result in results),
        gemms=work.gemms,
        passes=(*work.passes, *drained(results)),
        **manner(work),
    )
