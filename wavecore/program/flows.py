"""In how many steps a command runs, and which bytes flow with which step, by the order that blocking chose."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavecore.hardware.specs import ArraySpec
from wavecore.network.compute import Gemm
from wavecore.network.layers.base import ACCUMULATOR_BYTES
from wavecore.plan.blocking import CHUNK_BYTES, Blocking, operands
from wavecore.plan.placement import PlacedOperation
from wavecore.plan.traffic import Transfer
from wavecore.program.commands import Pace, Work
from wavecore.training.operations import Phase, Role, TensorClass

STEP_BYTES = 128 * 1024  # DRAM bytes of a step, unless the buffer has room only for less
STEP_CYCLES = 4096  # array or vector cycles of a step
MOST_BLOCKS = 16
LEAST_STEPS = 8  # so that a consumer can follow its producer closely even through a short operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """How operands from DRAM flow and are freed, what is awaited of resident ones, when results are there."""

    streamed: Pace = Pace.EVEN
    streamed_freed: Pace | None = Pace.EVEN
    stationary: Pace = Pace.EVEN
    stationary_freed: Pace | None = Pace.EVEN
    resident: Pace = Pace.EVEN
    results: Pace = Pace.EVEN
    gradient: Pace = Pace.EVEN


_BY_ORDER = {
    "sweeps": Paces(gradient=Pace.AT_END),
    "rows": Paces(stationary=Pace.AT_ONCE, stationary_freed=Pace.AT_END),
    "panels": Paces(
        streamed=Pace.FIRST_BLOCK,
        streamed_freed=Pace.AT_END,
        resident=Pace.FIRST_BLOCK,
        results=Pace.LAST_BLOCK,
    ),
    "row_blocks": Paces(streamed_freed=None, stationary_freed=None),
    "column_blocks": Paces(
        streamed_freed=None, stationary_freed=None, resident=Pace.FIRST_BLOCK, results=Pace.LAST_BLOCK
    ),
    "tiles": Paces(
        streamed=Pace.AT_ONCE,
        streamed_freed=Pace.AT_END,
        stationary=Pace.AT_ONCE,
        stationary_freed=Pace.AT_END,
        resident=Pace.AT_ONCE,
    ),
    "depth": Paces(
        streamed=Pace.ROUND_START,
        streamed_freed=Pace.ROUND_END,
        stationary=Pace.ROUND_START,
        stationary_freed=Pace.ROUND_END,
        resident=Pace.ROUND_START,
        gradient=Pace.AT_END,
    ),
}
# Steps of a sequence follow each other, not samples: all samples of a sub-batch are through with the last step.
_RECURRENT = Paces(resident=Pace.AT_ONCE, results=Pace.AT_END)
_BY_ORDER |= {
    "resident": replace(_RECURRENT, stationary=Pace.FIRST_BLOCK, stationary_freed=Pace.AT_END),
    "reread": _RECURRENT,
}
# A weight gradient cut into blocks of itself has read every sample when the first is done.
_GRADIENT_BLOCKS = Paces(streamed_freed=None, stationary_freed=None, resident=Pace.FIRST_BLOCK)
# The first sweep over a sample makes its statistics, the second the result.
_TWO_SWEEPS = replace(_BY_ORDER["sweeps"], resident=Pace.FIRST_SWEEP, results=Pace.SECOND_SWEEP)


def two_sweeps(placed: PlacedOperation) -> bool:
    """Whether the vector unit goes over every sample twice."""
    return len(placed.operation.passes) > 1 and not placed.operation.gemms


def paces(placed: PlacedOperation, blocking: Blocking, blocks: int) -> Paces:
    """The paces of an operation under its blocking and its `outer_blocks`.

    In the orders ``rows`` and ``tiles`` the operand that every outer block reads whole arrives while the first
    one runs, if that is long enough to be told from the start of the command.
    """
    if blocks > 1 and blocking.order == "rows":
        return replace(_BY_ORDER["rows"], stationary=Pace.FIRST_BLOCK)
    if blocks > 1 and blocking.order == "tiles":
        first = Pace.FIRST_BLOCK
        return replace(_BY_ORDER["tiles"], streamed=first, stationary=first, resident=first)
    if two_sweeps(placed):
        return _TWO_SWEEPS
    if placed.operation.phase is Phase.WEIGHT_GRADIENT and blocking.order == "sweeps":
        return replace(_BY_ORDER["sweeps"], gradient=Pace.EVEN)  # a table goes by, whatever rows are added to
    if placed.operation.accumulates and blocking.order in ("row_blocks", "column_blocks"):
        return _GRADIENT_BLOCKS
    return _BY_ORDER[blocking.order]


def outer_blocks(gemms: tuple[Gemm, ...], blocking: Blocking, samples: int, array: ArraySpec) -> int:
    """Blocks of the outer loop: row tiles, output tiles or column blocks, as the order has it.

    More than `MOST_BLOCKS` row or output tiles count as one: the first is then too short to matter.
    """
    if blocking.order == "panels":
        return max(-(-gemm.n // array.columns) for gemm in gemms)
    if blocking.order not in ("rows", "tiles") or not gemms:
        return blocking.blocks
    counts = 0
    for gemm in gemms:
        m, _, n = gemm.at(samples)
        rows = -(-m // array.tile_rows)
        counts += gemm.count * (rows if blocking.order == "rows" else rows * -(-n // array.columns))
    return counts if counts <= MOST_BLOCKS else 1


def step_counts(
    placed: PlacedOperation,
    work: Work,
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


def ample_spare_bytes(placed: PlacedOperation, work: Work, moves: tuple[Transfer, ...], array: ArraySpec) -> int:
    """Spare bytes from which on `step_counts` gives the same however many more there are."""
    steps = max(1, min(_wanted_steps(placed, work, moves)))
    share = max((-(-move.nbytes // steps) - _piece(placed, move, array) for move in moves), default=0)
    return 2 * max(1, len(moves)) * max(0, share)


def _wanted_steps(placed: PlacedOperation, work: Work, moves: tuple[Transfer, ...]) -> tuple[int, int]:
    """The steps that let queues overlap, and the most that make sense where there is room for large pieces."""
    moved = -(-sum(move.nbytes for move in moves) // STEP_BYTES)
    cycles = max(work.array_cycles, work.vector_cycles)
    wanted = max(moved, -(-cycles // STEP_CYCLES), LEAST_STEPS)
    is_gemm = bool(placed.operation.gemms)
    return wanted, max(work.output_tiles, moved) if is_gemm else wanted


def _piece(placed: PlacedOperation, move: Transfer, array: ArraySpec) -> int:
    """The most of a stream that may be in one step when the buffer has no room to spare.

    An update has nothing but spare room, all of the buffer; weights that time steps read anew have that of a panel.
    """
    if placed.operation.time_steps and move.role is Role.STATIONARY:
        return max(1, min(CHUNK_BYTES, operands(placed, array).panel // 2))
    if move.update:
        return 0
    if move.tensor.tensor_class is TensorClass.WEIGHT_GRADIENT:
        return min(CHUNK_BYTES, array.tile_rows * array.columns * ACCUMULATOR_BYTES)
    whole = move.tensor.nbytes if move.tensor.batched else move.nbytes
    return max(1, min(CHUNK_BYTES, whole // 2))
