"""A word-level language model of stacked LSTMs and its training (arXiv 1409.2329), which ISS prunes.

Tensors have the names of the workload ``lstm_ptb``: an LSTM is a linear layer ``lstmN.input``, which runs over all
steps at once, and the recurrent part ``lstmN``.  The rows of both weights are the four gates in the order i, f, g, o.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavecore.methods.corpus import Tokens, windows
from wavecore.network.layers.recurrent import GATES

HiddenState = list[tuple[Tensor, Tensor]]
READING_STEPS = 256  # per window of an evaluation; perplexity does not depend on it


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """The sizes of a language model; ``hidden`` are the units of each LSTM, in order."""

    vocabulary: int
    embedding: int
    hidden: tuple[int, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Return the shapes of the weights by layer, (outputs, inputs); the embedding's is (words, outputs)."""
        found = {"embedding": (self.vocabulary, self.embedding)}
        for number, (inputs, units) in enumerate(pairwise((self.embedding, *self.hidden)), 1):
            found[f"lstm{number}.input"] = (GATES * units, inputs)
            found[f"lstm{number}"] = (GATES * units, units)
        return {**found, "decoder": (self.vocabulary, self.hidden[-1])}

    @property
    def multiply_adds(self) -> int:
        """Return multiply-adds per word: one per weight and bias but the embedding's (arXiv 1709.05027, table 1)."""
        weights = sum(rows * columns for name, (rows, columns) in self.shapes.items() if name != "embedding")
        return weights + GATES * sum(self.hidden) + self.vocabulary

    @property
    def weights(self) -> int:
        """Return the number of all weights and biases."""
        return self.vocabulary * self.embedding + self.multiply_adds


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The parameters of a training.

    The loss is in nats, summed over the ``steps`` of a window and averaged over the ``batch``, as in the published
    code; a learning rate of 1 is not large for such a sum.  The rate is ``rate`` in the first ``steady`` epochs and is
    divided by ``decay`` after each later one.  ``keep`` is the share of activations that dropout keeps, ``clip`` the
    largest norm of the gradient.
    """

    epochs: int
    steady: float
    decay: float
    rate: float = 1.0
    keep: float = 0.6
    clip: float = 10.0
    batch: int = 20
    steps: int = 35

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.rate * math.pow(self.decay, min(self.steady - 1 - epoch, 0.0))


class Recurrent(nn.Module):
    """An LSTM without peepholes and with one bias."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, GATES * hidden)
        self.weight = nn.Parameter(torch.empty(GATES * hidden, hidden))

    def forward(self, values: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the outputs (steps, batch, hidden) for inputs (steps, batch, inputs), and the state after them."""
        bias = self.input.bias
        weights = [self.input.weight, self.weight, bias, torch.zeros_like(bias)]
        outputs, hidden, cell = torch.lstm(values, state, weights, True, 1, 0.0, self.training, False, False)
        return outputs, (hidden, cell)


class LanguageModel(nn.Module):
    """Embedding, LSTMs and decoder, with dropout on non-recurrent values; weights start uniform in +-``spread``."""

    def __init__(self, sizes: ModelSizes, keep: float = 1.0, spread: float = 0.1) -> None:
        super().__init__()
        self.sizes, self.keep = sizes, keep
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.embedding)
        inputs = sizes.embedding
        for number, hidden in enumerate(sizes.hidden, 1):
            setattr(self, f"lstm{number}", Recurrent(inputs, hidden))
            inputs = hidden
        self.decoder = nn.Linear(inputs, sizes.vocabulary)
        self.dropout = nn.Dropout(1 - keep)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -spread, spread)

    @property
    def layers(self) -> list[Recurrent]:
        """Return the LSTMs in order."""
        return [getattr(self, f"lstm{number}") for number, _ in enumerate(self.sizes.hidden, 1)]

    def state(self, batch: int) -> HiddenState:
        """Return the state at the start of a text: zeros."""
        return [(torch.zeros(1, batch, units), torch.zeros(1, batch, units)) for units in self.sizes.hidden]

    def forward(self, tokens: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """Return the scores (steps, batch, vocabulary) of the words after ``tokens`` (steps, batch), and the state."""
        values = self.dropout(self.embedding(tokens))
        after: HiddenState = []
        for layer, before in zip(self.layers, state, strict=True):
            values, now = layer(values, before)
            values = self.dropout(values)
            after.append(now)
        return self.decoder(values), after


def perplexity(model: LanguageModel, tokens: Tokens) -> float:
    """Return the perplexity of a text, which the model reads once from start to end."""
    model.eval()
    state = model.state(1)
    nats, count = 0.0, 0
    with torch.no_grad():
        for inputs, targets in windows(tokens, 1, READING_STEPS):
            scores, state = model(torch.from_numpy(inputs), state)
            nats += float(loss(scores, torch.from_numpy(targets))) * targets.shape[1]
            count += targets.size
    return math.exp(nats / count)


def loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the cross entropy in nats, summed over the steps and averaged over the batch."""
    return functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum") / targets.shape[1]


def run_epochs(
    model: LanguageModel,
    tokens: Tokens,
    recipe: Recipe,
    *,
    penalty: Callable[[], Tensor] | None = None,
    after: Callable[[], None] | None = None,
    report: Callable[[float], None] | None = None,
) -> Iterator[float]:
    """Train on a text, and yield after every epoch its loss in nats per word, without the penalty.

    ``penalty`` is added to the loss of every step, ``after`` is called after every step, and ``report`` with the
    completed share of the epoch.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.rate)
    for epoch in range(recipe.epochs):
        optimizer.param_groups[0]["lr"] = recipe.rate_at(epoch)
        model.train()
        state = model.state(recipe.batch)
        nats, count = 0.0, 0
        for inputs, targets in windows(tokens, recipe.batch, recipe.steps):
            optimizer.zero_grad()
            carried = [(hidden.detach(), cell.detach()) for hidden, cell in state]
            scores, state = model(torch.from_numpy(inputs), carried)
            total = loss(scores, torch.from_numpy(targets))
            nats, count = nats + total.item() * recipe.batch, count + targets.size
            if penalty is not None:
                total = total + penalty()
            total.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            if after is not None:
                after()
            if report is not None:
                report(count / len(tokens))
        yield nats / count
