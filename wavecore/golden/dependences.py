"""How many bytes of each operand the results of a command's steps depend on; tokens must not allow a read before.

Samples are stored one after the other, and an image row by row.  A convolution or pooling window needs the rows under
it, and an elementwise operation the same share of a sample as it has computed.  Everything else (normalization,
linear layers, global and adaptive pooling, the loss) needs whole samples, and batch normalization all samples.
The last step of every command needs all bytes; for weight gradients no other step is checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.golden.semantics import Semantics
from wavecore.network.layers import AvgPool, Conv, MaxPool
from wavecore.network.layers.base import pair
from wavecore.program.commands import Command, Flow, progress
from wavecore.training.operations import Operation, Phase

WINDOWS = (Conv, MaxPool, AvgPool)


def needed_bytes(meaning: Semantics, op: Operation, command: Command) -> list[dict[str, int]]:
    """Return for each step the bytes of every batched operand that the results of steps 0 to this one depend on."""
    tensors = meaning.training.tensors
    reads = {use.tensor: _read_bytes(meaning, op, use.tensor) for use in op.reads if tensors[use.tensor].batched}
    flows = list(_results(command))
    table = []
    for step in range(command.steps):
        if step == command.steps - 1:
            table.append({name: nbytes * command.samples for name, nbytes in reads.items()})
            continue
        need = dict.fromkeys(reads, 0)
        for made, flow in flows:
            done = progress(flow, command, step)
            if op.whole_batch and done:
                need = {name: nbytes * command.samples for name, nbytes in reads.items()}
                break
            whole, part = divmod(done, tensors[made].nbytes)
            for name, nbytes in reads.items():
                within = _within(meaning, op, name, part, tensors[made].nbytes) if part else 0
                need[name] = max(need[name], whole * nbytes + within * nbytes // tensors[name].nbytes)
        table.append(need)
    return table


def _read_bytes(meaning: Semantics, op: Operation, name: str) -> int:
    """Return the bytes per sample that an operation uses of a tensor.

    That is the whole tensor, except that of the gradient of a concatenation only the operation's columns count.
    """
    if op.name in meaning.sums:
        parts = [part for part in meaning.sums[op.name][1] if part.tensor == name]
    else:
        gradient = meaning.units[op.unit].gradient
        parts = [gradient] if gradient is not None and gradient.tensor == name else []
    columns = {column for part in parts for column in range(part.first, part.last)}
    return len(columns) * ELEMENT_BYTES if columns else meaning.training.tensors[name].nbytes


def _results(command: Command) -> Iterator[tuple[str, Flow]]:
    """Yield each batched result of a command with the flow at which its bytes become visible to others."""
    for token in command.posts:
        yield token.tensor, token.flow
    for store in command.stores:
        if store.transfer.tensor.batched:
            yield store.transfer.tensor.name, Flow(store.flow.total, store.visible)


def _within(meaning: Semantics, op: Operation, name: str, part: int, nbytes: int) -> int:
    """Return the bytes of one sample of ``name`` on which the first ``part`` bytes of a result's sample depend.

    ``nbytes`` is the size of one sample of the result.  A forward window over rows of stride s, padding p and kernel
    k reads input rows up to (r - 1) s - p + k for r output rows; backward is the inverse.
    """
    size = meaning.training.tensors[name].nbytes
    layer = meaning.units[op.unit].layer
    pointwise = len(op.passes) == 1 and not op.gemms and layer.kind.kind in ("add", "relu", "dropout")
    if op.name in meaning.sums or pointwise or name.endswith(".mask"):
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
