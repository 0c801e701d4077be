"""The entries of Inception v3 and Inception v4, both for images of 299 x 299."""

from __future__ import annotations

from collections.abc import Mapping

from wavecore.network.catalog import Published, Workload

from .common import TORCHVISION
from .inception_v3 import inception_v3
from .inception_v4 import inception_v4

WORKLOADS: Mapping[str, Workload] = {
    "inception_v3": Workload(
        name="inception_v3",
        build=inception_v3,
        summary="Inception v3, 11 inception blocks, group normalization, without the auxiliary head",
        published=Published(
            parameters=23_834_568,
            forward_gmacs=5.713,
            source=TORCHVISION + "; 27161264 less the 3326696 parameters of the auxiliary head",
        ),
    ),
    "inception_v4": Workload(
        name="inception_v4",
        build=inception_v4,
        summary="Inception v4, 14 inception and 2 reduction blocks, group normalization",
        published=Published(
            parameters=42_679_816,
            forward_gmacs=12.3,
            source="timm's model card inception_v4.tf_in1k: 42.7 M, 12.3 GMAC; exact count of its definition",
        ),
    ),
}
