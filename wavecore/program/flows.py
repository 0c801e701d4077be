"""In how many steps a command runs, and which bytes flow with which step, by the loop order of its blocking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from wavecore.common.precision import ACCUMULATOR_BYTES
from wavecore.hardware.dataflows import largest_tile
from wavecore.hardware.specs import ArraySpec
from wavecore.network.compute import Gemm
from wavecore.plan.blocking import CHUNK_BYTES, Blocking, LoopOrder, operands
from wavecore.plan.placement import PlacedOperation
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import CommandCost, StepProfile
from wavecore.training.operations import OperandRole, Phase, TensorClass

STEP_BYTES = 128 * 1024  # DRAM bytes of a step, unless the buffer has room only for less
MOVE_BYTES = 128 * 1024  # DRAM bytes of a command that move together, unless the buffer has room only for less
STEP_CYCLES = 4096  # array or vector cycles of a step
MOST_BLOCKS = 16
LEAST_STEPS = 8  # so that a consumer can follow its producer closely even through a short operation


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfiles:
    """Over which steps the bytes of a command are spread.

    ``left`` and ``right`` operands arrive from DRAM and are ``_freed`` (None: their space is part of a stage that is
    taken for the whole command); ``resident`` operands are awaited; ``results`` are complete; partial sums of a weight
    ``gradient`` are read, and the gradient is written.  What results meet as they leave is awaited on chip (``drain``)
    or streams (``drain_streamed``).
    """

    left: StepProfile = StepProfile.EVEN
    left_freed: StepProfile | None = StepProfile.EVEN
    right: StepProfile = StepProfile.EVEN
    right_freed: StepProfile | None = StepProfile.EVEN
    resident: StepProfile = StepProfile.EVEN
    results: StepProfile = StepProfile.EVEN
    gradient: StepProfile = StepProfile.EVEN
    drain: StepProfile = StepProfile.EVEN
    drain_streamed: StepProfile = StepProfile.EVEN


_BY_ORDER = {
    LoopOrder.SWEEPS: StepProfiles(gradient=StepProfile.AT_END),
    LoopOrder.RIGHT_STAYS: StepProfiles(right=StepProfile.AT_ONCE, right_freed=StepProfile.AT_END),
    LoopOrder.LEFT_STAYS: StepProfiles(
        left=StepProfile.FIRST_BLOCK,
        left_freed=StepProfile.AT_END,
        resident=StepProfile.FIRST_BLOCK,
        results=StepProfile.LAST_BLOCK,
        drain=StepProfile.FIRST_BLOCK,
    ),
    LoopOrder.ROW_BLOCKS: StepProfiles(left_freed=None, right_freed=None),
    LoopOrder.COLUMN_BLOCKS: StepProfiles(
        left_freed=None,
        right_freed=None,
        resident=StepProfile.FIRST_BLOCK,
        results=StepProfile.LAST_BLOCK,
        drain=StepProfile.FIRST_BLOCK,
    ),
    LoopOrder.OPERANDS_STAY: StepProfiles(
        left=StepProfile.AT_ONCE,
        left_freed=StepProfile.AT_END,
        right=StepProfile.AT_ONCE,
        right_freed=StepProfile.AT_END,
        resident=StepProfile.AT_ONCE,
    ),
    LoopOrder.SAMPLE_BY_SAMPLE: StepProfiles(
        left=StepProfile.ROUND_START,
        left_freed=StepProfile.ROUND_END,
        right=StepProfile.ROUND_START,
        right_freed=StepProfile.ROUND_END,
        resident=StepProfile.ROUND_START,
    ),
    LoopOrder.OUTPUT_STAYS: StepProfiles(
        left=StepProfile.ROUND_START,
        left_freed=StepProfile.ROUND_END,
        right=StepProfile.ROUND_START,
        right_freed=StepProfile.ROUND_END,
        resident=StepProfile.ROUND_START,
        gradient=StepProfile.AT_END,
    ),
}
# A time step computes all samples of the sub-batch, so that every sample is complete only with the last step.
_RECURRENT = StepProfiles(resident=StepProfile.AT_ONCE, results=StepProfile.AT_END)
_BY_ORDER |= {
    LoopOrder.WEIGHTS_STAY: replace(_RECURRENT, right=StepProfile.FIRST_BLOCK, right_freed=StepProfile.AT_END),
    LoopOrder.WEIGHTS_REREAD: _RECURRENT,
}
# The first block of a weight gradient already sums over every sample.
_GRADIENT_BLOCKS = StepProfiles(left_freed=None, right_freed=None, resident=StepProfile.FIRST_BLOCK)
# The first sweep over a sample computes its statistics, the second its result.
_TWO_SWEEPS = replace(
    _BY_ORDER[LoopOrder.SWEEPS],
    resident=StepProfile.FIRST_SWEEP,
    results=StepProfile.SECOND_SWEEP,
    drain=StepProfile.SECOND_SWEEP,
    drain_streamed=StepProfile.SECOND_SWEEP,
)


def two_sweeps(placed: PlacedOperation) -> bool:
    """Whether the vector unit sweeps twice over every sample, as a normalization does."""
    return any(use.passes > 1 for use in placed.operation.reads) and not placed.operation.gemms


def step_profiles(placed: PlacedOperation, blocking: Blocking, blocks: int) -> StepProfiles:
    """Return the step profiles of an operation under its blocking and its `outer_blocks`.

    In the orders `RIGHT_STAYS` and `OPERANDS_STAY` every outer block reads all of an operand that stays.  That operand
    arrives while the first block runs, or at once if there is a single block.
    """
    if blocks > 1 and blocking.order == LoopOrder.RIGHT_STAYS:
        return replace(_BY_ORDER[LoopOrder.RIGHT_STAYS], right=StepProfile.FIRST_BLOCK)
    if blocks > 1 and blocking.order == LoopOrder.OPERANDS_STAY:
        first = StepProfile.FIRST_BLOCK
        return replace(_BY_ORDER[LoopOrder.OPERANDS_STAY], left=first, right=first, resident=first)
    if two_sweeps(placed):
        return _TWO_SWEEPS
    if placed.operation.phase is Phase.WEIGHT_GRADIENT and blocking.order == LoopOrder.SWEEPS:
        # the whole gradient of an embedding table passes by, whichever of its rows are added to
        return replace(_BY_ORDER[LoopOrder.SWEEPS], gradient=StepProfile.EVEN)
    if placed.operation.accumulates and blocking.order in (LoopOrder.ROW_BLOCKS, LoopOrder.COLUMN_BLOCKS):
        return _GRADIENT_BLOCKS
    return _BY_ORDER[blocking.order]


def outer_blocks(gemms: tuple[Gemm, ...], blocking: Blocking, samples: int, array: ArraySpec) -> int:
    """Return the blocks of the outer loop: row tiles, output tiles or column blocks, depending on the order.

    More than `MOST_BLOCKS` row or output tiles count as one: the first is then too short to matter.
    """
    tile = largest_tile(array)
    if blocking.order == LoopOrder.LEFT_STAYS:
        return max(-(-gemm.n // tile.n) for gemm in gemms)
    if blocking.order not in (LoopOrder.RIGHT_STAYS, LoopOrder.OPERANDS_STAY) or not gemms:
        return blocking.blocks
    counts = 0
    for gemm in gemms:
        m, _, n = gemm.at(samples)
        rows = -(-m // tile.m)
        counts += gemm.count_at(samples) * (rows if blocking.order == LoopOrder.RIGHT_STAYS else rows * -(-n // tile.n))
    return counts if counts <= MOST_BLOCKS else 1


class StepCounts(NamedTuple):
    """Steps of a command, of one sweep over one sample (0 unless every sample is swept twice), and of one move.

    The DRAM bytes of ``move_steps`` steps move together.
    """

    steps: int
    sweep_steps: int
    move_steps: int = 1


@dataclass(frozen=True, slots=True)
class StepLimits:
    """What bounds the steps of a command, whatever the buffer's size.

    ``wanted`` steps let the queues overlap; ``most`` make sense however little room there is.  ``streams`` are (bytes
    in all, most bytes in one step without spare room) of each transfer.  The steps are a multiple of ``parts``: of the
    outer blocks, or of the sweeps if the command ``sweeps`` twice over each sample.  DRAM is accessed ``moves`` times
    at least.
    """

    wanted: int
    most: int
    streams: tuple[tuple[int, int], ...]
    parts: int = 1
    sweeps: bool = False
    moves: int = 1


def step_counts(limits: StepLimits, spare_bytes: int) -> StepCounts:
    """Return how many steps a command has: enough to overlap and to fit the buffer, few enough to be quick.

    ``spare_bytes`` is the room beyond the two pieces of every stream that `blocking` keeps free; each stream gets an
    equal share of it for larger pieces.
    """
    share = max(0, spare_bytes) // (2 * max(1, len(limits.streams)))
    fitting = max((-(-nbytes // max(1, piece + share)) for nbytes, piece in limits.streams), default=1)
    steps = max(1, min(max(limits.wanted, fitting), max(limits.most, fitting)))
    per_part = -(-steps // limits.parts)
    moves = max(limits.moves, fitting)
    together = max(1, min(per_part, per_part * limits.parts // moves))
    per_part = -(-per_part // together) * together
    return StepCounts(per_part * limits.parts, per_part if limits.sweeps else 0, together)


def step_limits(
    placed: PlacedOperation,
    cost: CommandCost,
    moves: tuple[Transfer, ...],
    samples: int,
    blocks: int,
    array: ArraySpec,
) -> StepLimits:
    """Return what bounds the steps of an operation over ``samples`` samples, in ``blocks`` outer blocks.

    Where results depend on the whole mini-batch, a sweep goes over all samples.
    """
    wanted = _wanted_steps(cost, moves)
    most = max(cost.output_tiles, _dram_steps(moves)) if cost.chained else wanted
    streams = tuple((move.nbytes, _piece_bytes(placed, move, array)) for move in moves)
    least = wanted if placed.operation.time_steps else _least_moves(moves)
    if two_sweeps(placed):
        return StepLimits(wanted, most, streams, 2 if placed.operation.whole_batch else 2 * samples, True, least)
    return StepLimits(wanted, most, streams, blocks, False, least)


def update_step_limits(cost: CommandCost, moves: tuple[Transfer, ...]) -> StepLimits:
    """Return what bounds the steps of an update: all of the buffer is spare room."""
    wanted = _wanted_steps(cost, moves)
    return StepLimits(wanted, wanted, tuple((move.nbytes, 0) for move in moves), moves=_least_moves(moves))


def _least_moves(moves: tuple[Transfer, ...]) -> int:
    """Return how often a command accesses DRAM, so that each access is long enough to be efficient."""
    return max(LEAST_STEPS, -(-sum(move.nbytes for move in moves) // MOVE_BYTES))


def _dram_steps(moves: tuple[Transfer, ...]) -> int:
    return -(-sum(move.nbytes for move in moves) // STEP_BYTES)


def _wanted_steps(cost: CommandCost, moves: tuple[Transfer, ...]) -> int:
    """Return the steps that let queues overlap."""
    cycles = cost.longest_stage_cycles
    return max(_dram_steps(moves), -(-cycles // STEP_CYCLES), LEAST_STEPS)


def _piece_bytes(placed: PlacedOperation, move: Transfer, array: ArraySpec) -> int:
    """Return the most bytes of a transfer that may be in one step when the buffer has no room to spare."""
    if placed.operation.time_steps and move.role is OperandRole.RIGHT:  # weights come panel by panel
        return max(1, min(CHUNK_BYTES, operands(placed, array).panel // 2))
    if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT:
        tile = largest_tile(array)
        return min(CHUNK_BYTES, tile.m * tile.n * ACCUMULATOR_BYTES)
    whole = move.tensor.nbytes if move.tensor.batched else move.nbytes
    return max(1, min(CHUNK_BYTES, whole // 2))
