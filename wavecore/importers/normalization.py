"""Options that say how batch normalization is imported.

Batch normalization needs the statistics of the whole mini-batch, so it cannot be computed one sub-batch at a time.  By
default a batch normalization of C channels becomes a group normalization of gcd(C, 32) groups (`group_norm`), as in the
built-in networks; it has the same number of parameters.  ``norm="batch"`` keeps batch normalization, over each core's
share of the mini-batch (`BatchNorm`); a note then lists the layers that cannot be fused (`fusions`).

An exporter may have folded a batch normalization into the convolution before it, which is correct for inference but not
for training.  By default (``folded="keep"``) the model is costed as it is in the file, with a note.
``folded="restore"`` adds a normalization behind each of those convolutions and removes their bias.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavecore.errors import unknown_name

NORMS = ("group", "batch")
FOLDED = ("keep", "restore")


@dataclass(frozen=True, slots=True)
class Rules:
    """How normalization is imported; the module's docstring explains the two options."""

    norm: str = "group"
    folded: str = "keep"


def rules(where: str, norm: str, folded: str = "keep") -> Rules:
    """Return the rules with these option values; `NameLookupError` for a value that does not exist."""
    for kind, name, allowed in (("norm", norm, NORMS), ("folded", folded, FOLDED)):
        if name not in allowed:
            raise unknown_name(where, kind, name, allowed)
    return Rules(norm, folded)
