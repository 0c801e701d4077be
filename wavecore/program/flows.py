"""In how many steps a command runs, and which bytes flow with which step, by the order that blocking chose."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavecore.hardware.specs import ArraySpec
from wavecore.network.compute import Gemm
from wavecore.network.layers.base import ACCUMULATOR_BYTES
from wavecore.plan.blocking import CHUNK_BYTES, Blocking, LoopOrder, operands
from wavecore.plan.placement import PlacedOperation
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import CommandCost, StepProfile
from wavecore.training.operations import OperandRole, Phase, TensorClass

STEP_BYTES = 128 * 1024  # DRAM bytes of a step, unless the buffer has room only for less
STEP_CYCLES = 4096  # array or vector cycles of a step
MOST_BLOCKS = 16
LEAST_STEPS = 8  # so that a consumer can follow its producer closely even through a short operation


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfiles:
    """How operands from DRAM flow and are freed, what is awaited of resident ones, when results are there."""

    left: StepProfile = StepProfile.EVEN
    left_freed: StepProfile | None = StepProfile.EVEN
    right: StepProfile = StepProfile.EVEN
    right_freed: StepProfile | None = StepProfile.EVEN
    resident: StepProfile = StepProfile.EVEN
    results: StepProfile = StepProfile.EVEN
    gradient: StepProfile = StepProfile.EVEN


_BY_ORDER = {
    LoopOrder.SWEEPS: StepProfiles(gradient=StepProfile.AT_END),
    LoopOrder.RIGHT_STAYS: StepProfiles(right=StepProfile.AT_ONCE, right_freed=StepProfile.AT_END),
    LoopOrder.LEFT_STAYS: StepProfiles(
        left=StepProfile.FIRST_BLOCK,
        left_freed=StepProfile.AT_END,
        resident=StepProfile.FIRST_BLOCK,
        results=StepProfile.LAST_BLOCK,
    ),
    LoopOrder.ROW_BLOCKS: StepProfiles(left_freed=None, right_freed=None),
    LoopOrder.COLUMN_BLOCKS: StepProfiles(
        left_freed=None, right_freed=None, resident=StepProfile.FIRST_BLOCK, results=StepProfile.LAST_BLOCK
    ),
    LoopOrder.OPERANDS_STAY: StepProfiles(
        left=StepProfile.AT_ONCE,
        left_freed=StepProfile.AT_END,
        right=StepProfile.AT_ONCE,
        right_freed=StepProfile.AT_END,
        resident=StepProfile.AT_ONCE,
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
# Steps of a sequence follow each other, not samples: all samples of a sub-batch are through with the last step.
_RECURRENT = StepProfiles(resident=StepProfile.AT_ONCE, results=StepProfile.AT_END)
_BY_ORDER |= {
    LoopOrder.WEIGHTS_STAY: replace(_RECURRENT, right=StepProfile.FIRST_BLOCK, right_freed=StepProfile.AT_END),
    LoopOrder.WEIGHTS_REREAD: _RECURRENT,
}
# A weight gradient cut into blocks of itself has read every sample when the first is done.
_GRADIENT_BLOCKS = StepProfiles(left_freed=None, right_freed=None, resident=StepProfile.FIRST_BLOCK)
# The first sweep over a sample makes its statistics, the second the result.
_TWO_SWEEPS = replace(_BY_ORDER[LoopOrder.SWEEPS], resident=StepProfile.FIRST_SWEEP, results=StepProfile.SECOND_SWEEP)


def two_sweeps(placed: PlacedOperation) -> bool:
    """Whether the vector unit goes over every sample twice."""
    return len(placed.operation.passes) > 1 and not placed.operation.gemms


def step_profiles(placed: PlacedOperation, blocking: Blocking, blocks: int) -> StepProfiles:
    """Return the step profiles of an operation under its blocking and its `outer_blocks`.

    In the orders `RIGHT_STAYS` and `OPERANDS_STAY` the operand that every outer block reads whole arrives while the
    first one runs, if that is long enough to be told from the start of the command.
    """
    if blocks > 1 and blocking.order == LoopOrder.RIGHT_STAYS:
        return replace(_BY_ORDER[LoopOrder.RIGHT_STAYS], right=StepProfile.FIRST_BLOCK)
    if blocks > 1 and blocking.order == LoopOrder.OPERANDS_STAY:
        first = StepProfile.FIRST_BLOCK
        return replace(_BY_ORDER[LoopOrder.OPERANDS_STAY], left=first, right=first, resident=first)
    if two_sweeps(placed):
        return _TWO_SWEEPS
    if placed.operation.phase is Phase.WEIGHT_GRADIENT and blocking.order == LoopOrder.SWEEPS:
        return replace(
            _BY_ORDER[LoopOrder.SWEEPS], gradient=StepProfile.EVEN
        )  # a table goes by, whatever rows are added to
    if placed.operation.accumulates and blocking.order in (LoopOrder.ROW_BLOCKS, LoopOrder.COLUMN_BLOCKS):
        return _GRADIENT_BLOCKS
    return _BY_ORDER[blocking.order]


def outer_blocks(gemms: tuple[Gemm, ...], blocking: Blocking, samples: int, array: ArraySpec) -> int:
    """Blocks of the outer loop: row tiles, output tiles or column blocks, as the order has it.

    More than `MOST_BLOCKS` row or output tiles count as one: the first is then too short to matter.
    """
    if blocking.order == LoopOrder.LEFT_STAYS:
        return max(-(-gemm.n // array.columns) for gemm in gemms)
    if blocking.order not in (LoopOrder.RIGHT_STAYS, LoopOrder.OPERANDS_STAY) or not gemms:
        return blocking.blocks
    counts = 0
    for gemm in gemms:
        m, _, n = gemm.at(samples)
        rows = -(-m // array.tile_rows)
        counts += gemm.count * (rows if blocking.order == LoopOrder.RIGHT_STAYS else rows * -(-n // array.columns))
    return counts if counts <= MOST_BLOCKS else 1


def step_counts(
    placed: PlacedOperation,
    work: CommandCost,
    moves: tuple[Transfer, ...],
    samples: int,
    blocks: int,
    spare_bytes: int,
    array: ArraySpec,
) -> tuple[int, int]:
    """(steps, steps of one sweep over one sample): fine enough to overlap and to fit, coarse enough to be quick.

    Where results depend on the whole mini-batch, a sweep goes over all samples.
    ``spare_bytes`` is the room beyond the two pieces of every stream that `blocking` keeps free.
    """
    share = max(0, spare_bytes) // (2 * max(1, len(moves)))
    fitting = max((-(-move.nbytes // max(1, _piece(placed, move, array) + share)) for move in moves), default=1)
    wanted, most = _wanted_steps(placed, work, moves)
    wanted = max(1, min(max(wanted, fitting), max(most, fitting)))
    if two_sweeps(placed):
        parts = 1 if placed.operation.whole_batch else samples
        sweep = -(-wanted // (2 * parts))
        return 2 * parts * sweep, sweep
    return -(-wanted // blocks) * blocks, 0


def ample_spare_bytes(placed: PlacedOperation, work: CommandCost, moves: tuple[Transfer, ...], array: ArraySpec) -> int:
    """Spare bytes from which on `step_counts` gives the same however many more there are."""
    steps = max(1, min(_wanted_steps(placed, work, moves)))
    share = max((-(-move.nbytes // steps) - _piece(placed, move, array) for move in moves), default=0)
    return 2 * max(1, len(moves)) * max(0, share)


def _wanted_steps(placed: PlacedOperation, work: CommandCost, moves: tuple[Transfer, ...]) -> tuple[int, int]:
    """The steps that let queues overlap, and the most that make sense where there is room for large pieces."""
    moved = -(-sum(move.nbytes for move in moves) // STEP_BYTES)
    cycles = work.longest_stage_cycles
    wanted = max(moved, -(-cycles // STEP_CYCLES), LEAST_STEPS)
    is_gemm = bool(placed.operation.gemms)
    return wanted, max(work.output_tiles, moved) if is_gemm else wanted


def _piece(placed: PlacedOperation, move: Transfer, array: ArraySpec) -> int:
    """The most of a stream that may be in one step when the buffer has no room to spare.

    An update has nothing but spare room, all of the buffer; weights that time steps read anew have that of a panel.
    """
    if placed.operation.time_steps and move.role is OperandRole.RIGHT:
        return max(1, min(CHUNK_BYTES, operands(placed, array).panel // 2))
    if move.update:
        return 0
    if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT:
        return min(CHUNK_BYTES, array.tile_rows * array.columns * ACCUMULATOR_BYTES)
    whole = move.tensor.nbytes if move.tensor.batched else move.nbytes
    return max(1, min(CHUNK_BYTES, whole // 2))
