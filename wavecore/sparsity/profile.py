"""A sparsity profile: what of a network's layers is left, as numbers or as real masks, and where that comes from.

`profilefile` reads and writes it; `structure` applies it to a `LayerGraph`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from wavecore.common.hashing import content_hash
from wavecore.common.toml import place
from wavecore.network.sparsity import Mask

if TYPE_CHECKING:
    from wavecore.common.toml import Document

SCHEMA = "wavecore.profile/1"

KeptCount = int | tuple[int, ...]
"""Channels or features that are kept: how many, or which."""

Decomposition = Literal["channel", "spatial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSparsity:
    """What a profile says of one layer; None is what it does not say.

    ``weight_density`` is of the weights that structure leaves, ``activation_density`` of the layer's output behind
    its ReLU.  Zeros come in a ``block`` of rows x columns of the forward product's weights.
    """

    weight_density: float | None = None
    activation_density: float | None = None
    kept_outputs: KeptCount | None = None
    kept_inputs: KeptCount | None = None
    rank: int | None = None
    decomposition: Decomposition = "channel"
    removed: bool = False
    hidden: int | None = None
    block: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile; ``workload`` is empty where it fits any network whose layers have such names.

    ``masks`` are the layers' real ones, in PyTorch's order of dimensions.  ``document`` is the file it was read from.
    """

    name: str
    source: str
    workload: str = ""
    options: Mapping[str, int | float | str] = field(default_factory=dict)
    layers: Mapping[str, LayerSparsity] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)
    document: Document | None = field(default=None, compare=False, repr=False)

    @cached_property
    def digest(self) -> str:
        """The content hash of everything but the place it was read from."""
        return content_hash((self.name, self.source, self.workload, self.options, self.layers, self.masks))

    def place(self, layer: str = "", key: str = "") -> str:
        """Where the profile says something of a layer, for messages."""
        path = ".".join(part for part in ("layers" if layer else "", layer, key) if part)
        if self.document is None:
            return f"profile {self.name}: {path}" if path else f"profile {self.name}"
        if layer in self.masks and layer not in self.layers:
            path = "masks"
        return place(self.document, path) if path else self.document.label
