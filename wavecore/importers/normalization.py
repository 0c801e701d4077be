"""What becomes of batch normalization.

Statistics of a mini-batch tie its samples together, so that sub-batches could not pass through.  By default a batch
normalization of C channels becomes a group normalization of gcd(C, 32) groups (`group_norm`), as in the built-in
networks; it has as many parameters.  ``norm="batch"`` keeps the statistics of the mini-batch, of each core's share of
it (`BatchNorm`); a note then tells which layers cannot be fused (`fusions`).

An exporter may have folded a batch normalization into the convolution before it, as is right for inference and wrong
for training.  It is then gone, and the model is costed as it is in the file, which a note tells.
``folded="restore"`` puts a normalization back behind each of those convolutions, and takes their bias away.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.errors import unknown_name

NORMS = ("group", "batch")
FOLDED = ("keep", "restore")


@dataclass(frozen=True, slots=True)
class Rules:
    """How normalization is imported; see the module."""

    norm: str = "group"
    folded: str = "keep"


def rules(where: str, norm: str, folded: str = "keep") -> Rules:
    """The rules of these names; `NameLookupError` for one that does not exist."""
    for kind, name, allowed in (("norm", norm, NORMS), ("folded", folded, FOLDED)):
        if name not in allowed:
            raise unknown_name(where, kind, name, allowed)
    return Rules(norm, folded)
