"""Small networks that hold every structure which decides how tensors move: ``from small_networks import NETWORKS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wavecore.workloads.common import lstm

from wavecore.hardware.config import load_accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import (
    LSTM,
    AdaptiveAvgPool,
    Add,
    AvgPool,
    Concat,
    Conv,
    CrossEntropy,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Linear,
    MaxPool,
    ReLU,
)
from wavecore.network.shapes import Shape
from wavecore.plan.model import Group, Plan
from wavecore.simulation import make_plan
from wavecore.training.unroll import training_graph


def _norm_relu(net: Network, x: str) -> str:
    return net(ReLU(), net(GroupNorm(4), x))


def _end(net: Network, x: str) -> LayerGraph:
    net(CrossEntropy(), net(Linear(10), net(Flatten(), net(GlobalAvgPool(), x))))
    return net.build()


def chain() -> LayerGraph:
    """Strides on odd sizes, bias, ReLU6, dropout, max-pooling, linear layers."""
    net = Network("chain", Shape(3, 13, 13))
    x = _norm_relu(net, net(Conv(16, 3, 2, 1), net.input))
    x = net(MaxPool(3, 2, 1), x)
    x = net(Dropout(0.3), net(ReLU(6.0), net(Conv(24, 3, 1, 1, bias=True), x)))
    x = net(Flatten(), net(AdaptiveAvgPool(3), x))
    x = net(Dropout(), net(ReLU(), net(Linear(24), x)))
    net(CrossEntropy(), net(Linear(10, bias=False), x))
    return net.build()


def residual() -> LayerGraph:
    """Blocks with identity and with projection, the first of which halves an even image."""
    net = Network("residual", Shape(3, 12, 12))
    x = _norm_relu(net, net(Conv(16, 3, 1, 1), net.input))
    for channels, stride in ((16, 1), (24, 2), (24, 1)):
        y = _norm_relu(net, net(Conv(channels, 3, stride, 1), x))
        y = net(GroupNorm(4), net(Conv(channels, 3, 1, 1), y))
        if stride > 1:
            x = net(GroupNorm(2), net(Conv(channels, 1, stride), x))
        x = net(ReLU(), net(Add(), y, x))
    return _end(net, x)


def inception() -> LayerGraph:
    """Three branches, one of them pooled; their concatenation read by a ReLU, then by an addition and a branch."""
    net = Network("inception", Shape(3, 11, 11))
    x = _norm_relu(net, net(Conv(16, 3, 2, 0), net.input))
    one = _norm_relu(net, net(Conv(8), x))
    two = net(Conv(8, (1, 3), 1, (0, 1)), _norm_relu(net, net(Conv(8, (3, 1), 1, (1, 0)), x)))
    pooled = net(Conv(8), net(AvgPool(3, 1, 1), x))
    joined = net(ReLU(), net(Concat(), one, two, pooled))
    x = net(Add(), net(GroupNorm(4), net(Conv(24, 3, 1, 1), joined)), joined)
    return _end(net, net(MaxPool(2, 2, 0, round_up=True), x))


def depthwise() -> LayerGraph:
    """Inverted residuals: a narrow input, wide depthwise convolutions, a grouped one, no ReLU at the addition."""
    net = Network("depthwise", Shape(3, 14, 14))
    x = _norm_relu(net, net(Conv(8, 3, 2, 1), net.input))
    y = net(ReLU(6.0), net(GroupNorm(4), net(Conv(32), x)))
    y = net(ReLU(6.0), net(GroupNorm(4), net(Conv(32, 3, 1, 1, groups=32), y)))
    x = net(Add(), x, net(GroupNorm(4), net(Conv(8), y)))
    x = net(AvgPool(3, 2, 1, round_up=True), net(Conv(16, 3, 2, 1, groups=4), x))
    return _end(net, x)


def twice() -> LayerGraph:
    """The same tensor twice in an addition, and twice in a concatenation; a branch that is the input itself."""
    net = Network("twice", Shape(4, 8, 8))
    x = net(ReLU(), net(Conv(8, 5, 1, 2), net.input))
    x = net(ReLU(), net(Add(), x, x))
    x = net(GroupNorm(2), net(Concat(), x, x))
    x = net(Concat(), net(Conv(8, 2, 2, 0), x), net(MaxPool(2, 2), x))
    return _end(net, x)


def joined() -> LayerGraph:
    """Concatenations that pass through a ReLU, a dropout and an addition: each branch reads its part of a gradient."""
    net = Network("joined", Shape(3, 8, 8))
    x = net(Conv(12, 3, 1, 1), net.input)
    y = net(Dropout(0.3), net(ReLU(), net(Concat(), net(Conv(8, 1), x), net(Conv(4, 3, 1, 1), x))))
    z = net(Concat(), net(Conv(4, 1), y), net(Conv(8, 1), x))
    return _end(net, net(ReLU(), net(Add(), y, z)))


def preactivated() -> LayerGraph:
    """Residual blocks that begin with their normalization, as in ResNet v2: its gradient drains into a sum."""
    net = Network("preactivated", Shape(3, 12, 12))
    x = net(Conv(16, 3, 1, 1), net.input)
    for _ in range(2):
        x = net(Add(), net(Conv(16, 3, 1, 1), _norm_relu(net, x)), x)
    return _end(net, x)


def language() -> LayerGraph:
    """Words, two LSTMs with dropout between them, and a loss a step."""
    net = Network("language", Shape(1, 5))
    x = net(Dropout(0.3), net(Embedding(40, 24), net.input))
    for layer, hidden in enumerate((20, 12), start=1):
        x = net(Dropout(0.4), lstm(net, x, hidden, f"lstm{layer}"))
    net(CrossEntropy(), net(Linear(30), x))
    return net.build()


def both_ways() -> LayerGraph:
    """A bidirectional LSTM over a sequence of numbers, whose two halves share what they read; recurrent biases."""
    net = Network("both_ways", Shape(12, 4))
    x = net(ReLU(), net(Linear(16), net.input))
    forth, back = (lstm(net, x, 10, name, reverse=name == "back") for name in ("forth", "back"))
    y = net(Linear(40), net(Concat(), forth, back))
    z = net(LSTM(10, bias=True), net(ReLU(), y))
    net(CrossEntropy(), net(Linear(8), net(Add(), z, net(LSTM(10), y))))
    return net.build()


NETWORKS: dict[str, Callable[[], LayerGraph]] = {
    network.__name__: network
    for network in (chain, residual, inception, depthwise, twice, joined, preactivated, language, both_ways)
}


def serialized(graph: LayerGraph, batch_per_core: int, sub_batch: int) -> Plan:
    """The whole network as one group, all of whose weight gradients stay on chip; it fits 2 MiB."""
    training = training_graph(graph)
    wide = make_plan(training, "mbs2", load_accelerator(overrides=["core.global_buffer=8 MiB"]), batch_per_core)
    (group,) = wide.groups
    held = frozenset(name for name in training.tensors if name.endswith(".weight_gradient"))
    whole = Group(group.units, sub_batch, group.forward, group.backward, held)
    return Plan(wide.workload, "by hand", batch_per_core, True, (whole,))


def two_cuts(graph: LayerGraph, batch_per_core: int, forward: int, backward: int) -> Plan:
    """The network as one group of forward, and of backward two groups, each with a sub-batch of its own."""
    whole = serialized(graph, batch_per_core, forward)
    (group,) = whole.groups
    training, middle = training_graph(graph), len(group.units) // 2
    halves = []
    for units in (group.units[:middle], group.units[middle:]):
        operations = [op for name in units for op in training.units[training.unit_index[name]].backward]
        touched = {name for op in operations for name in (*op.writes, *(use.tensor for use in op.reads))}
        kept = {name: how for name, how in group.backward.items() if name in touched}
        halves.append(Group(units, backward, {}, kept, group.held & touched))
    ahead = replace(group, backward={}, held=frozenset())
    return replace(whole, groups=(ahead,), backward_groups=tuple(halves))
