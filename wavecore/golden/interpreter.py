"""Run a lowered program on real numbers, and check that every value is where and when the program says.

The four queues of each core advance in a random order, restricted only by tokens, buffer space and the two steps
that the accumulators hold.  So if the program allows a value to be read too early, some order does read it too early.
Besides the tokens, the interpreter records which bytes of a tensor are in DRAM and in the buffer, and checks every
step against that record:

* what a step reads must be there as far as the step's results depend on it (`dependences`), in the same iteration;
* what is read from DRAM must have been stored, by this core or, for an update, by all cores;
* a tensor on chip must have space, is gone when that space is released, and must not be read once overwritten;
* the space in use never exceeds the buffer, and all of it is freed by the end.

Bytes are checked step by step.  Values are computed once per command, when its last step leaves the vector unit, from
what its loads have copied and what is in the buffer then.  The last step of a command needs all of every operand, so
the values of an operand are computed before they are used.  Batched tensors belong to one core.  Labels and dropout
masks are inputs that no command moves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import fsum

import numpy as np

from wavecore.golden.computing import array_queue, vector_queue
from wavecore.golden.cores import Chip
from wavecore.golden.loading import load_queue
from wavecore.golden.numbers import StepData, StepNumbers
from wavecore.golden.operands import AnyArray
from wavecore.golden.semantics import semantics
from wavecore.golden.stores import broken
from wavecore.golden.storing import store_queue
from wavecore.network.graph import LayerGraph
from wavecore.program.commands import Program
from wavecore.training.graph import TrainingGraph

QUEUES = (load_queue, array_queue, vector_queue, store_queue)
BURSTS = (1, 3, 20, 1 << 30)  # most steps that a queue runs before the next queue runs; one is drawn each time


def interpret(
    graph: LayerGraph, training: TrainingGraph, program: Program, data: StepData, *, seed: int = 0
) -> StepNumbers:
    """Run ``program`` on ``data`` and return the numbers that the step yields.

    ``seed`` chooses the order in which the queues advance.  Raises InputError for a network that cannot be computed
    (see `semantics`), and InvariantError, which names the command and the tensor, where the program breaks a rule.
    """
    chip = Chip(semantics(graph, training), program, data)
    order = random.Random(seed)
    queues = [queue(core) for core in chip.cores for queue in QUEUES]
    while queues:
        order.shuffle(queues)
        outcomes = [(queue, *_advance(queue, order.choice(BURSTS))) for queue in queues]
        if not any(moved for _, moved, _ in outcomes):
            raise broken("program", "comes to a halt: " + "; ".join(core.describe_positions() for core in chip.cores))
        queues = [queue for queue, _, ended in outcomes if not ended]
    return _outcome(chip)


def _advance(queue: Iterator[bool], steps: int) -> tuple[bool, bool]:
    """Run up to ``steps`` steps of a queue; return whether it made progress, and whether it has ended."""
    moved = False
    for _ in range(steps):
        made = next(queue, None)
        if made is None:
            return True, True
        if not made:
            break
        moved = True
    return moved, False


def _outcome(chip: Chip) -> StepNumbers:
    """Return what is in DRAM at the end; raise InvariantError if a buffer is not empty or a tensor not updated."""
    for core in chip.cores:
        core.check_empty()
    for name, dram_tensor in chip.shared.items():
        if dram_tensor.ready_bytes != chip.tensors[name].nbytes:
            raise broken(name, f"{dram_tensor.ready_bytes} of {chip.tensors[name].nbytes} bytes were updated")
    units = list(chip.data.weights)
    return StepNumbers(
        loss=fsum(core.loss for core in chip.cores) / chip.batch,
        gradients={unit: np.sum([core.gradient(unit) for core in chip.cores], axis=0) for unit in units},
        weights={unit: _value(chip, f"{unit}.weight") for unit in units},
        momentum={unit: _value(chip, f"{unit}.optimizer")[1] for unit in units},
    )


def _value(chip: Chip, name: str) -> AnyArray:
    """Return the values of a tensor that the cores share: weights or optimizer state."""
    values = chip.shared[name].values
    assert values is not None
    return values
