"""``wavecore train``: train a network and prune it by a published method."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.inputs import whole_number
from wavecore.cli.messages import say
from wavecore.cli.options import Json, grouped
from wavecore.cli.progress import progress
from wavecore.cli.tables import facts, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wavecore.methods.base import LayerKept, Method, Settings, Trained

LARGEST_SEED = (1 << 32) - 1
MOST_SAMPLES = 1 << 24

MethodName = Annotated[
    str, typer.Argument(metavar="METHOD", help="A method of wavecore list methods.", show_default=False)
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network", metavar="NAME", help="Network to train.  [default: the method's first]", show_default=False
    ),
]
Epochs = Annotated[
    str | None,
    typer.Option(
        "--epochs",
        metavar="N",
        help="Epochs of training by the method, after a shorter dense training.  [default: the method's]",
        show_default=False,
    ),
]
Finetune = Annotated[
    str | None,
    typer.Option(
        "--finetune-epochs",
        metavar="N",
        help="Epochs of fine-tuning after the pruning.  [default: the method's]",
        show_default=False,
    ),
]
Seed = Annotated[str, typer.Option("--seed", metavar="N", help="Seed of initial weights and of the order of samples.")]
Samples = Annotated[
    str | None,
    typer.Option("--samples", metavar="N", help="Number of training samples.  [default: all]", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="DIR",
        help="Folder for all results, or DIR-2, ... if DIR holds a training.  [default: METHOD-NETWORK]",
        show_default=False,
    ),
]
Replace = Annotated[bool, typer.Option("--force", help="Replace the training that DIR holds.")]


@grouped
def train(
    method: MethodName,
    network: NetworkOption = None,
    epochs: Epochs = None,
    finetune_epochs: Finetune = None,
    seed: Seed = "0",
    samples: Samples = None,
    out: OutOption = None,
    force: Replace = False,
    json: Json = False,
) -> None:
    """Train a small network, prune it by a published method, fine-tune it; write checkpoint and profile."""
    from wavecore.common.files import staged_folder
    from wavecore.methods import registry
    from wavecore.methods.base import Recorder
    from wavecore.methods.folder import FILES, PROFILE, summary_of, write_training
    from wavecore.results.folder import json_text

    found = registry.find_method(method)
    settings = registry.settings_of(
        found,
        network=network,
        epochs=_number("--epochs", epochs, 1, registry.MOST_EPOCHS),
        finetune_epochs=_number("--finetune-epochs", finetune_epochs, 0, registry.MOST_EPOCHS),
        seed=whole_number("--seed", seed, 0, LARGEST_SEED),
        samples=_number("--samples", samples, 1, MOST_SAMPLES),
    )
    registry.require(found)
    asked = out or Path(f"{settings.method}-{settings.network}")
    started = time.monotonic()
    with staged_folder(asked, FILES, replace=force) as (staging, publish):
        with progress() as shown:
            title = f"{settings.method} {settings.network}"
            share = shown.step(title)
            recorder = Recorder(share=share, rename=lambda stage: shown.rename(f"{title}: {stage}"))
            trained = registry.train(settings, recorder)
        summary = summary_of(found, settings, trained, time.monotonic() - started)
        write_training(staging, trained, recorder.rows, summary)
        folder = publish()
    moved = "" if folder.resolve() == asked.resolve() else f", since {asked} holds a training already"
    say(f"written to {folder}{moved}")
    if json:
        sys.stdout.write(json_text(summary))
    else:
        show(_tables(found, settings, trained, folder / PROFILE))


def _number(where: str, text: str | None, least: int, most: int) -> int | None:
    return None if text is None else whole_number(where, text, least, most)


def _tables(method: Method, settings: Settings, trained: Trained, profile: Path) -> Iterator[RenderableType]:
    scores = trained.scores
    rows = [(f"{method.metric}, dense", _score(method, scores.dense), "without the method")]
    if settings.method != "dense":
        rows += [
            ("before the pruning", _score(method, scores.trained), ""),
            ("after the pruning", _score(method, scores.pruned), ""),
            ("at the end", _score(method, scores.final), "fine-tuned"),
            ("weights kept", f"{100 * trained.weights_kept:.2f}%", f"1 of {1 / trained.weights_kept:.1f}"),
        ]
    if trained.activations_kept is not None:
        rows.append(("activations kept", f"{100 * trained.activations_kept:.1f}%", "of the hidden layers"))
    yield facts(f"{settings.network} by {method.name}", rows)
    columns = ["layer", "weights", "kept", "outputs", "inputs", "non-zero activations"]
    yield table("what is left", columns, map(_row, trained.layers), right=columns[1:])
    yield f"what it costs: wavecore run {settings.network} --sparsity {profile}"


def _row(each: LayerKept) -> list[str]:
    return [
        each.name,
        f"{each.weights[1]:,}",
        f"{100 * each.weights[0] / each.weights[1]:.2f}%",
        f"{each.outputs[0]} of {each.outputs[1]}",
        f"{each.inputs[0]} of {each.inputs[1]}",
        "" if each.activations is None else f"{100 * each.activations:.1f}%",
    ]


def _score(method: Method, score: float) -> str:
    return f"{100 * score:.2f}%" if method.metric == "accuracy" else f"{score:.1f}"
