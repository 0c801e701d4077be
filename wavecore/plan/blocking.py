"""Two-level blocking: how an operation's operands pass through the global buffer, and how often each is read.

An operand that is not on chip is read from DRAM as few times as the best `LoopOrder` and block size allow.  The
second level, from the global buffer into the array's local buffers, is in `hardware.dataflows`.  A GEMM multiplies its
left operand A (m x k) with its right operand B (k x n); its product is C (m x n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from wavecore.common.names import Name
from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.common.units import format_bytes
from wavecore.errors import SpaceError
from wavecore.hardware.dataflows import largest_tile
from wavecore.hardware.specs import ArraySpec
from wavecore.network.compute import BatchedDimension
from wavecore.plan.placement import Place, PlacedOperation, PlacedRead
from wavecore.training.operations import OperandRole, Operation, Use

MOST_ROUNDS = 8  # more rounds let the array start sooner, but each adds to the whole weight gradient
MOST_ADDED = 16  # times the operands' bytes that rounds may add to a gradient on chip; else operands are reread
CHUNK_BYTES = 16 * 1024  # the smallest piece in which a tensor streams; two of them are in flight


class LoopOrder(Name):
    """Which operand of a GEMM stays in the global buffer while the others pass through it.

    `RIGHT_STAYS` to `COLUMN_BLOCKS`: GEMMs whose rows are samples (forward, data gradient), with B = weights.
    `WEIGHTS_STAY` and `WEIGHTS_REREAD`: a recurrent layer, which multiplies its last results (A) with its weights (B)
    in every time step.  `OUTPUT_STAYS` and `OPERANDS_STAY`, and the two block orders too: weight gradients, whose inner
    dimension is samples, with C = the gradient.  `SAMPLE_BY_SAMPLE`: products of two activations.
    """

    SWEEPS = "sweeps"  # no GEMM: tensors pass through the vector unit
    RIGHT_STAYS = "right_stays"  # B is held whole and rows of A pass by: both are read once
    LEFT_STAYS = "left_stays"  # A is held whole, or on chip already, and column panels of B pass by: both are read once
    ROW_BLOCKS = "row_blocks"  # a block of A (of C) at a time is held, and B is read once for each
    COLUMN_BLOCKS = "column_blocks"  # a block of B (of C) at a time is held, and A is read once for each
    WEIGHTS_STAY = "weights_stay"  # B is held whole over all time steps and read once
    WEIGHTS_REREAD = "weights_reread"  # column panels of B pass by in every time step
    OUTPUT_STAYS = "output_stays"  # C is held whole; A and B pass by once, in rounds whose products are added to C
    OPERANDS_STAY = "operands_stay"  # A and B are held whole, or on chip, while tiles of C are finished one by one
    SAMPLE_BY_SAMPLE = "sample_by_sample"  # A and B of a sample pass by in a round, read once; nothing stays

    @property
    def in_rounds(self) -> bool:
        """Whether operands arrive block by block, two of which are in the buffer at a time."""
        return self in (LoopOrder.OUTPUT_STAYS, LoopOrder.SAMPLE_BY_SAMPLE)


@dataclass(frozen=True, slots=True)
class Need:
    """A way to run an operation that reads each operand once, and the buffer bytes that it takes.

    s samples take s x ``per_sample_bytes`` + ``fixed_bytes``, beside what is resident.  In the order `SAMPLE_BY_SAMPLE`
    the operands of each sample come in ``rounds``.
    """

    order: LoopOrder
    per_sample_bytes: int
    fixed_bytes: int
    rounds: int = 1

    def stage_bytes(self, samples: int) -> int:
        """Return the buffer bytes over ``samples`` samples."""
        return self.fixed_bytes + self.per_sample_bytes * samples


class Blocking(NamedTuple):
    """How one operation runs over some samples.

    The left operand is read ``left_passes`` times and the right one ``right_passes`` times, in ``blocks`` outer blocks;
    ``stage_bytes`` of the buffer are used beside what is resident.
    """

    order: LoopOrder
    stage_bytes: int
    left_passes: int = 1
    right_passes: int = 1
    blocks: int = 1


@dataclass(frozen=True, slots=True)
class OperandBytes:
    """What an operation keeps in the buffer beside its resident tensors.

    ``left`` and ``right`` are the bytes of GEMM operands that are not on chip, per sample where they are batched.
    ``window`` is the part of the left operand that must be there before its first row can run, and two chunks;
    ``panel`` is one column panel of the right operand.  ``base`` is the room of all other tensors that stream: two
    chunks of each, and the window, or the sample, that must be there before the operation can begin.
    """

    left: int
    right: int
    window: int
    panel: int
    base: int


def _chunks(nbytes: int) -> int:
    """Return the room for the two pieces in which a tensor of ``nbytes`` streams."""
    return min(2 * CHUNK_BYTES, nbytes)


@lru_cache(maxsize=1 << 15)
def operands(placed: PlacedOperation, array: ArraySpec) -> OperandBytes:
    """Measure what ``placed`` needs beside its resident tensors."""
    op = placed.operation
    streamed = [(use, read) for use, read in zip(op.reads, placed.reads, strict=True) if read.place is Place.STREAMED]
    left = sum(read.nbytes for _, read in streamed if read.role is OperandRole.LEFT)
    right = sum(read.nbytes for _, read in streamed if read.role is OperandRole.RIGHT)
    window = sum(
        _window(op, read.nbytes) + _chunks(read.nbytes) for _, read in streamed if read.role is OperandRole.LEFT
    )
    base = leaving_bytes(placed)
    base += sum(_side_bytes(op, use, read) for use, read in streamed if read.role is OperandRole.SIDE)
    base += sum(_chunks(read.nbytes) for _, read in streamed if read.role is OperandRole.DRAIN)
    panel = max((gemm.k * min(gemm.n, largest_tile(array).n) * ELEMENT_BYTES for gemm in op.gemms), default=0)
    return OperandBytes(left, right, window, min(panel, right), base)


def _window(op: Operation, nbytes: int) -> int:
    """Return the part of a sample of ``nbytes`` that must be there beyond the part that is already computed."""
    ahead, rows = op.lookahead
    return min(nbytes, -(-nbytes * ahead // rows))


def _side_bytes(op: Operation, use: Use, read: PlacedRead) -> int:
    """Return the room of a streamed tensor that is no operand of a GEMM.

    A whole sample is held if the operation sweeps over it more often than it reads it from DRAM.
    """
    room = read.nbytes if use.passes > read.passes else _chunks(read.nbytes)
    return room + (_window(op, read.nbytes) if read.tensor.batched and use.passes == 1 else 0)


def leaving_bytes(placed: PlacedOperation) -> int:
    """Return the room for two chunks of each result that is not kept; part of every stage, but taken step by step."""
    return sum(_chunks(write.tensor.nbytes) for write in placed.writes if not write.kept and write.tensor.batched)


def gradient_bytes(placed: PlacedOperation) -> int:
    """Return the bytes of the weight gradients that ``placed`` writes to DRAM."""
    return sum(write.tensor.nbytes for write in placed.writes if not write.tensor.batched and not write.kept)


def _gradient_tiles(placed: PlacedOperation, array: ArraySpec) -> int:
    """Return the room for two finished tiles of a weight gradient and the partial sums that they are added to."""
    tile = largest_tile(array)
    return min(4 * tile.m * tile.n * ACCUMULATOR_BYTES, 2 * gradient_bytes(placed))


def multiplies_activations(op: Operation) -> bool:
    """Whether every sample has products of its own, of two operands that both grow with the samples.

    Raises ValueError for an operation that has other products too.
    """
    growing = {gemm.batched for gemm in op.gemms}
    if BatchedDimension.COUNT in growing and len(growing) > 1:
        raise ValueError(f"operation {op.name} multiplies two activations in one GEMM and not in another")
    return BatchedDimension.COUNT in growing


@lru_cache(maxsize=1 << 15)
def needs(placed: PlacedOperation, array: ArraySpec, rereads: bool = False) -> tuple[Need, ...]:
    """Return the one or two ways in which every operand is read only once, the one with the best overlap first.

    With ``rereads``, recurrent weights are read in every time step instead.
    """
    op, parts = placed.operation, operands(placed, array)
    if op.time_steps:
        if rereads:
            return (Need(LoopOrder.WEIGHTS_REREAD, op.state_bytes, parts.base + parts.panel),)
        return (Need(LoopOrder.WEIGHTS_STAY, op.state_bytes, parts.base + parts.right),)
    if not op.gemms:
        return (Need(LoopOrder.SWEEPS, 0, parts.base + (_gradient_tiles(placed, array) if op.accumulates else 0)),)
    if op.accumulates:
        return _gradient_needs(placed, array)
    if multiplies_activations(op):
        return _product_needs(placed, array)
    whole = Need(LoopOrder.RIGHT_STAYS, 0, parts.base + parts.window + parts.right)
    if not parts.right:
        return (whole,)
    return whole, Need(LoopOrder.LEFT_STAYS, parts.left, parts.base + parts.panel)


def _gradient_needs(placed: PlacedOperation, array: ArraySpec) -> tuple[Need, ...]:
    """Return the ways of a weight gradient: all operands held, or the whole gradient and two rounds of operands.

    The fewest rounds are two, so they take half of the operands twice, and no less than two windows.  Partial sums of
    earlier iterations are read into the gradient's own space.
    """
    parts = operands(placed, array)
    both = parts.left + parts.right
    tiles = Need(LoopOrder.OPERANDS_STAY, both, parts.base + _gradient_tiles(placed, array))
    if not both:
        return (tiles,)
    fixed = parts.base + gradient_bytes(placed) + _two_windows(parts)
    return tiles, Need(LoopOrder.OUTPUT_STAYS, (both + 1) // 2, fixed)


def _two_windows(parts: OperandBytes) -> int:
    """Return the least room for two rounds of the operands of a weight gradient."""
    return 2 * (parts.window + _chunks(parts.right))


def _product_needs(placed: PlacedOperation, array: ArraySpec) -> tuple[Need, ...]:
    """Return the ways of products of two activations: two rounds of a whole sample each, or of one of its products."""
    parts = operands(placed, array)
    both, products = parts.left + parts.right, gcd(*(gemm.count for gemm in placed.operation.gemms))
    ways = (
        Need(LoopOrder.SAMPLE_BY_SAMPLE, 0, parts.base + 2 * -(-both // rounds), rounds) for rounds in (1, products)
    )
    return tuple(dict.fromkeys(ways))


def block(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> Blocking:
    """Choose how ``placed`` runs over ``samples`` samples in ``space_bytes`` of the buffer.

    Raises SpaceError, which names the layer and the bytes that it needs, when no order fits.
    """
    choice = _choose(placed, array, samples, space_bytes)
    if choice is None:
        raise _no_room(placed, array, samples, space_bytes)
    return choice


def fits(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> bool:
    """Whether ``placed`` can run at all over ``samples`` samples in ``space_bytes``."""
    return _choose(placed, array, samples, space_bytes) is not None


def _choose(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> Blocking | None:
    """Return how ``placed`` runs in ``space_bytes``; None where no order fits."""
    op, free = placed.operation, space_bytes - placed.live_bytes * samples
    if op.time_steps:
        return _recurrent(placed, array, samples, free)
    if op.accumulates:
        return _gradient(placed, array, samples, free)
    for need in needs(placed, array):
        stage = need.stage_bytes(samples)
        if stage <= free:
            in_rounds = need.order is LoopOrder.SAMPLE_BY_SAMPLE
            return Blocking(need.order, stage, blocks=samples * need.rounds if in_rounds else 1)
    if not op.gemms or multiplies_activations(op):
        return None
    return _fewest_bytes(_many_passes(placed, array, samples, free))


def _recurrent(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> Blocking | None:
    """Return time steps over weights that stay, or that each reads anew; None where not even a panel of them fits."""
    times = placed.operation.time_steps
    for rereads in (False, True):
        (need,) = needs(placed, array, rereads)
        stage = need.stage_bytes(samples)
        if stage <= free:
            return Blocking(need.order, stage, 1, times if rereads else 1, times)
    return None


def _gradient(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> Blocking | None:
    """Return how a weight gradient runs: operands held, in rounds, or with an operand read again, as is cheapest.

    Rounds let the array start before all operands are there, but each adds to the whole gradient in the buffer.  They
    are preferred to held operands if they add no more than the operands' bytes, and to rereading an operand if they
    add no more than `MOST_ADDED` times that.
    """
    rounds = _rounds(placed, array, samples, free)
    held = needs(placed, array)[0]
    if held.stage_bytes(samples) <= free:
        cheap = rounds is not None and _adds_at_most(rounds, placed, array, samples, 1)
        return rounds if cheap else Blocking(held.order, held.stage_bytes(samples))
    if rounds is not None and _adds_at_most(rounds, placed, array, samples, MOST_ADDED):
        return rounds
    choices = _gradient_blocks(placed, array, samples, free) if placed.operation.gemms else []
    return _fewest_bytes(choices) or rounds


class _Choice(NamedTuple):
    """A blocking, and the bytes of operands that it reads."""

    read_bytes: int
    blocking: Blocking


def _fewest_bytes(choices: Sequence[_Choice]) -> Blocking | None:
    """Return the blocking that reads the fewest bytes, the first of equals."""
    return min(choices, key=lambda choice: choice.read_bytes).blocking if choices else None


def _rounds(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> Blocking | None:
    """Return a weight gradient in rounds of operands, two of which fit beside it; None where it does not fit.

    They are as few as fit, but at least 2, and up to `MOST_ROUNDS` if these add less than the operands' bytes.
    """
    parts = operands(placed, array)
    total = (parts.left + parts.right) * samples
    if not placed.operation.gemms or not total:
        return None
    stage = parts.base + gradient_bytes(placed)
    room = free - stage
    if room < _two_windows(parts):
        return None
    fewest = -(-2 * total // room)
    cheap = min(MOST_ROUNDS, total // max(1, gradient_bytes(placed)))
    return Blocking(LoopOrder.OUTPUT_STAYS, stage, blocks=max(2, fewest, cheap))


def _adds_at_most(rounds: Blocking, placed: PlacedOperation, array: ArraySpec, samples: int, times: int) -> bool:
    """Whether all rounds together add at most ``times`` the operands' bytes to the gradient."""
    parts = operands(placed, array)
    return gradient_bytes(placed) * rounds.blocks <= (parts.left + parts.right) * samples * times


def _gradient_blocks(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> list[_Choice]:
    """Return the orders of a weight gradient that hold a block of it and read an operand again for each block.

    Beside the block there is room for a window of the operands, a finished tile and its partial sums.
    """
    parts, gradient = operands(placed, array), gradient_bytes(placed)
    left, right = parts.left * samples, parts.right * samples
    tiles = _gradient_tiles(placed, array) // 2
    room = free - parts.base - parts.window - _chunks(parts.right) - tiles
    if not gradient or room < min(gradient, tiles):
        return []
    blocks = -(-gradient // room)
    return [
        _Choice(left * blocks + right, Blocking(LoopOrder.COLUMN_BLOCKS, free, blocks, 1, blocks)),
        _Choice(left + right * blocks, Blocking(LoopOrder.ROW_BLOCKS, free, 1, blocks, blocks)),
    ]


def _many_passes(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> list[_Choice]:
    """Return the orders of a GEMM with weights that read an operand more than once.

    In order: a row of tiles of A at a time past two tiles of B; blocks of A beside a panel of B; blocks of B beside a
    window of A.
    """
    parts, tile = operands(placed, array), largest_tile(array)
    left, right = parts.left * samples, parts.right
    choices = []
    row_tiles, passes = _row_tiles(placed.operation, parts, samples, tile.m)
    fewest = min(2 * tile.k * tile.n * ELEMENT_BYTES, right) + parts.base + parts.window
    if free >= fewest:
        by_tiles = Blocking(LoopOrder.ROW_BLOCKS, fewest, 1, passes, row_tiles)
        choices.append(_Choice(left + right * passes, by_tiles))
    room = free - parts.base - parts.panel
    if left and room >= parts.window:
        blocks = -(-left // room)
        choices.append(_Choice(left + right * blocks, Blocking(LoopOrder.ROW_BLOCKS, free, 1, blocks, blocks)))
    room = free - parts.base - parts.window
    if right and room >= parts.panel:
        blocks = -(-right // room)
        choices.append(_Choice(left * blocks + right, Blocking(LoopOrder.COLUMN_BLOCKS, free, blocks, 1, blocks)))
    return choices


def _row_tiles(op: Operation, parts: OperandBytes, samples: int, height: int) -> tuple[int, int]:
    """Return the row tiles of all products, and how often they read the weights if each reads those of its product.

    The products of a data gradient may each have a part of the weights, or some of them in common.
    """
    tiles = [-(-gemm.m * samples // height) for gemm in op.gemms]
    weights = [gemm.k * gemm.n * gemm.count for gemm in op.gemms]
    read = sum(count * size for count, size in zip(tiles, weights, strict=True))
    whole = min(sum(weights), max(1, parts.right // ELEMENT_BYTES))
    return sum(tiles), -(-read // whole)


def least_bytes(placed: PlacedOperation, array: ArraySpec, samples: int) -> int:
    """Return the bytes of the smallest buffer in which ``placed`` can run over ``samples`` samples, by bisection."""
    enough = 1
    while not fits(placed, array, samples, enough):
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (enough + short) // 2
        if fits(placed, array, samples, middle):
            enough = middle
        else:
            short = middle
    return enough


def _no_room(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> SpaceError:
    op = placed.operation
    least = least_bytes(placed, array, samples)
    return SpaceError(
        f"layer {op.unit}, {op.phase}",
        f"needs {least} bytes ({format_bytes(least)}) of the global buffer for {samples} sample{'s' * (samples > 1)}, "
        f"and has {space_bytes} ({format_bytes(space_bytes)})",
        f'--set core.global_buffer="{-(-least // 1024)} KiB" or more, or a smaller sub-batch',
    )
