"""A sparsity profile: how each layer of a network is pruned, as numbers or masks, and the source of these.

`profile_file` reads and writes profiles; `structure` applies one to a `LayerGraph`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from wavecore.common.hashing import content_hash
from wavecore.common.origin import SourceFile
from wavecore.common.toml import place
from wavecore.network.sparsity import Mask

if TYPE_CHECKING:
    from wavecore.common.toml import Document

SCHEMA = "wavecore.profile/1"

KeptCount = int | tuple[int, ...]
"""Kept channels or features: their number, or their indices."""

Decomposition = Literal["channel", "spatial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSparsity:
    """The entry of a profile for one layer; None for a value that the profile does not give.

    ``weight_density`` is the share of nonzero weights among those that the structural keys keep; ``activation_density``
    is that of the layer's output behind its ReLU.  Zero weights come in blocks of ``block`` = (rows, columns) of the
    forward product's matrix (inner dimension x outputs).
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
    """A profile; an empty ``workload`` means any network that has layers of these names.

    ``masks`` are the layers' masks of nonzero weights, in PyTorch's order of dimensions.  ``source_file`` is the file
    that the workload was read from, if it is not a registered one, and ``document`` the file from which the profile was
    read, if any.
    """

    name: str
    source: str
    workload: str = ""
    options: Mapping[str, int | float | str] = field(default_factory=dict)
    layers: Mapping[str, LayerSparsity] = field(default_factory=dict)
    masks: Mapping[str, Mask] = field(default_factory=dict)
    source_file: SourceFile | None = None
    document: Document | None = field(default=None, compare=False, repr=False)

    @cached_property
    def digest(self) -> str:
        """Return the content hash of everything but the files."""
        return content_hash((self.name, self.source, self.workload, self.options, self.layers, self.masks))

    def place(self, layer: str = "", key: str = "") -> str:
        """Return the place of a layer's entry in the profile, for messages."""
        path = ".".join(part for part in ("layers" if layer else "", layer, key) if part)
        if self.document is None:
            return f"profile {self.name}: {path}" if path else f"profile {self.name}"
        if layer in self.masks and layer not in self.layers:
            path = "masks"
        return place(self.document, path) if path else self.document.label
