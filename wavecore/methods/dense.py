"""Training and nothing else: what the methods are compared with, and the zeros that ReLUs make by themselves."""

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
    seen = evaluate(net, split.test)
    scores = Scores(dense=seen.accuracy, trained=seen.accuracy, pruned=seen.accuracy, final=seen.accuracy)
    return outcome(net, settings, split, seen, scores, {"learning_rate": LEARNING_RATE})
