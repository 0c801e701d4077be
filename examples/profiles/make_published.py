"""Write ``published/prunetrain_resnet50.toml`` from PruneTrain's own data: ``python make_published.py UNION.json OUT``.

UNION.json lists, of a ResNet-50 after channel union, every convolution's channels; the profile states what each keeps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from wavecore.catalog import workload
from wavecore.layers import Conv
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.profilefile import save_profile

NETWORK = "r_high"
SOURCE = (
    "PruneTrain (arXiv 1901.09290), ResNet-50 on ImageNet, the stronger of the two networks after channel union in the "
    "authors' repository (imported as VictorSuciu/PruneTrain-Dynamic, commit 6892e89); written by make_published.py"
)


def main() -> None:
    """Map the convolutions, which are listed in the order in which they run, to the workload's."""
    rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))[NETWORK]
    convolutions = [layer for layer in workload("resnet50") if isinstance(layer.kind, Conv)]
    layers = {
        layer.name: LayerSparsity(kept_outputs=row["cout"])
        for layer, row in zip(convolutions, rows, strict=False)
        if row["cout"] < layer.shape.channels
    }
    profile = Profile(name="prunetrain", source=SOURCE, workload="resnet50", layers=layers)
    save_profile(profile, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
