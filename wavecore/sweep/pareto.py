"""The Pareto front: points that no other point dominates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pareto(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each point whether it is on the Pareto front: no other is as small in all costs and smaller in one.

    ``costs`` are rows of finite numbers, equally many in each.  Equal points are on the front together.
    """
    if not costs:
        return []
    # In lexicographic order no point is beaten by a later one, and comparing with the front so far is enough.
    different, which = np.unique(np.asarray(costs, dtype=float), axis=0, return_inverse=True)
    front = np.empty_like(different)
    on_front = np.zeros(len(different), dtype=bool)
    size = 0
    for index, point in enumerate(different):
        if not (front[:size] <= point).all(axis=1).any():
            front[size] = point
            on_front[index] = True
            size += 1
    return [bool(each) for each in on_front[which.reshape(-1)]]
