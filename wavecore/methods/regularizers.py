"""DeepHoyer's regularizers (arXiv 1908.09979): how far a tensor is from sparse, whatever its scale."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny


def hoyer_square(weights: Tensor) -> Tensor:
    """HS(W) = (sum |w|)^2 / sum w^2: 1 of a tensor with one element, n of n equal ones; 0 of zeros."""
    return weights.abs().sum().square() / weights.square().sum().clamp_min(_TINY)


def group_hoyer_square(weights: Tensor) -> Tensor:
    """G(W) = [(sum_i ||W[:,i]||)^2 + (sum_o ||W[o]||)^2] / sum w^2 of weights (outputs o, inputs i, ...).

    2 of a tensor with one row and column, inputs + outputs where all groups are equal.  The derivative of a norm at
    zero is taken as zero, so that a group which is gone stays.
    """
    others = tuple(axis for axis in range(weights.ndim) if axis != 1)
    columns = torch.linalg.vector_norm(weights, dim=others).sum()
    rows = torch.linalg.vector_norm(weights.flatten(1), dim=1).sum()
    found: Tensor = (columns.square() + rows.square()) / weights.square().sum().clamp_min(_TINY)
    return found
