"""Layer kinds: one file each, and the one table that lists them."""

from __future__ import annotations

from wavecore.layers import (
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
from wavecore.layers.adaptive import AdaptiveAvgPool
from wavecore.layers.base import LayerKind, LayerRules
from wavecore.layers.batch import BatchNorm
from wavecore.layers.boundary import Inlet, Outlet
from wavecore.layers.convolution import Conv
from wavecore.layers.elementwise import Dropout, ReLU
from wavecore.layers.embedding import Embedding
from wavecore.layers.ends import CrossEntropy, Flatten, Input
from wavecore.layers.linear import Linear
from wavecore.layers.merge import Add, Concat
from wavecore.layers.normalization import GroupNorm
from wavecore.layers.pooling import AvgPool, GlobalAvgPool, MaxPool
from wavecore.layers.recurrent import LSTM

KINDS: dict[type[LayerKind], LayerRules] = {
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
