"""Intrinsic sparse structures (arXiv 1709.05027): remove whole units of LSTMs during training.

Two networks start from the same weights.  One is trained without a penalty, the other with loss + strength * group
lasso, where weights below a threshold are set to zero after every step.  Units whose group is zero are removed, which
does not change what the network computes, and the smaller network is trained on without the penalty.  Dropout, gradient
clipping, threshold, learning rate and the form of its schedule are the paper's; `strength` scales the penalty's weight.
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
from wavecore.methods.unitgroups import group_lasso, kept_units, select_units, zero_small
from wavecore.sparsity.profile import LayerSparsity, Profile

if TYPE_CHECKING:
    from wavecore.sparsity.arrays import Array

VOCABULARY, EMBEDDING, HIDDEN = 2000, 200, (200, 200)

BATCH, STEPS = 10, 20
"""The paper has 20 and 35, with which an epoch of this corpus would have 69 steps instead of 242."""

EPOCHS, STEADY, DECAY = 55, 14, 1.15
"""The paper's schedule: 55 epochs, the first 14 at a learning rate of 1, which is then divided by 1.15 per epoch."""

PUBLISHED, PUBLISHED_STEPS, PUBLISHED_WORDS = 0.00245, 35, 929_589
"""The paper's strength for the Penn Treebank, with its steps per window and its number of training words."""

THRESHOLD = 1e-4


@dataclass(frozen=True, slots=True)
class IssSetup:
    """The corpus, the sizes and the recorder, which both networks of a training use."""

    corpus: Corpus
    sizes: ModelSizes
    recorder: Recorder


def train(settings: Settings, recorder: Recorder) -> Trained:
    """Train without and with the penalty, remove units, fine-tune; `InputError` if a layer has no units left."""
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
    small = without_zero_groups(model)
    pruned = perplexity(small, corpus.test)
    last = recipe.rate_at(recipe.epochs - 1)  # fine-tuning continues at the last rate
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
    """Return the corpus; `InputError` for fewer words than one window of every stream needs."""
    fewest = BATCH * STEPS + 1
    if settings.samples is not None and settings.samples < fewest:
        raise InputError("--samples", f"{settings.samples} words are too few to train on", f"{fewest} or more")
    return read_corpus(VOCABULARY, settings.samples)


def strength(words: int) -> float:
    """Return the weight of the penalty for a text of ``words`` words, scaled from the published one.

    The loss of a step is a sum over the steps of its window, so the weight is proportional to these.  It is also
    proportional to 1 / sqrt(words), like the noise of a mean over words: the rate in the theory of the lasso (Bickel,
    Ritov and Tsybakov, arXiv 0801.1095).
    """
    return PUBLISHED * STEPS / PUBLISHED_STEPS * math.sqrt(PUBLISHED_WORDS / words)


def recipe_of(epochs: int) -> Recipe:
    """Return the paper's schedule, scaled to ``epochs``."""
    share = epochs / EPOCHS
    return Recipe(epochs=epochs, steady=STEADY * share, decay=DECAY ** (1 / share), batch=BATCH, steps=STEPS)


def run_stage(task: IssSetup, name: str, model: LanguageModel, recipe: Recipe, weight: float = 0.0) -> None:
    """Train for one stage and record every epoch; the perplexity on the test set is recorded but chooses nothing."""
    tensors = dict(model.named_parameters())
    losses = run_epochs(
        model,
        task.corpus.train,
        recipe,
        penalty=(lambda: weight * group_lasso(tensors)) if weight else None,
        after=(lambda: zero_small(tensors, THRESHOLD)) if weight else None,
        report=task.recorder.within,
    )
    task.recorder.begin(name)
    for epoch, loss in enumerate(losses, 1):
        check_loss(name, epoch, loss)
        kept = share_kept(layers_kept(model, task.sizes))
        score = perplexity(model, task.corpus.test)
        task.recorder.row(EpochRow(stage=name, epoch=epoch, loss=loss, score=score, weights_kept=kept))


def without_zero_groups(model: LanguageModel) -> LanguageModel:
    """Return the model without the units whose group is zero; `InputError` if a layer has no units left."""
    tensors = model.state_dict()
    kept = kept_units(tensors)
    made = LanguageModel(replace(model.sizes, hidden=tuple(map(len, kept))), model.keep)
    made.load_state_dict(select_units(tensors, kept))
    return made


def layers_kept(model: LanguageModel, sizes: ModelSizes) -> tuple[LayerKept, ...]:
    """Return how much of every layer is kept, compared with a network of ``sizes``."""
    found = []
    for name, (rows, columns) in sizes.shapes.items():
        nonzero = model.get_parameter(f"{name}.weight").detach() != 0
        outputs, inputs = (int(nonzero.any(axis).sum()) for axis in (1, 0))
        weights = int(nonzero.sum()), rows * columns
        found.append(LayerKept(name=name, weights=weights, outputs=(outputs, rows), inputs=(inputs, columns)))
    return tuple(found)


def profile_of(model: LanguageModel, settings: Settings, corpus: Corpus, sizes: ModelSizes) -> Profile:
    """Return the profile of a model: the units left of a network of ``sizes``, and the densities of their weights."""
    layers = {}
    units = {f"lstm{number}": count for number, count in enumerate(model.sizes.hidden, 1)}
    for name in sizes.shapes:
        nonzero = model.get_parameter(f"{name}.weight").detach() != 0
        density = float(nonzero.double().mean())
        entry = LayerSparsity(hidden=units.get(name), weight_density=density if density < 1 else None)
        if entry != LayerSparsity():
            layers[name] = entry
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
    """Describe the corpus, for the profile and the summary."""
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
    """Return the result of a training; ``own`` are the method's parameters."""
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
