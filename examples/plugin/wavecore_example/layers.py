"""A layer kind: leaky ReLU, which runs in the pass of the layer before it and keeps a bit of each element."""

from dataclasses import dataclass
from typing import ClassVar

from wavecore.network.layers.base import LayerKind, LayerRole, LayerRules, only


@dataclass(frozen=True, slots=True)
class LeakyReLU(LayerKind):
    """max(x, slope * x)."""

    kind: ClassVar[str] = "leaky_relu"
    slope: float = 0.01


def _infer(layer, inputs):
    """The output has the shape of the one input."""
    return only(inputs)


# One lane operation more than a ReLU: the product.
KINDS = {LeakyReLU: LayerRules(LayerRole.ELEMENTWISE, _infer, mask_bits=1, lane_operations=2)}
