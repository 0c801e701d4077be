"""Inception v3: Szegedy et al., "Rethinking the Inception architecture" (arXiv 1512.00567), table 1.

It follows torchvision's ``inception_v3``, without the auxiliary head and with group normalization.
"""

from __future__ import annotations

from wavecore.network.graph import LayerGraph

from .common import begin, finish
from .towers import AVERAGE, HALVE, Fork, Tower, block, chain, same, valid

STEM = (
    ("Conv2d_1a_3x3", valid(32, 3, stride=2)),
    ("Conv2d_2a_3x3", valid(32, 3)),
    ("Conv2d_2b_3x3", same(64, 3)),
    ("maxpool1", HALVE),
    ("Conv2d_3b_1x1", valid(80, 1)),
    ("Conv2d_4a_3x3", valid(192, 3)),
    ("maxpool2", HALVE),
)


def block_a(pool: int) -> tuple[Tower, ...]:
    """Return the towers of a block on 35 x 35 (figure 5); ``pool`` is the channels of the pooling tower."""
    return (
        (("branch1x1", same(64)),),
        (("branch5x5_1", same(48)), ("branch5x5_2", same(64, 5))),
        (("branch3x3dbl_1", same(64)), ("branch3x3dbl_2", same(96, 3)), ("branch3x3dbl_3", same(96, 3))),
        (("pool", AVERAGE), ("branch_pool", same(pool))),
    )


BLOCK_B: tuple[Tower, ...] = (
    (("branch3x3", valid(384, 3, stride=2)),),
    (
        ("branch3x3dbl_1", same(64)),
        ("branch3x3dbl_2", same(96, 3)),
        ("branch3x3dbl_3", valid(96, 3, stride=2)),
    ),
    (("branch_pool", HALVE),),
)


def block_c(channels: int) -> tuple[Tower, ...]:
    """Return the towers of a block on 17 x 17, with 7x7 convolutions factored into 1x7 and 7x1 (figure 6)."""
    return (
        (("branch1x1", same(192)),),
        (
            ("branch7x7_1", same(channels)),
            ("branch7x7_2", same(channels, (1, 7))),
            ("branch7x7_3", same(192, (7, 1))),
        ),
        (
            ("branch7x7dbl_1", same(channels)),
            ("branch7x7dbl_2", same(channels, (7, 1))),
            ("branch7x7dbl_3", same(channels, (1, 7))),
            ("branch7x7dbl_4", same(channels, (7, 1))),
            ("branch7x7dbl_5", same(192, (1, 7))),
        ),
        (("pool", AVERAGE), ("branch_pool", same(192))),
    )


BLOCK_D: tuple[Tower, ...] = (
    (("branch3x3_1", same(192)), ("branch3x3_2", valid(320, 3, stride=2))),
    (
        ("branch7x7x3_1", same(192)),
        ("branch7x7x3_2", same(192, (1, 7))),
        ("branch7x7x3_3", same(192, (7, 1))),
        ("branch7x7x3_4", valid(192, 3, stride=2)),
    ),
    (("branch_pool", HALVE),),
)


def _fork(name: str) -> Fork:
    """Return the end of a tower: a 1x3 and a 3x1 convolution of the same input, concatenated."""
    return Fork((((f"{name}a", same(384, (1, 3))),), ((f"{name}b", same(384, (3, 1))),)))


BLOCK_E: tuple[Tower, ...] = (  # 8 x 8 (figure 7)
    (("branch1x1", same(320)),),
    (("branch3x3_1", same(384)), _fork("branch3x3_2")),
    (("branch3x3dbl_1", same(448)), ("branch3x3dbl_2", same(384, 3)), _fork("branch3x3dbl_3")),
    (("pool", AVERAGE), ("branch_pool", same(192))),
)

BLOCKS = {
    "Mixed_5b": block_a(32),
    "Mixed_5c": block_a(64),
    "Mixed_5d": block_a(64),
    "Mixed_6a": BLOCK_B,
    "Mixed_6b": block_c(128),
    "Mixed_6c": block_c(160),
    "Mixed_6d": block_c(160),
    "Mixed_6e": block_c(192),
    "Mixed_7a": BLOCK_D,
    "Mixed_7b": BLOCK_E,
    "Mixed_7c": BLOCK_E,
}


def inception_v3(image: int = 299, classes: int = 1000, width: float = 1.0) -> LayerGraph:
    """Build Inception v3 for images of at least 75 x 75."""
    net = begin("inception_v3", image, width, least=75)
    x = chain(net, net.input, STEM, width)
    for name, towers in BLOCKS.items():
        x = block(net, x, name, towers, width)
    return finish(net, x, classes, dropout=0.5)
