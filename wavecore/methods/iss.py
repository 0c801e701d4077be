"""Intrinsic sparse structures (arXiv 1709.05027): LSTMs that lose whole units while they learn.

Two networks start from the same weights.  One is trained as it is; the other with loss + strength * group lasso, where
weights below a threshold become zero behind every step.  Units whose group is zero are taken out, which changes nothing
of what the network computes, and what is left is trained on without the penalty.  Dropout, clip, threshold, learning
rate and the shape of its schedule are the paper's; `strength` says how the penalty's weight is scaled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from wavecore.errors import InputError
from wavecore.methods.base import (
    EpochRow,
    LayerKept,
    Recorder,
    Scores,
    Settings,
    Trained,
    check_loss,
    command_of,
    share_kept,
)
from wavecore.methods.corpus import Corpus, read_corpus
from wavecore.methods.language import LanguageModel, ModelSizes, Recipe, perplexity, run_epochs
from wavecore.methods.unitgroups import group_lasso, kept_units, slim, zero_small
from wavecore.sparsity.profile import LayerSparsity, Profile

if TYPE_CHECKING:
    from wavecore.sparsity.arrays import Array

VOCABULARY, EMBEDDING, HIDDEN = 2000, 200, (200, 200)

BATCH, STEPS = 10, 20
"""The paper's are 20 and 35, with which an epoch of this corpus would have 69 steps, and not 242."""

EPOCHS, STEADY, DECAY = 55, 14, 1.15
"""Of the paper's epochs the first 14 have a learning rate of 1; it falls by 1.15 with each one after."""

PUBLISHED, PUBLISHED_STEPS, PUBLISHED_WORDS = 0.00245, 35, 929_589
"""Strength, steps of a window and words to train on with the Penn Treebank."""

THRESHOLD = 1e-4


@dataclass(frozen=True, slots=True)
class IssSetup:
    """What both networks of a training share."""

    corpus: Corpus
    sizes: ModelSizes
    recorder: Recorder


def train(settings: Settings, recorder: Recorder) -> Trained:
    """Train densely and with the penalty, take units out, fine-tune; `InputError` if a layer has none left."""
    corpus = corpus_of(settings)
    sizes = ModelSizes(vocabulary=len(corpus.vocabulary), embedding=EMBEDDING, hidden=HIDDEN)
    task = IssSetup(corpus, sizes, recorder)
    recipe = recipe_of(settings.epochs)
    recorder.plan(2 * settings.epochs + settings.finetune_epochs)
    dense = LanguageModel(sizes, recipe.keep)
    model = deepcopy(dense)
    run_stage(task, "dense", dense, recipe)
    weight = strength(len(corpus.train))
    run_stage(task, "regularized", model, recipe, weight)
    small = slimmed(model)
    pruned = perplexity(small, corpus.test)
    last = recipe.rate_at(recipe.epochs - 1)  # where the schedule has ended, it goes on
    finetune = replace(recipe, epochs=settings.finetune_epochs, steady=settings.finetune_epochs, rate=last)
    run_stage(task, "fine-tuning", small, finetune)
    scores = Scores(
        dense=perplexity(dense, corpus.test),
        trained=perplexity(model, corpus.test),
        pruned=pruned,
        final=perplexity(small, corpus.test),
    )
    own = {**asdict(recipe), "strength": weight, "threshold": THRESHOLD, "finetune_rate": last}
    validation = {"dense": perplexity(dense, corpus.valid), "final": perplexity(small, corpus.valid)}
    return outcome(task, settings, small, scores, own, validation)


def corpus_of(settings: Settings) -> Corpus:
    """What is trained on; `InputError` if that is less than a window of every stream."""
    least = BATCH * STEPS + 1
    if settings.samples is not None and settings.samples < least:
        raise InputError("--samples", f"{settings.samples} words are too few to train on", f"{least} or more")
    return read_corpus(VOCABULARY, settings.samples)


def strength(words: int) -> float:
    """The weight of the penalty for a text of so many words: the published one, scaled to it.

    The loss of a step is a sum over its window, so the penalty goes with the steps of one.  Against a mean over words
    it goes with 1 / sqrt(words), like the noise of the mean: the rate of the lasso's theory (Bickel, Ritov and
    Tsybakov, arXiv 0801.1095).
    """
    return PUBLISHED * STEPS / PUBLISHED_STEPS * math.sqrt(PUBLISHED_WORDS / words)


def recipe_of(epochs: int) -> Recipe:
    """The paper's schedule, stretched over so many epochs."""
    share = epochs / EPOCHS
    return Recipe(epochs=epochs, steady=STEADY * share, decay=DECAY ** (1 / share), batch=BATCH, steps=STEPS)


def run_stage(task: IssSetup, name: str, model: LanguageModel, recipe: Recipe, weight: float = 0.0) -> None:
    """Train for a stage; log every epoch with the perplexity of the test, by which nothing is chosen."""
    tensors = dict(model.named_parameters())
    losses = run_epochs(
        model,
        task.corpus.train,
        recipe,
        penalty=(lambda: weight * group_lasso(tensors)) if weight else None,
        after=(lambda: zero_small(tensors, THRESHOLD)) if weight else None,
        told=task.recorder.within,
    )
    task.recorder.begin(name)
    for epoch, loss in enumerate(losses, 1):
        check_loss(name, epoch, loss)
        kept = share_kept(layers_kept(model, task.sizes))
        score = perplexity(model, task.corpus.test)
        task.recorder.row(EpochRow(stage=name, epoch=epoch, loss=loss, score=score, weights_kept=kept))


def slimmed(model: LanguageModel) -> LanguageModel:
    """The model without the units whose group is zero."""
    tensors = model.state_dict()
    kept = kept_units(tensors)
    made = LanguageModel(replace(model.sizes, hidden=tuple(map(len, kept))), model.keep)
    made.load_state_dict(slim(tensors, kept))
    return made


def layers_kept(model: LanguageModel, sizes: ModelSizes) -> tuple[LayerKept, ...]:
    """What is left of every layer of a network that had such ``sizes``."""
    found = []
    for name, (rows, columns) in sizes.shapes.items():
        nonzero = model.get_parameter(f"{name}.weight").detach() != 0
        outputs, inputs = (int(nonzero.any(axis).sum()) for axis in (1, 0))
        weights = int(nonzero.sum()), rows * columns
        found.append(LayerKept(name=name, weights=weights, outputs=(outputs, rows), inputs=(inputs, columns)))
    return tuple(found)


def profile_of(model: LanguageModel, settings: Settings, corpus: Corpus, sizes: ModelSizes) -> Profile:
    """The units that are left of a network that had such ``sizes``, and the zeros among their weights."""
    layers = {}
    units = {f"lstm{number}": count for number, count in enumerate(model.sizes.hidden, 1)}
    for name in sizes.shapes:
        nonzero = model.get_parameter(f"{name}.weight").detach() != 0
        density = float(nonzero.double().mean())
        said = LayerSparsity(hidden=units.get(name), weight_density=density if density < 1 else None)
        if said != LayerSparsity():
            layers[name] = said
    return Profile(
        name=settings.method,
        source=f"{command_of(settings)}, on {described(corpus)}",
        workload=settings.network,
        options={
            "vocabulary": sizes.vocabulary,
            "embedding": sizes.embedding,
            "hidden": sizes.hidden[0],
            "layers": len(sizes.hidden),
            "steps": STEPS,
        },
        layers=layers,
    )


def described(corpus: Corpus) -> str:
    """What was used of the corpus."""
    return (
        f"the news stories in gensim's test data ({len(corpus.train)} words to train, {len(corpus.valid)} to validate, "
        f"{len(corpus.test)} to test, vocabulary {len(corpus.vocabulary)})"
    )


def outcome(
    task: IssSetup,
    settings: Settings,
    model: LanguageModel,
    scores: Scores,
    own: Mapping[str, object],
    validation: Mapping[str, float],
) -> Trained:
    """Describe the network behind its training; ``own`` are the method's numbers."""
    tensors: dict[str, Array] = {name: values.numpy().copy() for name, values in model.state_dict().items()}
    return Trained(
        scores=scores,
        tensors=tensors,
        profile=profile_of(model, settings, task.corpus, task.sizes),
        layers=layers_kept(model, task.sizes),
        data=described(task.corpus),
        settings=own,
        details={
            "units": list(model.sizes.hidden),
            "validation_perplexity": dict(validation),
            "multiply_adds": [task.sizes.multiply_adds, model.sizes.multiply_adds],
            "weights_and_biases": [task.sizes.weights, model.sizes.weights],
        },
    )
