"""What a network carries of its sparsity, whatever the machine: densities, masks and the block pattern of its zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wavecore.network.layers.base import LayerKind
from wavecore.network.shapes import Shape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Mask:
    """Which elements of a tensor are not zero.

    ``bits`` packs eight in a character up to U+00FF, the first in the highest bit: a text has a content hash.
    """

    shape: tuple[int, ...]
    bits: str

    @property
    def array(self) -> Booleans:
        """The mask as a boolean array of its shape."""
        import numpy as np

        count = 1
        for size in self.shape:
            count *= size
        flat = np.unpackbits(np.frombuffer(self.bits.encode("latin-1"), dtype=np.uint8), count=count)
        return flat.astype(np.bool_).reshape(self.shape)

    @property
    def nonzeros(self) -> int:
        """How many elements are not zero."""
        return int(self.array.sum())

    @property
    def density(self) -> float:
        """Share of the elements that are not zero."""
        whole = self.array
        return float(whole.mean()) if whole.size else 1.0

    def __repr__(self) -> str:
        return f"<Mask {'x'.join(map(str, self.shape))}>"


def mask_of(values: npt.ArrayLike) -> Mask:
    """The mask of an array: its elements that are not zero."""
    import numpy as np

    held = np.asarray(values) != 0
    return Mask(tuple(held.shape), np.packbits(held).tobytes().decode("latin-1"))


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """The weights of a layer of some ``kind`` that reads ``shape``: the share that is not zero, or exactly which.

    Zeros come in ``block`` (K x N) pieces: K is the inner dimension of the layer's forward product, N its outputs.
    """

    kind: LayerKind
    shape: Shape
    density: float = 1.0
    mask: Mask | None = None
    block: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Of a network: weights by layer, and the density of values by layer (in a training graph, by tensor).

    ``profile`` and ``digest`` say which profile it came from.
    """

    profile: str
    digest: str
    weights: tuple[tuple[str, WeightFacts], ...] = ()
    densities: tuple[tuple[str, float], ...] = ()
