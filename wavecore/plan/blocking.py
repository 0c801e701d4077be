"""Two-level blocking: how an operation's operands pass through the global buffer, and how often each is read.

An operand that is not on chip is read from DRAM as few times as the best `LoopOrder` and block size allow.  The
second level, from the global buffer into the array's local buffers, is in `hardware.dataflows`.  A GEMM multiplies its
left operand A (m x k) with its right operand B (k x n); its product is C (m x n).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wavecore.common.names import Name
from wavecore.common.units import format_bytes
from wavecore.errors import SpaceError
from wavecore.hardware.dataflows import largest_tile
from wavecore.hardware.specs import ArraySpec
from wavecore.network.layers.base import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.plan.placement import Place, PlacedOperation
from wavecore.training.operations import OperandRole

MOST_ROUNDS = 8  # more rounds start sooner, but each adds to the whole gradient
MOST_ADDED = 16  # times the operands' bytes that rounds may add on chip before another pass over one is preferred
CHUNK_BYTES = 16 * 1024  # the least piece in which a tensor streams; two of them are in flight


class LoopOrder(Name):
    """Which operand of a GEMM stays in the global buffer while the others pass through it.

    The first four are of a GEMM whose rows are samples (forward, data gradient), with B = weights; the next two of a
    recurrent layer, which multiplies what it has just made (A) with its weights (B) in every time step; the last four
    of a weight gradient, whose inner dimension is samples, with C = the gradient.
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


@dataclass(frozen=True, slots=True)
class Need:
    """A way to run an operation that reads each operand once: buffer bytes per sample and at any sub-batch."""

    order: LoopOrder
    per_sample_bytes: int
    fixed_bytes: int


class Blocking(NamedTuple):
    """The choice for one operation over some samples.

    The left operand is read ``left_passes`` times, the right one ``right_passes`` times, in
    ``blocks`` outer blocks; ``stage_bytes`` of the buffer are used beside what is resident.
    """

    order: LoopOrder
    stage_bytes: int
    left_passes: int = 1
    right_passes: int = 1
    blocks: int = 1


@dataclass(frozen=True, slots=True)
class OperandBytes:
    """What an operation keeps in the buffer beside its resident tensors.

    ``left`` and ``right`` are the bytes of GEMM operands that are not on chip, per sample where they are batched;
    ``window`` must be there of the left operand before its first row can run; ``panel`` is one column panel of the
    right operand; ``base`` are the chunks and windows of everything that just passes by.
    """

    left: int
    right: int
    window: int
    panel: int
    base: int


def _chunk(nbytes: int) -> int:
    return min(2 * CHUNK_BYTES, nbytes)


@lru_cache(maxsize=1 << 15)
def operands(placed: PlacedOperation, array: ArraySpec) -> OperandBytes:
    """Measure what ``placed`` needs beside its resident tensors."""
    op = placed.operation
    left = right = window = base = 0
    ahead, rows = op.lookahead
    for use, read in zip(op.reads, placed.reads, strict=True):
        if read.place is not Place.STREAMED:
            continue
        nbytes = read.nbytes
        if read.role is OperandRole.LEFT:
            left += nbytes
            window += min(nbytes, -(-nbytes * ahead // rows)) + _chunk(nbytes)
        elif read.role is OperandRole.RIGHT:
            right += nbytes
        else:
            held_sample = use.passes > read.passes
            runs_ahead = read.tensor.batched and use.passes == 1
            base += nbytes if held_sample else _chunk(nbytes)
            base += min(nbytes, -(-nbytes * ahead // rows)) if runs_ahead else 0
    base += leaving_bytes(placed)
    panel = max((gemm.k * min(gemm.n, largest_tile(array).n) * ELEMENT_BYTES for gemm in op.gemms), default=0)
    return OperandBytes(left, right, window, min(panel, right), base)


def leaving_bytes(placed: PlacedOperation) -> int:
    """Room for two pieces of each result that only waits for DRAM: in every stage, though taken as results come."""
    return sum(_chunk(write.tensor.nbytes) for write in placed.writes if not write.kept and write.tensor.batched)


def gradient_bytes(placed: PlacedOperation) -> int:
    """Bytes of the weight gradients that ``placed`` writes to DRAM."""
    return sum(write.tensor.nbytes for write in placed.writes if not write.tensor.batched and not write.kept)


def _gradient_tiles(placed: PlacedOperation, array: ArraySpec) -> int:
    """Room for two finished tiles of a weight gradient and the partial sums that they are added to."""
    tile = largest_tile(array)
    return min(4 * tile.m * tile.n * ACCUMULATOR_BYTES, 2 * gradient_bytes(placed))


@lru_cache(maxsize=1 << 15)
def needs(placed: PlacedOperation, array: ArraySpec, rereads: bool = False) -> tuple[Need, ...]:
    """The ways in which every operand is read only once, the one with the best overlap first.

    With ``rereads``, recurrent weights are read in every time step instead.
    """
    op = placed.operation
    parts = operands(placed, array)
    if op.time_steps and rereads:
        return (Need(LoopOrder.WEIGHTS_REREAD, op.state_bytes, parts.base + parts.panel),)
    if op.time_steps:
        return (Need(LoopOrder.WEIGHTS_STAY, op.state_bytes, parts.base + parts.right),)
    if not op.gemms:
        return (Need(LoopOrder.SWEEPS, 0, parts.base + (_gradient_tiles(placed, array) if op.accumulates else 0)),)
    if op.accumulates:
        tiles = Need(LoopOrder.OPERANDS_STAY, parts.left + parts.right, parts.base + _gradient_tiles(placed, array))
        if not parts.left and not parts.right:
            return (tiles,)
        # partial sums of earlier iterations are added where the gradient is; rounds need room for two windows
        fixed = parts.base + gradient_bytes(placed) + 2 * (parts.window + _chunk(parts.right))
        return tiles, Need(LoopOrder.OUTPUT_STAYS, (parts.left + parts.right + 1) // 2, fixed)
    whole = Need(LoopOrder.RIGHT_STAYS, 0, parts.base + parts.window + parts.right)
    if not parts.right:
        return (whole,)
    return whole, Need(LoopOrder.LEFT_STAYS, parts.left, parts.base + parts.panel)


def block(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> Blocking:
    """Choose how ``placed`` runs over ``samples`` samples in ``space_bytes`` of the buffer.

    Raises SpaceError, which names the layer and what it needs, when no order fits.
    """
    choice = _choose(placed, array, samples, space_bytes)
    if choice is None:
        raise _no_room(placed, array, samples, space_bytes)
    return choice


def fits(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> bool:
    """Whether ``placed`` can run at all over ``samples`` samples in ``space_bytes``."""
    return _choose(placed, array, samples, space_bytes) is not None


def _choose(placed: PlacedOperation, array: ArraySpec, samples: int, space_bytes: int) -> Blocking | None:
    free = space_bytes - placed.live_bytes * samples
    depth = _depth(placed, array, samples, free) if placed.operation.accumulates else None
    if placed.operation.time_steps:
        return _recurrent(placed, array, samples, free)
    for need in needs(placed, array):
        stage = need.fixed_bytes + need.per_sample_bytes * samples
        if need.order != LoopOrder.OUTPUT_STAYS and stage <= free:
            choice = Blocking(need.order, stage)
            return depth if depth is not None and _cheap(depth, placed, array, samples) else choice
    if depth is not None and _cheap(depth, placed, array, samples, MOST_ADDED):
        return depth
    choices = _many_passes(placed, array, samples, free) if placed.operation.gemms else []
    # hundreds of rounds would each add to the whole gradient, to save another pass over an operand
    return min(choices, key=lambda choice: choice[0])[1] if choices else depth


def _recurrent(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> Blocking | None:
    """Time steps over weights that stay, or that each reads anew; None where not even a panel of them fits."""
    times = placed.operation.time_steps
    for rereads in (False, True):
        (need,) = needs(placed, array, rereads)
        stage = need.fixed_bytes + need.per_sample_bytes * samples
        if stage <= free:
            return Blocking(need.order, stage, 1, times if rereads else 1, times)
    return None


def _depth(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> Blocking | None:
    """Operands in as few rounds as fit twice beside the whole weight gradient; None where it does not fit."""
    parts = operands(placed, array)
    total = (parts.left + parts.right) * samples
    if not placed.operation.gemms or not total:
        return None
    stage = parts.base + gradient_bytes(placed)
    room = free - stage
    if room < 2 * (parts.window + _chunk(parts.right)):
        return None
    least = -(-2 * total // room)
    cheap = min(MOST_ROUNDS, total // max(1, gradient_bytes(placed)))
    return Blocking(LoopOrder.OUTPUT_STAYS, stage, blocks=max(2, least, cheap))


def _cheap(depth: Blocking, placed: PlacedOperation, array: ArraySpec, samples: int, times: int = 1) -> bool:
    """Whether adding every round to the gradient moves less than so many ``times`` the operands themselves."""
    parts = operands(placed, array)
    return gradient_bytes(placed) * depth.blocks <= (parts.left + parts.right) * samples * times


def _many_passes(placed: PlacedOperation, array: ArraySpec, samples: int, free: int) -> list[tuple[int, Blocking]]:
    """Orders that read an operand more than once, each with the bytes that it reads."""
    parts = operands(placed, array)
    a_bytes = parts.left * samples
    choices = []
    if placed.operation.accumulates:
        b_bytes = parts.right * samples
        c_bytes = gradient_bytes(placed)
        tiles = _gradient_tiles(placed, array) // 2  # a tile and its partial sums, not two
        room = free - parts.base - parts.window - _chunk(parts.right) - tiles
        if c_bytes and room >= min(c_bytes, tiles):
            blocks = -(-c_bytes // room)
            choices.append((a_bytes * blocks + b_bytes, Blocking(LoopOrder.COLUMN_BLOCKS, free, blocks, 1, blocks)))
            choices.append((a_bytes + b_bytes * blocks, Blocking(LoopOrder.ROW_BLOCKS, free, 1, blocks, blocks)))
        return choices
    b_bytes = parts.right
    tile = largest_tile(array)
    tile_pair = min(2 * tile.k * tile.n * ELEMENT_BYTES, b_bytes)
    row_tiles = sum(-(-gemm.m * samples // tile.m) for gemm in placed.operation.gemms)
    fewest = tile_pair + parts.base
    if free >= fewest + parts.window:
        choices.append(
            (
                a_bytes + b_bytes * row_tiles,
                Blocking(LoopOrder.ROW_BLOCKS, fewest + parts.window, 1, row_tiles, row_tiles),
            )
        )
    room = free - parts.base - parts.panel
    if a_bytes and room >= parts.window:
        blocks = -(-a_bytes // room)
        choices.append((a_bytes + b_bytes * blocks, Blocking(LoopOrder.ROW_BLOCKS, free, 1, blocks, blocks)))
    room = free - parts.base - parts.window
    if b_bytes and room >= parts.panel:
        blocks = -(-b_bytes // room)
        choices.append((a_bytes * blocks + b_bytes, Blocking(LoopOrder.COLUMN_BLOCKS, free, blocks, 1, blocks)))
    return choices


def least_bytes(placed: PlacedOperation, array: ArraySpec, samples: int) -> int:
    """The smallest buffer in which ``placed`` can run at all over ``samples`` samples, found by bisection."""
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
