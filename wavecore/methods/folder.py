"""Write a training's folder: ``checkpoint.npz``, ``profile.toml`` with its masks, ``log.csv``, then ``summary.json``.

The checkpoint is PyTorch's state dict as an ``.npz``: numpy writes it, ``wavecore profile`` reads it without PyTorch,
and ``wavecore profile --data`` can measure activations with it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from wavecore.common.files import write_file
from wavecore.methods.base import EpochRow, Method, Settings, Trained
from wavecore.results.folder import json_text
from wavecore.sparsity.arrays import write_npz
from wavecore.sparsity.profile_file import save_profile

SCHEMA = "wavecore.training/1"
CHECKPOINT, PROFILE, LOG, SUMMARY = "checkpoint.npz", "profile.toml", "log.csv", "summary.json"
FILES = (CHECKPOINT, "profile.masks.npz", PROFILE, LOG, SUMMARY)


def write_training(folder: Path, trained: Trained, rows: list[EpochRow], summary: Mapping[str, object]) -> None:
    """Write the files of a training into an empty folder."""
    write_npz(folder / CHECKPOINT, trained.tensors)
    save_profile(trained.profile, folder / PROFILE)
    write_file(folder / LOG, log_csv(rows, str(summary["metric"])))
    write_file(folder / SUMMARY, json_text(summary))


def log_csv(rows: list[EpochRow], metric: str) -> str:
    """Return the log as CSV with one row per epoch; the column of the score is named ``metric``'s value."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("stage", "epoch", "loss", metric, "weights_kept", "activations_kept"))
    for row in rows:
        numbers = (row.loss, row.score, row.weights_kept, row.activations_kept)
        writer.writerow((row.stage, row.epoch, *("" if each is None else f"{each:.6g}" for each in numbers)))
    return text.getvalue()


def summary_of(method: Method, settings: Settings, trained: Trained, seconds: float) -> dict[str, object]:
    """Return the summary of a training; shares and accuracies are 0 to 1, perplexities are per word."""
    return {
        "schema": SCHEMA,
        **asdict(settings),
        "source": method.source,
        "metric": method.metric,
        "scores": asdict(trained.scores),
        "weights_kept": trained.weights_kept,
        "activations_kept": trained.activations_kept,
        "layers": [asdict(each) for each in trained.layers],
        "data": trained.data,
        "settings": dict(trained.settings),
        "details": dict(trained.details),
        "versions": {package: version(package) for package in ("wavecore", "numpy", *method.packages)},
        "seconds": round(seconds, 1),
    }
