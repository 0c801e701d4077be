"""The table of methods by name; reading it, as ``wavecore list methods`` does, does not import PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wavecore.errors import InputError, unknown_name
from wavecore.methods.base import Budget, Method, Settings

if TYPE_CHECKING:
    from wavecore.methods.base import Recorder, Trained

MOST_EPOCHS = 100_000
_DEEPHOYER = "DeepHoyer, arXiv 1908.09979"
_LENETS = {"lenet5": Budget(epochs=30, finetune_epochs=10), "lenet300": Budget(epochs=200, finetune_epochs=50)}
_INSTALL = 'pip install "wavecore[torch]"'

METHODS: Mapping[str, Method] = {
    each.name: each
    for each in (
        Method(
            name="dense",
            summary="no pruning: the reference, with only the zeros of ReLUs",
            source="PyTorch's initialization, Adam",
            module="wavecore.methods.dense",
            networks={
                "lenet5": Budget(epochs=20, finetune_epochs=0),
                "lenet300": Budget(epochs=100, finetune_epochs=0),
            },
        ),
        Method(
            name="hoyer-square",
            summary="DeepHoyer on single weights",
            source=_DEEPHOYER,
            module="wavecore.methods.deephoyer",
            networks=_LENETS,
        ),
        Method(
            name="group-hs",
            summary="DeepHoyer on rows and columns of weights",
            source=_DEEPHOYER,
            module="wavecore.methods.deephoyer",
            networks=_LENETS,
        ),
        Method(
            name="jpnet",
            summary="weights by magnitude, activations by a winner rate per layer",
            source="JPnet, arXiv 1906.07875",
            module="wavecore.methods.jpnet",
            networks={**_LENETS, "lenet5": Budget(epochs=100, finetune_epochs=40)},
        ),
        Method(
            name="iss",
            summary="whole units of LSTMs, by a group lasso",
            source="ISS, arXiv 1709.05027",
            module="wavecore.methods.iss",
            networks={"lstm_ptb": Budget(epochs=30, finetune_epochs=3)},
            metric="perplexity",
            packages=("torch", "gensim"),
        ),
    )
}


def find_method(name: str) -> Method:
    """Return the method of that name; `NameLookupError`, with the most similar names, if there is none."""
    if name not in METHODS:
        raise unknown_name("train", "method", name, METHODS)
    return METHODS[name]


def settings_of(
    method: Method,
    *,
    network: str | None = None,
    epochs: int | None = None,
    finetune_epochs: int | None = None,
    seed: int = 0,
    samples: int | None = None,
) -> Settings:
    """Return the settings of a training; None takes the method's default.  `NameLookupError` for an unknown network."""
    chosen = next(iter(method.networks)) if network is None else network
    if chosen not in method.networks:
        raise unknown_name("--network", f"network that {method.name} trains", chosen, method.networks)
    budget = method.networks[chosen]
    if finetune_epochs and not budget.finetune_epochs:
        what = f"{method.name} prunes nothing, so there is nothing to fine-tune"
        raise InputError("--finetune-epochs", what, "more --epochs")
    return Settings(
        method=method.name,
        network=chosen,
        epochs=budget.epochs if epochs is None else epochs,
        finetune_epochs=budget.finetune_epochs if finetune_epochs is None else finetune_epochs,
        seed=seed,
        samples=samples,
    )


def require(method: Method) -> None:
    """Raise `InputError` if a package that the method needs is not installed."""
    missing = [package for package in method.packages if find_spec(package) is None]
    if missing:
        raise InputError(f"train {method.name}", f"{' and '.join(missing)} must be installed", _INSTALL)


def train(settings: Settings, recorder: Recorder) -> Trained:
    """Train a network by a method, on one thread and from a seed, so that the same machine makes the same profile.

    Raises `InputError` for settings that the method does not allow, or if a package is missing.
    """
    method = find_method(settings.method)
    require(method)
    from wavecore.methods.determinism import deterministic

    with deterministic(settings.seed):
        made: Trained = import_module(method.module).train(settings, recorder)
    return made
