"""Embeddings: each word of a sequence selects a row of a table.

Forward reads the rows that the words name, not the table.  The gradient is dense, the default
of PyTorch's ``nn.Embedding``: backward adds each word's gradient to its row, and the update covers the whole table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.network.compute import VectorPass
from wavecore.network.layers.base import (
    Expansion,
    LayerKind,
    LayerRole,
    LayerRules,
    Parameter,
    PhaseSpec,
    only,
)
from wavecore.network.shapes import Shape

LARGEST_VOCABULARY = 1 << 16  # words are numbers of two bytes


@dataclass(frozen=True, slots=True)
class Embedding(LayerKind):
    """A table of ``vocabulary`` rows of ``features`` elements; it reads a sequence of words, 1 x steps x 1."""

    kind: ClassVar[str] = "embedding"
    vocabulary: int
    features: int


def _infer(embedding: Embedding, inputs: tuple[Shape, ...]) -> Shape:
    shape = only(inputs)
    if shape.channels != 1 or shape.width != 1:
        raise ValueError(f"takes one word a step, 1 x steps x 1, not {shape}")
    if embedding.vocabulary > LARGEST_VOCABULARY:
        raise ValueError(f"has {embedding.vocabulary} words, and words are numbers below {LARGEST_VOCABULARY}")
    return Shape(embedding.features, shape.height)


def _parameters(embedding: Embedding, inputs: tuple[Shape, ...]) -> tuple[Parameter, ...]:
    return (Parameter("weight", embedding.vocabulary * embedding.features),)


def _expand(embedding: Embedding, inputs: tuple[Shape, ...], output: Shape) -> Expansion:
    sweep = (VectorPass(output.elements, 1),)
    return Expansion(
        forward=PhaseSpec(passes=sweep, reads_input=1, reads_row_bytes=output.elements * ELEMENT_BYTES),
        weight_gradient=PhaseSpec(passes=sweep, reads_input=1, reads_gradient=1, writes_weight_gradient=True),
    )


RULES = LayerRules(LayerRole.UNIT, _infer, _parameters, _expand)
