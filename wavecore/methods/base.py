"""The interface of a pruning method: the input and the result of a training, for ``wavecore train``.

A method is one module with one function, and an entry in `wavecore.methods.registry.METHODS`::

    def train(settings: Settings, recorder: Recorder) -> Trained: ...

*Settings* are the network, the numbers of epochs, the seed and the amount of data.  The *recorder* receives one row of
the log per epoch and the progress within an epoch; a method prints and writes nothing.  *Trained* is the result:
scores, tensors by name (``conv1.weight``, with the workload's layer names), and the profile.  `wavecore.methods.folder`
writes it.  A method's module may import PyTorch at its top: it is imported when the method is used, after
`wavecore.methods.registry.require` has checked that the packages are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wavecore.errors import InvariantError
from wavecore.sparsity.profile import Profile

if TYPE_CHECKING:
    from wavecore.sparsity.arrays import Array

QualityMetric = Literal["accuracy", "perplexity"]
"""The metric of a score: accuracy is a share, 0 to 1; perplexity is e to the mean loss per word in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The epochs of the method itself (after a shorter dense training), and those of fine-tuning."""

    epochs: int
    finetune_epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method; ``module`` contains its function `train`, ``source`` names its publication.

    ``networks`` are the workloads that it can train, the default first.  ``packages`` must be installed.
    """

    name: str
    summary: str
    source: str
    module: str
    networks: Mapping[str, Budget]
    metric: QualityMetric = "accuracy"
    packages: tuple[str, ...] = ("torch", "mlxtend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one training; ``samples`` limits the training images or words, None means all."""

    method: str
    network: str
    epochs: int
    finetune_epochs: int
    seed: int = 0
    samples: int | None = None


def command_of(settings: Settings) -> str:
    """Return the command that repeats a training."""
    limit = "" if settings.samples is None else f" --samples {settings.samples}"
    return (
        f"wavecore train {settings.method} --network {settings.network} --epochs {settings.epochs} "
        f"--finetune-epochs {settings.finetune_epochs} --seed {settings.seed}{limit}"
    )


def check_loss(stage: str, epoch: int, loss: float) -> None:
    """Raise `InvariantError` for a loss that is infinite or not a number."""
    if not loss < float("inf"):
        raise InvariantError(f"train {stage}", f"the loss of epoch {epoch} is {loss}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """A row of the log after an epoch: training loss, test score, and shares of nonzero weights and activations."""

    stage: str
    epoch: int
    loss: float
    score: float
    weights_kept: float
    activations_kept: float | None = None


@dataclass(slots=True)
class Recorder:
    """Collects the rows of a log; calls ``share`` with the completed share of ``epochs``, ``rename`` with a stage."""

    share: Callable[[float], None] = lambda done: None
    rename: Callable[[str], None] = lambda text: None
    rows: list[EpochRow] = field(default_factory=list)
    epochs: int = 1

    def plan(self, epochs: int) -> None:
        """Set the number of epochs of the whole training, over all stages."""
        self.epochs = max(epochs, 1)

    def begin(self, stage: str) -> None:
        """Begin a stage."""
        self.rename(stage)
        self.within(0.0)

    def within(self, done: float) -> None:
        """Report the completed share of the current epoch."""
        self.share(min(1.0, (len(self.rows) + done) / self.epochs))

    def row(self, row: EpochRow) -> None:
        """Add the row of a completed epoch."""
        self.rows.append(row)
        self.within(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The metric on the test set, of the dense network and of the pruned one at three times.

    ``trained`` is after the stage that prepares the pruning, ``pruned`` directly after the pruning, and ``final`` after
    fine-tuning, which is the score of the written checkpoint.
    """

    dense: float
    trained: float
    pruned: float
    final: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKept:
    """How much of a layer is kept, as pairs (kept, all), and the share of its nonzero activations.

    ``weights`` counts nonzero weights, ``outputs`` and ``inputs`` those with a nonzero weight.  ``activations`` is
    measured behind the ReLU, None for a layer without one.
    """

    name: str
    weights: tuple[int, int]
    outputs: tuple[int, int]
    inputs: tuple[int, int]
    activations: float | None = None


def share_kept(layers: Iterable[LayerKept]) -> float:
    """Return the share of nonzero weights of all layers, without biases."""
    kept, total = zip(*(each.weights for each in layers), strict=True)
    return float(sum(kept) / sum(total))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of a training.

    ``settings`` are the method's own parameters, for the summary; ``data`` describes the data.  ``activations_kept`` is
    the share of nonzero activations over all hidden layers, weighted by their sizes; None if it is not measured.
    """

    scores: Scores
    tensors: Mapping[str, Array]
    profile: Profile
    layers: tuple[LayerKept, ...]
    data: str
    settings: Mapping[str, object]
    activations_kept: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def weights_kept(self) -> float:
        """Return the share of nonzero weights, without biases."""
        return share_kept(self.layers)
