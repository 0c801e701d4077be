"""How many bytes of each operand the results of a command's steps depend on; tokens must not allow a read before.

Samples are stored one after the other, and an image row by row.  A convolution or pooling window needs the rows under
it, and an elementwise operation the same share of a sample as it has computed; so do gradients that are added to
results, and masks.  Everything else (normalization, linear layers, global and adaptive pooling, the loss) needs whole
samples, and batch normalization all samples.
The last step of every command needs all bytes; for weight gradients no other step is checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.golden.semantics import Semantics
from wavecore.network.layers import AvgPool, Conv, MaxPool
from wavecore.network.layers.base import pair
from wavecore.program.commands import Command, Flow, progress
from wavecore.training.operations import OperandRole, Operation, Phase, Use

WINDOWS = (Conv, MaxPool, AvgPool)


Operand = tuple[str, OperandRole]
"""A tensor and how an operation uses it: as an operand, or as its results leave."""


def needed_bytes(meaning: Semantics, op: Operation, command: Command) -> list[dict[Operand, int]]:
    """Return for each step the bytes of every batched operand that the results of steps 0 to this one depend on."""
    tensors = meaning.training.tensors
    uses = {use: _read_bytes(meaning, op, use) for use in op.reads if tensors[use.tensor].batched}
    flows = list(_results(command))
    table = []
    for step in range(command.steps):
        need = dict.fromkeys(uses, 0)
        for made, flow in flows:
            done = progress(flow, command, step)
            whole, part = divmod(done, tensors[made].nbytes)
            for use, nbytes in uses.items():
                within = _within(meaning, op, use, made, part) if part else 0
                needed = whole * nbytes + within * nbytes // tensors[use.tensor].nbytes
                need[use] = max(need[use], nbytes * command.samples if op.whole_batch and done else needed)
        if step == command.steps - 1:
            need = {use: nbytes * command.samples for use, nbytes in uses.items()}
        table.append(_by_operand(need))
    return table


def _by_operand(need: Mapping[Use, int]) -> dict[Operand, int]:
    """Add up what several uses need of one tensor, such as of parts of a gradient that are added to several results."""
    total: Counter[Operand] = Counter()
    for use, nbytes in need.items():
        total[use.tensor, use.role] += nbytes
    return dict(total)


def _read_bytes(meaning: Semantics, op: Operation, use: Use) -> int:
    """Return the bytes per sample that an operation uses of a tensor.

    That is the whole tensor, except that of the gradient of a concatenation only the operation's columns count.
    """
    gradient = meaning.units[op.unit].gradient
    if op.name in meaning.sums:
        parts = meaning.sums[op.name][1]
    elif use.added_to:
        parts = meaning.added[op.name][use.added_to]
    else:
        parts = () if gradient is None else (gradient,)
    columns = {column for part in parts if part.tensor == use.tensor for column in range(part.first, part.last)}
    return len(columns) * ELEMENT_BYTES if columns else meaning.training.tensors[use.tensor].nbytes


def _results(command: Command) -> Iterator[tuple[str, Flow]]:
    """Yield each batched result of a command with the flow at which its bytes become visible to others."""
    for token in command.posts:
        yield token.tensor, token.flow
    for store in command.stores:
        if store.transfer.tensor.batched:
            yield store.transfer.tensor.name, Flow(store.flow.total, store.visible)


def _within(meaning: Semantics, op: Operation, use: Use, made: str, part: int) -> int:
    """Return the bytes of one sample of an operand on which the first ``part`` bytes of a sample of ``made`` depend.

    A forward window over rows of stride s, padding p and kernel k reads input rows up to (r - 1) s - p + k for r output
    rows; backward is the inverse.
    """
    size, nbytes = (meaning.training.tensors[tensor].nbytes for tensor in (use.tensor, made))
    if use.added_to:
        return size * part // nbytes if use.added_to == made else 0
    layer = meaning.units[op.unit].layer
    pointwise = len(op.passes) == 1 and not op.gemms and layer.kind.kind in ("add", "relu", "dropout")
    if op.name in meaning.sums or pointwise or use.tensor.endswith(".mask"):
        return size * part // nbytes
    if not isinstance(layer.kind, WINDOWS):
        return size
    kind, rows_in, rows_out = layer.kind, meaning.graph.input_shapes(layer)[0].height, layer.shape.height
    kernel, stride, padding = pair(kind.kernel)[0], pair(kind.stride)[0], pair(kind.padding)[0]
    if op.phase is Phase.FORWARD:
        rows = -(-part * rows_out // nbytes)
        return size * min(rows_in, max(0, (rows - 1) * stride - padding + kernel)) // rows_in
    rows = -(-part * rows_in // nbytes)
    return size * min(rows_out, (rows - 1 + padding) // stride + 1) // rows_out
