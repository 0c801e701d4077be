"""The training loop: epochs of Adam on cross-entropy plus a penalty, with masks that keep pruned weights zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor
from torch.nn import functional

from wavecore.methods.base import EpochRow, Recorder, check_loss
from wavecore.methods.digits import Images, Split
from wavecore.methods.networks import Net, hidden

BATCH = 100
_REPORTS_PER_EPOCH = 10  # progress reports

WeightMasks = Mapping[str, Tensor]
"""For each layer a tensor in the shape of its weights: 1 for trained weights, 0 for those that stay zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStage:
    """A number of epochs of Adam at a learning rate, which falls to zero along a cosine if ``settle`` is set.

    ``penalty`` is added to the loss of every step, and ``weight_decay`` times a parameter to its gradient.
    """

    name: str
    epochs: int
    learning_rate: float
    penalty: Callable[[Net], Tensor] | None = None
    settle: bool = False
    weight_decay: float = 0.0

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.learning_rate * (0.5 + 0.5 * cos(pi * (epoch - 1) / self.epochs) if self.settle else 1.0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of a network on images: accuracy, 0 to 1, and shares of nonzero values.

    ``densities`` has the share behind each ReLU, by the name of the layer before it, and of each max-pooling.
    ``hidden`` is the share over all values behind ReLUs.
    """

    accuracy: float
    densities: Mapping[str, float]
    hidden: float


def run_stage(
    net: Net, split: Split, stage: TrainingStage, recorder: Recorder, masks: WeightMasks | None = None
) -> None:
    """Train for one stage and record every epoch; the accuracy on the test set is recorded but chooses nothing."""
    recorder.begin(stage.name)
    optimizer = torch.optim.Adam(net.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    for epoch in range(1, stage.epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(epoch)
        loss = _epoch(net, split.train, stage, optimizer, masks, recorder)
        check_loss(stage.name, epoch, loss)
        evaluation = evaluate(net, split.test)
        recorder.row(
            EpochRow(
                stage=stage.name,
                epoch=epoch,
                loss=loss,
                score=evaluation.accuracy,
                weights_kept=weights_kept(net),
                activations_kept=evaluation.hidden,
            )
        )


def _epoch(
    net: Net,
    data: Images,
    stage: TrainingStage,
    optimizer: torch.optim.Optimizer,
    masks: WeightMasks | None,
    recorder: Recorder,
) -> float:
    """Train on the data once in a random order, and return the mean loss per step."""
    net.train()
    batches = torch.split(torch.randperm(len(data)), BATCH)
    total = 0.0
    for index, rows in enumerate(batches):
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(data.images[rows]), data.labels[rows])
        if stage.penalty is not None:
            loss = loss + stage.penalty(net)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if masks is not None:
            apply_masks(net, masks)
        total += loss.item()
        if index * _REPORTS_PER_EPOCH % len(batches) < _REPORTS_PER_EPOCH:
            recorder.within(index / len(batches))
    return total / len(batches)


def evaluate(net: Net, data: Images) -> Evaluation:
    """Run the network on images, without training, and measure it."""
    net.eval()
    owners = {layer.name: layer.inputs[0] if layer.kind.kind == "relu" else layer.name for layer in net.steps}
    counts: dict[str, int] = {}
    correct = 0
    with torch.inference_mode():
        for images, labels in zip(torch.split(data.images, BATCH), torch.split(data.labels, BATCH), strict=True):
            values = net.values(images)
            correct += int((values[net.steps[-1].name].argmax(1) == labels).sum())
            for layer in net.steps:
                if layer.kind.kind in ("relu", "max_pool"):
                    owner = owners[layer.name]
                    counts[owner] = counts.get(owner, 0) + int(torch.count_nonzero(values[layer.name]))
    sizes = {name: net.graph.by_name[name].shape.elements for name in counts}
    before_relus = hidden(net)
    return Evaluation(
        accuracy=correct / len(data),
        densities={name: count / (len(data) * sizes[name]) for name, count in counts.items()},
        hidden=sum(counts[name] for name in before_relus) / (len(data) * sum(sizes[name] for name in before_relus)),
    )


def apply_masks(net: Net, masks: WeightMasks) -> None:
    """Set the weights to zero where a mask is 0."""
    with torch.no_grad():
        for layer, mask in masks.items():
            net.weight(layer).mul_(mask)


def weights_kept(net: Net) -> float:
    """Return the share of nonzero weights, without biases."""
    weights = [net.weight(layer) for layer in net.weighted]
    return sum(int(torch.count_nonzero(each)) for each in weights) / sum(each.numel() for each in weights)
