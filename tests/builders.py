"""Small networks and hand-made commands that several tests share: ``from builders import chain, command, program``."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from wavecore.common.entry_points import collect
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Add, Concat, Conv, CrossEntropy, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import LoopOrder
from wavecore.plan.placement import Direction
from wavecore.plan.schedule import Schedule
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import (
    After,
    Command,
    CommandCost,
    Flow,
    Load,
    Program,
    Segment,
    StageCost,
    StepProfile,
    Store,
)
from wavecore.training.operations import Phase, Tensor, TensorClass

SCHEDULES = collect("wavecore.schedules", "SCHEDULES", Schedule)
ORDER = ("baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2")


@cache
def machine(*overrides: str) -> Accelerator:
    """The default accelerator with some fields overridden."""
    return load_accelerator(overrides=list(overrides))


def chain() -> LayerGraph:
    """Three units: a 3x3 convolution with its ReLU, a convolution over the whole image, and the loss."""
    net = Network("chain", Shape(3, 8, 8))
    x = net(ReLU(), net(Conv(4, 3, padding=1), net.input, name="one"))
    net(CrossEntropy(), net(Conv(2, 8), x, name="two"), name="loss")
    return net.build()


def residual() -> LayerGraph:
    """A stem that is read twice: by two convolutions in a row, and by the sum with what they make."""
    net = Network("residual", Shape(3, 8, 8))
    stem = net(Conv(4, 3, padding=1), net.input, name="stem")
    x = net(Conv(4, 3, padding=1), net(Conv(4, 3, padding=1), stem, name="a"), name="b")
    net(CrossEntropy(), net(Conv(2, 8), net(Add(), x, stem, name="sum"), name="head"), name="loss")
    return net.build()


def inception() -> LayerGraph:
    """Three branches of one stem, concatenated."""
    net = Network("inception", Shape(3, 8, 8))
    stem = net(Conv(4, 3, padding=1), net.input, name="stem")
    branches = [net(Conv(2, 1), stem, name=name) for name in "abc"]
    net(CrossEntropy(), net(Conv(2, 8), net(Concat(), *branches, name="cat"), name="head"), name="loss")
    return net.build()


def transfer(nbytes: int, write: bool = False, name: str = "data", **options: Any) -> Transfer:
    """A transfer of an activation of so many bytes."""
    return Transfer(Tensor(name, TensorClass.ACTIVATION, nbytes), nbytes, write, **options)


def load(
    nbytes: int,
    profile: StepProfile = StepProfile.EVEN,
    freed: StepProfile | None = StepProfile.EVEN,
    name: str = "data",
) -> Load:
    """A DRAM read of so many bytes."""
    return Load(transfer(nbytes, name=name), Flow(nbytes, profile), freed, After.NOTHING)


def store(nbytes: int, profile: StepProfile = StepProfile.EVEN, name: str = "result") -> Store:
    """A DRAM write of so many bytes, staged in the buffer."""
    return Store(transfer(nbytes, True, name), Flow(nbytes, profile), True, profile)


IDLE = Command(
    name="idle",
    unit="unit",
    phase=Phase.FORWARD,
    samples=1,
    steps=1,
    blocks=1,
    sweep_steps=0,
    order=LoopOrder.RIGHT_STAYS,
    loads=(),
    stores=(),
    waits=(),
    overwrites=(),
    posts=(),
    reserves=(),
    releases=(),
    stage_bytes=0,
    work=CommandCost(stages=(StageCost("vector", 0),)),
)


def command(name: str = "unit", *, work: dict[str, int] | None = None, **changes: Any) -> Command:
    """A command that does nothing but what is asked for.

    ``work`` has counters, and ``array_cycles``, ``fill_cycles``, ``drain_cycles`` and ``vector_cycles`` of its stages;
    with array cycles it is a GEMM.
    """
    counts = dict(work or {})
    array, fill, drain, vector = (counts.pop(f"{part}_cycles", 0) for part in ("array", "fill", "drain", "vector"))
    stages = (StageCost("vector", vector),)
    if array:
        stages = (StageCost("array", array, fill, drain), *stages)
    return replace(IDLE, name=name, unit=name, work=CommandCost(stages=stages, **counts), **changes)


def program(*commands: Command, cores: int = 1, iterations: int = 1, buffer_bytes: int = 10 << 20) -> Program:
    """The same commands on every core, so many times."""
    segment = Segment("segment", Direction.FORWARD, ((1, commands),) * iterations)
    return Program("hand-made", "none", buffer_bytes, ((segment,),) * cores)
