"""Train without pruning: the reference for the other methods, whose only zeros are those of ReLUs and images."""

from __future__ import annotations

from wavecore.methods.base import Recorder, Scores, Settings, Trained
from wavecore.methods.digits import digits
from wavecore.methods.loop import TrainingStage, evaluate, run_stage
from wavecore.methods.networks import network
from wavecore.methods.outcome import outcome

LEARNING_RATE = 1e-3


def train(settings: Settings, recorder: Recorder) -> Trained:
    """Train a network with Adam; there is nothing to fine-tune."""
    split = digits(settings.samples)
    net = network(settings.network)
    recorder.plan(settings.epochs)
    run_stage(net, split, TrainingStage(name="dense", epochs=settings.epochs, learning_rate=LEARNING_RATE), recorder)
    evaluation = evaluate(net, split.test)
    scores = Scores(
        dense=evaluation.accuracy, trained=evaluation.accuracy, pruned=evaluation.accuracy, final=evaluation.accuracy
    )
    return outcome(net, settings, split, evaluation, scores, {"learning_rate": LEARNING_RATE})
