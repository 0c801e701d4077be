"""Inception v4: Szegedy et al., "Inception-v4, Inception-ResNet" (arXiv 1602.07261), figures 3 to 9.

Channels and names are those of timm's ``inception_v4``; normalization is group normalization, and dropout is the
paper's (0.2).
"""

from __future__ import annotations

from wavecore.network.graph import LayerGraph

from .common import begin, finish
from .towers import AVERAGE, HALVE, Fork, Tower, block, chain, same, valid

STEM = (
    ("0", valid(32, 3, stride=2)),
    ("1", valid(32, 3)),
    ("2", same(64, 3)),
)

STEM_3: tuple[Tower, ...] = (
    (("maxpool", HALVE),),
    (("conv", valid(96, 3, stride=2)),),
)
STEM_4: tuple[Tower, ...] = (
    (("branch0.0", same(64)), ("branch0.1", valid(96, 3))),
    (
        ("branch1.0", same(64)),
        ("branch1.1", same(64, (1, 7))),
        ("branch1.2", same(64, (7, 1))),
        ("branch1.3", valid(96, 3)),
    ),
)
STEM_5: tuple[Tower, ...] = (
    (("conv", valid(192, 3, stride=2)),),
    (("maxpool", HALVE),),
)

BLOCK_A: tuple[Tower, ...] = (  # 35 x 35
    (("branch0", same(96)),),
    (("branch1.0", same(64)), ("branch1.1", same(96, 3))),
    (("branch2.0", same(64)), ("branch2.1", same(96, 3)), ("branch2.2", same(96, 3))),
    (("branch3.0", AVERAGE), ("branch3.1", same(96))),
)
REDUCTION_A: tuple[Tower, ...] = (
    (("branch0", valid(384, 3, stride=2)),),
    (("branch1.0", same(192)), ("branch1.1", same(224, 3)), ("branch1.2", valid(256, 3, stride=2))),
    (("branch2", HALVE),),
)
BLOCK_B: tuple[Tower, ...] = (  # 17 x 17
    (("branch0", same(384)),),
    (("branch1.0", same(192)), ("branch1.1", same(224, (1, 7))), ("branch1.2", same(256, (7, 1)))),
    (
        ("branch2.0", same(192)),
        ("branch2.1", same(192, (7, 1))),
        ("branch2.2", same(224, (1, 7))),
        ("branch2.3", same(224, (7, 1))),
        ("branch2.4", same(256, (1, 7))),
    ),
    (("branch3.0", AVERAGE), ("branch3.1", same(128))),
)
REDUCTION_B: tuple[Tower, ...] = (
    (("branch0.0", same(192)), ("branch0.1", valid(192, 3, stride=2))),
    (
        ("branch1.0", same(256)),
        ("branch1.1", same(256, (1, 7))),
        ("branch1.2", same(320, (7, 1))),
        ("branch1.3", valid(320, 3, stride=2)),
    ),
    (("branch2", HALVE),),
)


def _fork(name: str) -> Fork:
    """Return the end of a tower: a 1x3 and a 3x1 convolution of the same input, concatenated."""
    return Fork((((f"{name}a", same(256, (1, 3))),), ((f"{name}b", same(256, (3, 1))),)))


BLOCK_C: tuple[Tower, ...] = (  # 8 x 8
    (("branch0", same(256)),),
    (("branch1_0", same(384)), _fork("branch1_1")),
    (
        ("branch2_0", same(384)),
        ("branch2_1", same(448, (3, 1))),
        ("branch2_2", same(512, (1, 3))),
        _fork("branch2_3"),
    ),
    (("branch3.0", AVERAGE), ("branch3.1", same(256))),
)

BLOCKS = (STEM_3, STEM_4, STEM_5, *[BLOCK_A] * 4, REDUCTION_A, *[BLOCK_B] * 7, REDUCTION_B, *[BLOCK_C] * 3)


def inception_v4(image: int = 299, classes: int = 1000, width: float = 1.0) -> LayerGraph:
    """Build Inception v4 for images of at least 75 x 75."""
    net = begin("inception_v4", image, width, least=75)
    x = chain(net, net.input, STEM, width, prefix="features.")
    for index, towers in enumerate(BLOCKS, start=len(STEM)):
        x = block(net, x, f"features.{index}", towers, width)
    return finish(net, x, classes, dropout=0.2, classifier="last_linear")
