"""Layer kinds: one file each, and the one table that lists them."""

from __future__ import annotations

from wavecore.common.entry_points import OpenTable
from wavecore.network.layers import (
    adaptive,
    batch,
    boundary,
    convolution,
    elementwise,
    embedding,
    ends,
    linear,
    merge,
    normalization,
    pooling,
    recurrent,
)
from wavecore.network.layers.adaptive import AdaptiveAvgPool
from wavecore.network.layers.base import LayerKind, LayerRules
from wavecore.network.layers.batch import BatchNorm
from wavecore.network.layers.boundary import Inlet, Outlet
from wavecore.network.layers.convolution import Conv
from wavecore.network.layers.elementwise import Dropout, ReLU
from wavecore.network.layers.embedding import Embedding
from wavecore.network.layers.ends import CrossEntropy, Flatten, Input
from wavecore.network.layers.linear import Linear
from wavecore.network.layers.merge import Add, Concat
from wavecore.network.layers.normalization import GroupNorm
from wavecore.network.layers.pooling import AvgPool, GlobalAvgPool, MaxPool
from wavecore.network.layers.recurrent import LSTM

_KINDS: dict[type[LayerKind], LayerRules] = {
    Input: ends.INPUT_RULES,
    Conv: convolution.RULES,
    Linear: linear.RULES,
    Embedding: embedding.RULES,
    LSTM: recurrent.RULES,
    GroupNorm: normalization.RULES,
    BatchNorm: batch.RULES,
    ReLU: elementwise.RULES,
    Dropout: elementwise.RULES,
    MaxPool: pooling.MAX_RULES,
    AvgPool: pooling.AVERAGE_RULES,
    GlobalAvgPool: pooling.GLOBAL_RULES,
    AdaptiveAvgPool: adaptive.RULES,
    Add: merge.ADD_RULES,
    Concat: merge.CONCAT_RULES,
    Flatten: ends.FLATTEN_RULES,
    CrossEntropy: ends.LOSS_RULES,
    Inlet: boundary.INLET_RULES,
    Outlet: boundary.OUTLET_RULES,
}
KINDS = OpenTable(_KINDS, "wavecore.layers", "KINDS", LayerRules)
"""The rules of every layer kind: those above, and those that other packages register."""

__all__ = [
    "KINDS",
    "LSTM",
    "AdaptiveAvgPool",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "CrossEntropy",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool",
    "GroupNorm",
    "Inlet",
    "Input",
    "LayerKind",
    "LayerRules",
    "Linear",
    "MaxPool",
    "Outlet",
    "ReLU",
]
