"""Runs a lowered program on real numbers and watches that every value is where, and when, the program says.

The four queues of each core advance in a random order that only tokens, buffer space and the two steps that
the accumulators hold restrict, so a value that is read too early is read too early in some order.  Beside the
tokens the interpreter keeps its own record of which bytes of a tensor are in DRAM and in the buffer, and checks
every step against it:

* what a step reads must be there as far as its results depend on it (`reach`), in this iteration's copy;
* what is read from DRAM must have been stored, by this core or, for an update, by all cores;
* a resident tensor must have space, is gone when that is released, and is nobody's to read once overwritten;
* space taken never exceeds the buffer, and all of it is given back.

Availability is checked step by step; numbers are worked out once a command, when its last step leaves the
vector unit, from what its loads have copied and what lies in the buffer then.  Commands leave the vector unit in
program order, so nobody computes with numbers that are promised and not yet worked out.  Batched tensors are private to
a core.  Labels and dropout masks are given, not moved.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

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
BURSTS = (1, 3, 20, 1 << 30)  # steps that a queue may go before another has its turn


def interpret(
    graph: LayerGraph, training: TrainingGraph, program: Program, data: StepData, *, seed: int = 0
) -> StepNumbers:
    """Run ``program`` on ``data``; ``seed`` chooses the order in which the queues advance.

    Raises InvariantError, which names the command and the tensor, where the program reads what is not there.
    """
    chip = Chip(semantics(graph, training), program, data)
    order = random.Random(seed)
    queues = [queue(core) for core in chip.cores for queue in QUEUES]
    while queues:
        order.shuffle(queues)
        outcomes = [(queue, *_advance(queue, order.choice(BURSTS))) for queue in queues]
        if not any(moved for _, moved, _ in outcomes):
            raise broken("program", "comes to a halt: " + "; ".join(core.doing() for core in chip.cores))
        queues = [queue for queue, _, ended in outcomes if not ended]
    return _outcome(chip)


def _advance(queue: Iterator[bool], steps: int) -> tuple[bool, bool]:
    """Let a queue make up to ``steps`` steps: whether it moved at all, and whether it has ended."""
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
    """What is in DRAM at the end; InvariantError where the buffer is not empty or a weight was left out."""
    for core in chip.cores:
        core.check_empty()
    for name, cell in chip.shared.items():
        if cell.ready_bytes != chip.tensors[name].nbytes:
            raise broken(name, f"{cell.ready_bytes} of {chip.tensors[name].nbytes} bytes were updated")
    units = list(chip.data.weights)
    return StepNumbers(
        loss=float(sum(core.loss for core in chip.cores)) / chip.batch,
        gradients={unit: np.sum([core.gradient(unit) for core in chip.cores], axis=0) for unit in units},
        weights={unit: _value(chip, f"{unit}.weight") for unit in units},
        momentum={unit: _value(chip, f"{unit}.optimizer")[1] for unit in units},
    )


def _value(chip: Chip, name: str) -> AnyArray:
    values = chip.shared[name].values
    assert values is not None
    return values
