"""JPnet (arXiv 1906.07875): prune weights and activations together.

Weights: the smallest, in units of their layer's standard deviation, are set to zero in `ROUNDS` rounds with training
after each, until the share `WEIGHTS_KEPT` is left.  Activations: behind each ReLU only the largest values of each
sample are kept (the winners), forward and backward, at one rate per layer.  That rate is the smallest of `RATES` that,
applied to this layer alone, costs at most `TOLERANCE` of accuracy on images held out of the training set.  Then weights
and activations are fine-tuned together.

The abstract states the savings but no schedule: the number of rounds, the rates and the tolerance are our choices.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from wavecore.methods.base import Recorder, Scores, Settings, Trained
from wavecore.methods.digits import Images, digits
from wavecore.methods.groups import masks_of
from wavecore.methods.loop import BATCH, TrainingStage, apply_masks, evaluate, run_stage
from wavecore.methods.networks import Net, hidden, network, set_rates
from wavecore.methods.outcome import outcome

WEIGHTS_KEPT = 0.1  # "10x fewer weights", the abstract
ROUNDS = 5
RATES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02)
TOLERANCE = 0.005
LEARNING_RATE = 1e-3
FINETUNE_RATE = 1e-4
DENSE_PART = 4  # the dense training has a quarter of the epochs of all rounds


def train(settings: Settings, recorder: Recorder) -> Trained:
    """Train densely, prune weights in rounds, choose winner rates, and fine-tune both."""
    split = digits(settings.samples, hold_out=True)
    net = network(settings.network)
    dense_epochs, round_epochs = -(-settings.epochs // DENSE_PART), -(-settings.epochs // ROUNDS)
    recorder.plan(dense_epochs + ROUNDS * round_epochs + settings.finetune_epochs)
    run_stage(net, split, TrainingStage(name="dense", epochs=dense_epochs, learning_rate=LEARNING_RATE), recorder)
    dense = evaluate(net, split.test).accuracy
    for index in range(1, ROUNDS + 1):
        masks = magnitude_masks(net, WEIGHTS_KEPT ** (index / ROUNDS))
        apply_masks(net, masks)
        stage = TrainingStage(name=f"weights {index} of {ROUNDS}", epochs=round_epochs, learning_rate=LEARNING_RATE)
        run_stage(net, split, stage, recorder, masks)
    trained = evaluate(net, split.test).accuracy
    sweep = sensitivity(net, split.held)
    rates = {layer: chosen_rate(tried) for layer, tried in sweep.items()}
    set_rates(net, rates)
    pruned = evaluate(net, split.test).accuracy
    stage = TrainingStage(name="joint", epochs=settings.finetune_epochs, learning_rate=FINETUNE_RATE)
    run_stage(net, split, stage, recorder, masks_of(net))
    evaluation = evaluate(net, split.test)
    scores = Scores(dense=dense, trained=trained, pruned=pruned, final=evaluation.accuracy)
    own = {
        "rounds": ROUNDS,
        "tolerance": TOLERANCE,
        "dense_epochs": dense_epochs,
        "round_epochs": round_epochs,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "finetune_learning_rate": FINETUNE_RATE,
    }
    details = {"winner_rates": rates, "sensitivity": {layer: _named(tried) for layer, tried in sweep.items()}}
    return outcome(net, settings, split, evaluation, scores, own, details=details)


def magnitude_masks(net: Net, kept: float) -> Mapping[str, Tensor]:
    """Return masks that keep the share ``kept`` of all weights: those of largest |w| / standard deviation of the layer.

    The standard deviation is that of the nonzero weights, so that zeros of earlier rounds do not change it.
    """
    scaled = {layer: _scaled(net.weight(layer).detach()) for layer in net.weighted}
    everything = torch.cat([each.flatten() for each in scaled.values()])
    count = max(1, round(kept * everything.numel()))
    edge = everything.sort(descending=True).values[count - 1]
    return {layer: ((each >= edge) & (each > 0)).to(each.dtype) for layer, each in scaled.items()}


def sensitivity(net: Net, held: Images) -> dict[str, dict[float, float]]:
    """Return the accuracy on ``held`` by layer and winner rate, with one layer's winners at a time.

    Rates fall until the first that loses more than `TOLERANCE`; rate 1 stands for the network without winners.
    """
    full = evaluate(net, held).accuracy
    found: dict[str, dict[float, float]] = {}
    for layer in hidden(net):
        found[layer] = {1.0: full}
        for rate in RATES:
            set_rates(net, {layer: rate})
            found[layer][rate] = evaluate(net, held).accuracy
            if found[layer][rate] < full - TOLERANCE:
                break
    set_rates(net, {})
    return found


def chosen_rate(tried: Mapping[float, float]) -> float:
    """Return the smallest rate whose accuracy is at least that of rate 1 less `TOLERANCE`."""
    return min(rate for rate, accuracy in tried.items() if accuracy >= tried[1.0] - TOLERANCE)


def _scaled(weights: Tensor) -> Tensor:
    """Return the magnitudes in units of the standard deviation of the nonzero weights."""
    return weights.abs() / weights[weights != 0].std(correction=0).clamp_min(torch.finfo(weights.dtype).tiny)


def _named(tried: Mapping[float, float]) -> dict[str, float]:
    return {str(rate): accuracy for rate, accuracy in tried.items()}
