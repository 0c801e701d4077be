"""The DRAM that a training step needs: the most bytes that are alive in it at a time, by class.

Weights, the optimizer's state and the network's inputs are there all the time.  Any other tensor, with all samples of
all cores, takes its space from the first transfer that stores it to the last that loads it.  The space of dead tensors
is assumed to be used again without loss: what an allocator pads or fragments comes on top.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from wavecore.common.memo import remembered
from wavecore.hardware.specs import Accelerator
from wavecore.plan.model import Plan
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import Transfer, traffic_key
from wavecore.program.addresses import per_core
from wavecore.program.commands import Program, transfers_of
from wavecore.program.lower import lower
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import Tensor, TensorClass

_ALWAYS = (TensorClass.WEIGHT, TensorClass.OPTIMIZER)


@remembered(key=traffic_key)
def dram_capacity(training: TrainingGraph, plan: Plan, accelerator: Accelerator) -> Mapping[TensorClass, int]:
    """Return the bytes of each class at the time of the step when most bytes of all classes are in DRAM.

    Time is counted in commands.  Cores run the same program on their own samples and are taken to be at the same
    command.  A group of several iterations writes and reads all its tensors in each, so that these live side by side;
    its first and its last iteration say from when to when.  Tensors that are packed in DRAM take their packed bytes.
    Raises what `program.lower.lower` does.
    """
    program = lower(training, plan, accelerator)
    touched: dict[str, list[int]] = defaultdict(list)
    tensors: dict[str, Tensor] = {}
    end = backward = -1
    for end, (direction, moves) in enumerate(_commands(program)):
        if direction is Direction.BACKWARD and backward < 0:
            backward = end
        for move in moves:
            tensors[move.tensor.name] = move.tensor
            touched[move.tensor.name].append(end)
    growth: dict[int, Counter[TensorClass]] = defaultdict(Counter)
    copies, samples = accelerator.chip.cores, plan.batch_per_core
    for name, times in touched.items():
        tensor = tensors[name]
        if tensor.batched and tensor.tensor_class is TensorClass.WEIGHT:
            continue  # rows of weights, which have their space
        first, last = times[0], times[-1]
        if tensor.tensor_class in _ALWAYS or name not in training.written:
            first, last = (backward if name in training.received else 0), end
        if name in training.sent:
            last = end
        nbytes = tensor.dram_bytes * (samples if tensor.batched else 1) * (copies if per_core(tensor) else 1)
        growth[first][tensor.tensor_class] += nbytes
        growth[last + 1][tensor.tensor_class] -= nbytes
    return _peak(growth)


def _commands(program: Program) -> Iterator[tuple[Direction, list[Transfer]]]:
    """Yield what each command of a core moves, of the first and the last iteration of each segment."""
    for segment in program.cores[0]:
        iterations = len(segment.iterations)
        for iteration in sorted({0, iterations - 1}):
            for command in segment.iterations[iteration][1]:
                moves = transfers_of(command)
                yield segment.direction, [move for move in moves if move.happens(iteration, iterations)]


def _peak(growth: Mapping[int, Mapping[TensorClass, int]]) -> dict[TensorClass, int]:
    """Return the largest running sum of what is added at each time, by its sum over all classes."""
    live = dict.fromkeys(TensorClass, 0)
    largest = dict(live)
    for time in sorted(growth):
        for kind, nbytes in growth[time].items():
            live[kind] += nbytes
        if sum(live.values()) > sum(largest.values()):
            largest = dict(live)
    return largest
