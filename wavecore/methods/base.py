"""What a method of pruning is given, and what it makes: the framework behind ``wavecore train``.

A method is one module with one function, and its line in `wavecore.methods.registry.METHODS`::

    def train(settings: Settings, recorder: Recorder) -> Trained: ...

*Settings* say which network, how many epochs, which seed and how much of the data.  The *recorder* takes a row of the
log an epoch, and the share of an epoch that is done; nothing is printed and nothing written by a method.  *Trained* is
everything a training leaves: scores, tensors by name (``conv1.weight``, the workload's layer names), the profile.
`wavecore.methods.folder` writes it.  A method's module may import PyTorch at its top: it is loaded when the method is
used, after `wavecore.methods.registry.require` has seen that the packages are there.
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
"""What a score is: a share of the test set, 0 to 1, or e to the mean loss of a word in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a network is trained, in epochs: by the method, behind a shorter dense training, and fine-tuned."""

    epochs: int
    finetune_epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method by its name; ``module`` has its function `train`, ``source`` says where it was published.

    ``networks`` are the workloads that it can train, the default first.  ``packages`` must be importable.
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
    """One training: ``samples`` limits the data (training images or words), None is all of them."""

    method: str
    network: str
    epochs: int
    finetune_epochs: int
    seed: int = 0
    samples: int | None = None


def command_of(settings: Settings) -> str:
    """The command that makes a training again."""
    limit = "" if settings.samples is None else f" --samples {settings.samples}"
    return (
        f"wavecore train {settings.method} --network {settings.network} --epochs {settings.epochs} "
        f"--finetune-epochs {settings.finetune_epochs} --seed {settings.seed}{limit}"
    )


def check_loss(stage: str, epoch: int, loss: float) -> None:
    """Raise `InvariantError` for a loss that is no finite number."""
    if not loss < float("inf"):
        raise InvariantError(f"train {stage}", f"the loss of epoch {epoch} is {loss}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """A row of the log: loss of training, score on the test set, and shares of what is not zero behind the epoch."""

    stage: str
    epoch: int
    loss: float
    score: float
    weights_kept: float
    activations_kept: float | None = None


@dataclass(slots=True)
class Recorder:
    """Collects the rows of a log; tells ``share`` how much of ``epochs`` is done and ``rename`` what is being done."""

    share: Callable[[float], None] = lambda done: None
    rename: Callable[[str], None] = lambda text: None
    rows: list[EpochRow] = field(default_factory=list)
    epochs: int = 1

    def plan(self, epochs: int) -> None:
        """Say how many epochs the whole training has, over all stages."""
        self.epochs = max(epochs, 1)

    def begin(self, stage: str) -> None:
        """Say what the next epochs are for."""
        self.rename(stage)
        self.within(0.0)

    def within(self, done: float) -> None:
        """Say which share of the present epoch is done."""
        self.share(min(1.0, (len(self.rows) + done) / self.epochs))

    def row(self, row: EpochRow) -> None:
        """Take the row of a finished epoch."""
        self.rows.append(row)
        self.within(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The metric on the test set: of the dense network, and of the pruned one before, at and after the pruning.

    ``trained`` is behind the stage that prepares the pruning, ``pruned`` just behind the cut, ``final`` behind the
    fine-tuning, of the checkpoint that is written.
    """

    dense: float
    trained: float
    pruned: float
    final: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKept:
    """What is left of a layer: non-zero weights of all, rows and columns with any, share of non-zero activations.

    ``outputs`` and ``inputs`` are (kept, all); activations are behind the ReLU, None where there are none.
    """

    name: str
    weights: tuple[int, int]
    outputs: tuple[int, int]
    inputs: tuple[int, int]
    activations: float | None = None


def share_kept(layers: Iterable[LayerKept]) -> float:
    """Share of the weights of all layers, biases apart, that are not zero."""
    kept, whole = zip(*(each.weights for each in layers), strict=True)
    return float(sum(kept) / sum(whole))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training leaves.  ``settings`` are the method's own numbers, for the summary; ``data`` says what was used.

    ``activations_kept`` is over all hidden layers, weighted by their size, None where they are not measured.
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
        """Share of the weights, biases apart, that are not zero."""
        return share_kept(self.layers)
