"""DeepHoyer's regularizers (arXiv 1908.09979): scale-invariant measures of how dense a tensor is."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny


def hoyer_square(weights: Tensor) -> Tensor:
    """Return HS(W) = (sum |w|)^2 / sum w^2: 1 for one nonzero element, n for n equal ones, 0 for zeros only."""
    return weights.abs().sum().square() / weights.square().sum().clamp_min(_TINY)


def group_hoyer_square(weights: Tensor) -> Tensor:
    """Return G(W) = [(sum_i ||W[:,i]||)^2 + (sum_o ||W[o]||)^2] / sum w^2 for weights (outputs o, inputs i, ...).

    It is 2 for one nonzero row and column, and inputs + outputs if all groups have equal norms.  The derivative of a
    norm at zero counts as zero, so that a group of zeros stays zero.
    """
    others = tuple(axis for axis in range(weights.ndim) if axis != 1)
    columns = torch.linalg.vector_norm(weights, dim=others).sum()
    rows = torch.linalg.vector_norm(weights.flatten(1), dim=1).sum()
    found: Tensor = (columns.square() + rows.square()) / weights.square().sum().clamp_min(_TINY)
    return found
