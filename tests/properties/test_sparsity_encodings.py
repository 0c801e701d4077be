"""Packed bytes against encoders that really write them, tiles against plain loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wavecore.network.compute import Gemm
from wavecore.network.layers import KINDS, Conv, Linear
from wavecore.network.shapes import Shape
from wavecore.network.sparsity import WeightFacts, mask_of
from wavecore.sparsity import encodings
from wavecore.sparsity.tiles import empty_tiles, zero_tiles
from wavecore.training.operations import Phase

shapes = st.tuples(st.integers(1, 12), st.integers(1, 90))
masks = shapes.flatmap(lambda shape: hnp.arrays(np.bool_, shape, elements=st.sampled_from([False] * 9 + [True])))


def bitmask(flat: np.ndarray) -> bytes:
    return np.packbits(flat).tobytes() + bytes(2 * int(flat.sum()))


def run_length(flat: np.ndarray) -> tuple[str, list[bool]]:
    """The bits of the code, and what a decoder makes of them."""
    bits, zeros, decoded = "", 0, []
    for value in flat.tolist():
        if not value and zeros < 31:
            zeros += 1
            continue
        bits += format(zeros, "05b") + format(int(value), "016b")  # with 31 zeros before it, a zero is written out
        decoded += [False] * zeros + [bool(value)]
        zeros = 0
    return bits, decoded


def trimmed(bits: str, decoded: list[bool]) -> str:
    """Without the zeros written out at the end, behind the last value."""
    while bits and not decoded[-1]:
        bits = bits[:-21]
        decoded = decoded[: len(decoded) - 32]
    return bits


@given(masks)
def test_bitmask(mask: np.ndarray) -> None:
    assert encodings.bitmask_bytes(encodings.of_mask(mask_of(mask))) == len(bitmask(mask.reshape(-1)))


@given(masks)
def test_run_length(mask: np.ndarray) -> None:
    flat = mask.reshape(-1)
    bits, decoded = run_length(flat)
    assert decoded == flat.tolist()[: len(decoded)]
    written = trimmed(bits, decoded)
    assert encodings.run_length_bytes(encodings.of_mask(mask_of(mask))) == math.ceil(len(written) / 8)


@given(masks)
def test_csr(mask: np.ndarray) -> None:
    columns = np.nonzero(mask)[1].astype(np.uint16)
    starts = np.cumsum([0, *mask.sum(axis=1)]).astype(np.uint32)
    expected = 2 * len(columns) + columns.nbytes + starts.nbytes
    assert encodings.csr_bytes(encodings.of_mask(mask_of(mask))) == expected


@given(masks)
def test_the_best_is_the_smallest(mask: np.ndarray) -> None:
    contents = encodings.of_mask(mask_of(mask))
    name, nbytes = encodings.best(contents)
    every = {"dense": 2 * mask.size, **{each: size(contents) for each, size in encodings.ENCODINGS.items()}}
    assert nbytes == min(every.values()) == every[name]


@given(masks)
def test_a_mask_comes_back_as_it_was(mask: np.ndarray) -> None:
    packed = mask_of(mask)
    assert (packed.array == mask).all()
    assert packed.nonzeros == mask.sum()


@pytest.mark.parametrize("density", [0.01, 0.05, 0.3, 0.9])
def test_expected_bytes_are_those_of_random_masks(density: float) -> None:
    mask = mask_of(np.random.default_rng(7).random((400, 1000)) < density)
    counted, expected = encodings.of_mask(mask), encodings.of_density(400, 1000, density)
    for size in encodings.ENCODINGS.values():
        assert size(expected) == pytest.approx(size(counted), rel=0.03)


@given(masks, st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_zero_tiles(mask: np.ndarray, size: tuple[int, int]) -> None:
    corners = itertools.product(range(0, mask.shape[0], size[0]), range(0, mask.shape[1], size[1]))
    expected = sum(not mask[top : top + size[0], left : left + size[1]].any() for top, left in corners)
    assert zero_tiles(mask, size) == expected


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Shape, np.ndarray]:
    groups, kernel = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 2, 3]))
    conv = Conv(groups * draw(st.integers(1, 5)), kernel, draw(st.integers(1, 2)), draw(st.integers(0, 1)), groups)
    shape = Shape(groups * draw(st.integers(1, 4)), draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    size = (conv.out_channels, shape.channels // groups, kernel, kernel)
    return conv, shape, draw(hnp.arrays(np.bool_, size, elements=st.sampled_from([False] * 5 + [True])))


@given(convolutions(), st.sampled_from([Phase.FORWARD, Phase.DATA_GRADIENT]))
@settings(deadline=None)
def test_empty_tiles_of_convolutions(case: tuple[Conv, Shape, np.ndarray], phase: Phase) -> None:
    """MACs of the empty tiles against a loop over every output, input and tap of the weights."""
    conv, shape, weights = case
    rules = KINDS[Conv]
    assert rules.expand is not None
    expansion = rules.expand(conv, (shape,), rules.infer(conv, (shape,)))
    work = expansion.forward if phase is Phase.FORWARD else expansion.data_gradient
    assert work is not None
    one = empty_tiles(WeightFacts(conv, shape, mask=mask_of(weights)), phase, work.gemms, (1, 1))
    skipped = sum(each.count * work.gemms[each.gemm].m for each in one)
    dense = sum(gemm.macs for gemm in work.gemms)
    kept = empty_tiles(WeightFacts(conv, shape, mask=mask_of(~weights)), phase, work.gemms, (1, 1))
    assert skipped + sum(each.count * work.gemms[each.gemm].m for each in kept) == dense
    none = empty_tiles(WeightFacts(conv, shape, mask=mask_of(np.zeros_like(weights))), phase, work.gemms, (3, 2))
    assert sum(each.count * each.rows * each.columns * work.gemms[each.gemm].m for each in none) == dense
    if phase is Phase.FORWARD:
        pixels = rules.infer(conv, (shape,)).pixels
        assert skipped == int((~weights).sum()) * pixels


def test_scattered_zeros_leave_no_tile_empty() -> None:
    """(1 - d)^16384 of the tiles of 128 x 128."""
    facts = WeightFacts(Linear(4096), Shape(4096), density=0.01)
    gemms = (Gemm(1, 4096, 4096),)
    assert empty_tiles(facts, Phase.FORWARD, gemms, (128, 128)) == ()
    blocks = WeightFacts(Linear(4096), Shape(4096), density=0.1, block=(128, 128))
    assert sum(each.count for each in empty_tiles(blocks, Phase.FORWARD, gemms, (128, 128))) == int(0.9 * 1024)
