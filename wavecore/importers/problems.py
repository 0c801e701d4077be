"""List all operations that cannot be costed in one message: operator, count, nodes, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavecore.errors import GraphError
from wavecore.importers.model import OperatorNode
from wavecore.importers.naming import clean

SHOWN_NODES = 3
SHOWN_OPERATORS = 12

_CONTROL = "a model without control flow: torch.onnx.export of one path through it"
_QUANTIZED = "the model before it was quantized"
_FOREIGN = "a model of standard ONNX operators (onnx.inliner.inline_local_functions replaces local functions)"
_RECURRENT = "nn.LSTM over the whole sequence, the only supported recurrent layer"
_GENERAL = "a network without them, or a layer kind for them (ARCHITECTURE.md, How to add)"

ADVICE: Mapping[str, str] = {
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), _CONTROL),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QuantizeLinear", "DequantizeLinear", "ConvInteger"), _QUANTIZED),
    **dict.fromkeys(("GRU", "RNN", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu"), _RECURRENT),
    **dict.fromkeys(("aten.lstm_cell", "aten.gru_cell"), _RECURRENT),
    "aten._pack_padded_sequence": "sequences of one length",
    **dict.fromkeys(("aten.select", "aten.slice", "Slice"), "a network that uses all steps, and whole images"),
    "LRN": "a network without local response normalization, like the built-in alexnet",
    "Pad": "the padding in the convolution or pooling behind it",
    "Transpose": "images as samples x channels x height x width (tf2onnx --inputs-as-nchw)",
}
"""Advice for an operator, where it is more specific than `_GENERAL`."""

SHAPELESS = frozenset({
    "sigmoid", "hardsigmoid", "tanh", "hardtanh", "relu", "leakyrelu", "leaky_relu", "prelu", "elu", "celu", "selu",
    "gelu", "silu", "hardswish", "mish", "softplus", "softsign", "softmax", "logsoftmax", "log_softmax", "clip",
    "clamp", "exp", "log", "sqrt", "erf", "abs", "neg", "lrn", "mul", "add", "sub", "div", "pow",
})  # fmt: skip
"""Operators that keep the shape: the nodes behind an unsupported one can still be checked."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An operation that no layer kind represents: ``what`` is unsupported about it, and ``advice`` (may be empty)."""

    node: OperatorNode
    what: str
    advice: str


def unsupported(where: str, problems: Sequence[Problem]) -> GraphError:
    """Return the error that lists all ``problems`` by operator, with advice for each kind of problem."""
    grouped: dict[str, list[Problem]] = {}
    for problem in problems:
        operator = clean(problem.node.operator)
        grouped.setdefault(f"{operator}, {problem.what}" if problem.what else operator, []).append(problem)
    entries = [f"{label} ({_nodes(found)})" for label, found in grouped.items()]
    if len(entries) > SHOWN_OPERATORS:
        entries = [*entries[:SHOWN_OPERATORS], f"and {len(entries) - SHOWN_OPERATORS} more"]
    count = f"{len(problems)} operation{'s' if len(problems) > 1 else ''} cannot be costed"
    return GraphError(where, f"{count}: {'; '.join(entries)}", "; ".join(dict.fromkeys(map(_advice, problems))))


def keeps_shape(operator: str) -> bool:
    """Return whether an operator's output has the shape of its first input, judged by the operator's name."""
    return operator.removeprefix("aten.").lower() in SHAPELESS


def _nodes(problems: Sequence[Problem]) -> str:
    names = ", ".join(clean(problem.node.name) for problem in problems[:SHOWN_NODES])
    return f"{len(problems)}: {names}, ..." if len(problems) > SHOWN_NODES else f"{len(problems)}: {names}"


def _advice(problem: Problem) -> str:
    operator = problem.node.operator
    if problem.advice:
        return problem.advice
    return ADVICE.get(operator, _FOREIGN if "::" in operator else _GENERAL)
