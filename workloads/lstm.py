"""The LSTM language model of Zaremba et al., "Recurrent neural network regularization" (arXiv 1409.2329).

``lstm_ptb`` is their large model for the Penn Treebank: a vocabulary of 10,000 words, two layers of 1500 units, 35
steps, and dropout on all connections except the recurrent ones.  A sample is a sequence.  They carry the state from one
mini-batch to the next; here every step begins with a state of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.errors import GraphError
from wavecore.network.catalog import Published, Workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import CrossEntropy, Dropout, Embedding, Linear
from wavecore.network.shapes import Shape

from .common import lstm

DROPOUT = 0.65  # of the large model: the share of values that are dropped


def lstm_ptb(
    vocabulary: int = 10_000, embedding: int = 1500, hidden: int = 1500, layers: int = 2, steps: int = 35
) -> LayerGraph:
    """Build a language model of ``layers`` LSTMs of ``hidden`` units."""
    if layers < 1:
        raise GraphError("network lstm_ptb", f"layers is {layers}", "1 or more")
    net = Network("lstm_ptb", Shape(1, steps))
    x = net(Embedding(vocabulary, embedding), net.input, name="embedding")
    x = net(Dropout(DROPOUT), x, name="dropout")
    for layer in range(1, layers + 1):
        x = lstm(net, x, hidden, name=f"lstm{layer}")
        x = net(Dropout(DROPOUT), x, name=f"dropout{layer}")
    x = net(Linear(vocabulary), x, name="decoder")
    net(CrossEntropy(), x, name="loss")
    return net.build()


WORKLOADS: Mapping[str, Workload] = {
    "lstm_ptb": Workload(
        name="lstm_ptb",
        build=lstm_ptb,
        summary="LSTM language model, 2 x 1500, 35 steps",
        batch_per_core=10,
        published=Published(
            parameters=66_022_000,
            forward_gmacs=1.785,
            source="arXiv 1709.05027, table 1: 66.0M weights; counted with one bias per gate; 35 x (18M + 18M + 15M)",
        ),
    ),
}
