"""DeepHoyer (arXiv 1908.09979): scale-invariant regularizers on single weights or on groups of weights.

After a dense training, the network is trained with loss + decay * sum over layers of the regularizer.  Weights below s
times the standard deviation of their tensor are set to zero, and the others are fine-tuned.  Decays, s, learning rates
and batch are those of the authors' MNIST scripts (github.com/yanghr/DeepHoyer), which take 150,000 regularized steps at
a constant rate.  Two things differ here.  There are far fewer steps, and the rate falls to zero along a cosine, since
at 1e-3 Adam moves a weight that should be zero by more than the threshold.  And s for groups of lenet300 is 0.03, as
for single weights, instead of 0.8, which after so few steps removes weights that the network needs (17 % accuracy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from wavecore.methods.base import Recorder, Scores, Settings, Trained
from wavecore.methods.digits import digits
from wavecore.methods.groups import masks_of, remove_dead, structure
from wavecore.methods.loop import BATCH, TrainingStage, evaluate, run_stage
from wavecore.methods.networks import Net, network
from wavecore.methods.outcome import outcome
from wavecore.methods.regularizers import group_hoyer_square, hoyer_square

LEARNING_RATE = 1e-3
FINETUNE_RATE = 1e-4
DENSE_PART = 4  # the dense training has a quarter of the epochs of the regularized one


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """The weight ``decay`` of the regularizer, and ``threshold`` s, in standard deviations, of the pruning.

    ``weight_decay`` limits the magnitude of weights, on which the scale-invariant regularizer has no effect.
    """

    decay: float
    threshold: float
    weight_decay: float = 0.0


STRENGTHS: Mapping[tuple[str, str], Strength] = {
    ("hoyer-square", "lenet300"): Strength(decay=2e-4, threshold=0.03),
    ("hoyer-square", "lenet5"): Strength(decay=1e-4, threshold=0.03),
    ("group-hs", "lenet300"): Strength(decay=2e-3, threshold=0.03, weight_decay=1e-4),
    ("group-hs", "lenet5"): Strength(decay=1e-1, threshold=0.008, weight_decay=1e-4),
}
REGULARIZERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "hoyer-square": hoyer_square,
    "group-hs": group_hoyer_square,
}


def train(settings: Settings, recorder: Recorder) -> Trained:
    """Train without and with the regularizer, prune, fine-tune; `InputError` if all weights of a layer are zero."""
    strength = STRENGTHS[settings.method, settings.network]
    regularizer = REGULARIZERS[settings.method]
    split = digits(settings.samples)
    net = network(settings.network)
    dense_epochs = -(-settings.epochs // DENSE_PART)
    recorder.plan(dense_epochs + settings.epochs + settings.finetune_epochs)

    def penalty(net: Net) -> Tensor:
        return strength.decay * torch.stack([regularizer(net.weight(layer)) for layer in net.weighted]).sum()

    def score() -> float:
        return evaluate(net, split.test).accuracy

    run_stage(net, split, TrainingStage(name="dense", epochs=dense_epochs, learning_rate=LEARNING_RATE), recorder)
    dense = score()
    stage = TrainingStage(
        name="regularized",
        epochs=settings.epochs,
        learning_rate=LEARNING_RATE,
        penalty=penalty,
        settle=True,
        weight_decay=strength.weight_decay,
    )
    run_stage(net, split, stage, recorder)
    trained = score()
    prune(net, strength.threshold)
    if settings.method == "group-hs":
        remove_dead(net)
    pruned = score()
    stage = TrainingStage(name="fine-tuning", epochs=settings.finetune_epochs, learning_rate=FINETUNE_RATE)
    run_stage(net, split, stage, recorder, masks_of(net))
    evaluation = evaluate(net, split.test)
    return outcome(
        net,
        settings,
        split,
        evaluation,
        Scores(dense=dense, trained=trained, pruned=pruned, final=evaluation.accuracy),
        {
            **asdict(strength),
            "dense_epochs": dense_epochs,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "finetune_learning_rate": FINETUNE_RATE,
        },
        structure(net) if settings.method == "group-hs" else None,
    )


def prune(net: Net, threshold: float) -> None:
    """Set weights to zero whose magnitude is below ``threshold`` times the standard deviation of their layer's."""
    with torch.no_grad():
        for layer in net.weighted:
            weights = net.weight(layer)
            weights[weights.abs() < threshold * weights.std(correction=0)] = 0
