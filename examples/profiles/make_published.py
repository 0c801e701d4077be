"""Write the profiles that are figures of papers: ``python make_published.py published [--union UNION.json]``.

UNION.json lists, of a ResNet-50 after channel union, every convolution's channels: PruneTrain's own data, without which
its profile is not written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from wavecore.network.catalog import workload
from wavecore.network.layers import Conv
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.profile_file import save_profile

BY = "written by make_published.py"

NETWORK = "r_high"
PRUNETRAIN = (
    "PruneTrain (arXiv 1901.09290), ResNet-50 on ImageNet, the stronger of the two networks after channel union in the "
    f"authors' repository (imported as VictorSuciu/PruneTrain-Dynamic, commit 6892e89); {BY}"
)

ISS = "ISS (arXiv 1709.05027)"
LSTM_PTB: Mapping[str, tuple[tuple[int, int], str]] = {  # units of the two layers, and what is published of them
    "iss_lstm_ptb_21.8m": ((373, 315), "perplexity 78.65 for 78.57, 21.8M weights for 66.0M, 7.48x fewer mult-adds"),
    "iss_lstm_ptb_25.2m": ((381, 535), "perplexity 76.03, 25.2M weights for 66.0M, 5.01x fewer mult-adds"),
}
BIDAF_LSTMS = ("mod1_fwd", "mod1_bwd", "mod2_fwd", "mod2_bwd", "out_fwd", "out_bwd")
BIDAF = (20, 33, 40, 38, 31, 16)
BIDAF_SOURCE = (
    f"{ISS}: 0.95M weights for 2.69M of the whole network; the product of g1 and a1i has the "
    "features of g1 that are left, a1i itself is in none of the groups in the authors' repository (wenwei202/iss-rnns, "
    f"bidaf/groups_hidden100.json), and stays whole; {BY}"
)


def prunetrain(union: Path) -> Profile:
    """Map the convolutions, which are listed in the order in which they run, to the workload's."""
    rows = json.loads(union.read_text(encoding="utf-8"))[NETWORK]
    convolutions = [layer for layer in workload("resnet50") if isinstance(layer.kind, Conv)]
    layers = {
        layer.name: LayerSparsity(kept_outputs=row["cout"])
        for layer, row in zip(convolutions, rows, strict=False)
        if row["cout"] < layer.shape.channels
    }
    return Profile(name="prunetrain", source=PRUNETRAIN, workload="resnet50", layers=layers)


def iss() -> Iterator[tuple[str, Profile]]:
    """The units that are left of every LSTM, by file."""
    for file, (units, figures) in LSTM_PTB.items():
        layers = {f"lstm{layer}": LayerSparsity(hidden=hidden) for layer, hidden in enumerate(units, start=1)}
        name, source = f"iss-{'-'.join(map(str, units))}", f"{ISS}, two layers of 1500 units: {figures}; {BY}"
        yield file, Profile(name=name, source=source, workload="lstm_ptb", layers=layers)
    layers = {name: LayerSparsity(hidden=hidden) for name, hidden in zip(BIDAF_LSTMS, BIDAF, strict=True)}
    layers["g1_a1i"] = LayerSparsity(kept_outputs=BIDAF[2] + BIDAF[3])
    yield "iss_bidaf_0.95m", Profile(name="iss-0.95m", source=BIDAF_SOURCE, workload="bidaf", layers=layers)


def main() -> None:
    """Write one file a profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--union", type=Path)
    options = parser.parse_args()
    for file, profile in iss():
        save_profile(profile, options.out / f"{file}.toml")
    if options.union:
        save_profile(prunetrain(options.union), options.out / "prunetrain_resnet50.toml")


if __name__ == "__main__":
    main()
