"""The LSTMs of BiDAF that ISS prunes: Seo et al., "Bidirectional attention flow for machine comprehension" (2016).

``bidaf`` is a part of that network (arXiv 1611.01603), as in its authors' code (allenai/bi-att-flow): two modeling
layers and the output layer, each an LSTM forward and one backward in time.  A sample is a context of ``steps`` words;
that code cuts contexts at 400 words for training, and its mini-batch is 60.  The rest of the network is not simulated;
its values are read from DRAM (`Inlet`) and written to it (`Outlet`):

* ``p0`` comes from the attention, 8 x hidden features; modeling layer 1 reads it and makes g0, layer 2 reads that and
  makes ``g1``;
* the output layer reads p0, g1, a summary of g1 by attention (``a1i``, of all words and the same for each), and the
  product of both (``g1_a1i``), and makes ``g2``;
* g1 and g2 are outputs: the answer's pointers read both, the summary reads g1.

Dropout is applied to everything that an LSTM reads.  The two directions of a layer run one after the other, although
they are independent.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Concat, Dropout, Inlet, Outlet
from wavecore.network.shapes import Shape

from .common import lstm

DROPOUT = 0.2  # the share of values that are dropped


def bidaf(hidden: int = 100, steps: int = 400) -> LayerGraph:
    """Build the three bidirectional LSTM layers for contexts of ``steps`` words."""
    net = Network("bidaf")
    p0 = net(Inlet(Shape(8 * hidden, steps)), name="p0")
    g0 = _layer(net, (p0,), hidden, "mod1")
    g1 = _layer(net, g0, hidden, "mod2")
    net(Outlet(), net(Concat(), *g1, name="g1"), name="g1.output")
    summary = [net(Inlet(Shape(2 * hidden, steps)), name=name) for name in ("a1i", "g1_a1i")]
    g2 = _layer(net, (p0, *g1, *summary), hidden, "out")
    net(Outlet(), net(Concat(), *g2, name="g2"), name="g2.output")
    return net.build()


def _layer(net: Network, reads: tuple[str, ...], hidden: int, name: str) -> tuple[str, ...]:
    """Add a forward and a backward LSTM over the concatenation of ``reads``; each has its own dropouts."""
    made = []
    for direction in ("fwd", "bwd"):
        own = f"{name}_{direction}"
        kept = [net(Dropout(DROPOUT), x, name=f"{own}.dropout.{x}") for x in reads]
        x = net(Concat(), *kept, name=f"{own}.concat") if len(kept) > 1 else kept[0]
        made.append(lstm(net, x, hidden, own, reverse=direction == "bwd"))
    return tuple(made)


WORKLOADS: Mapping[str, Workload] = {
    "bidaf": Workload(
        name="bidaf",
        build=bidaf,
        summary="six LSTMs of BiDAF, 100 units, 400 steps",
        batch_per_core=30,
        published=Published(
            parameters=2_162_400,
            forward_gmacs=0.864,
            source="counted: 4 x 100 x (in + 100) weights and 4 x 100 biases per LSTM, in = 800, 200, 1400 twice each",
        ),
    ),
}
