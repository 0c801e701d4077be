"""Import PyTorch modules, traced by `torch.export`: the forward runs once, on tensors without elements.

Images and vectors are traced with two samples, whatever the example has, since some modules do not train on one sample.
A sequence is traced as given, since only the module knows which axis is the samples.  An in-place operator counts as
its result: later reads of the tensor read that result.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any

from wavecore.errors import GraphError, InputError
from wavecore.importers.assembly import ImportedNetwork, assemble
from wavecore.importers.builder import LARGEST_SIDE
from wavecore.importers.model import ImportedModel, OperatorNode, unknown
from wavecore.importers.naming import clean
from wavecore.importers.normalization import rules
from wavecore.importers.torch_operators import TABLE
from wavecore.network.graph import LayerGraph

if TYPE_CHECKING:
    import torch

SAMPLES = 2
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")


def from_torch(
    module: torch.nn.Module,
    example_input: torch.Tensor | Sequence[int],
    *,
    norm: str = "group",
    name: str | None = None,
) -> LayerGraph:
    """Return the network of ``module``; its weights are neither read nor changed.

    ``example_input`` is a tensor, samples first, or only its shape; its elements do not matter.  Words are a tensor of
    integers, samples x steps, or steps x samples if the LSTMs expect that.  ``norm`` says how batch normalization is
    imported (`wavecore.importers.normalization`); ``name`` is the network's name, by default that of the class.  The
    module is traced in its current mode, training or evaluation; dropout counts in both.  Issues a `ModelNote` warning
    for everything that may differ from what was meant.

    Raises `GraphError` for a module that cannot be traced or costed, with all unsupported operators at once, and
    `InputError` for a wrong option or if PyTorch is missing.
    """
    return import_torch(module, example_input, norm=norm, name=name).warned()


def import_torch(
    module: torch.nn.Module,
    example_input: torch.Tensor | Sequence[int],
    *,
    norm: str = "group",
    name: str | None = None,
) -> ImportedNetwork:
    """Import as `from_torch` does, and return the network with its notes."""
    where = f"module {type(module).__name__}"
    chosen = rules(where, norm)
    try:
        pytorch = import_module("torch")
    except ImportError:
        raise InputError("from_torch", "PyTorch is not installed", 'pip install "wavecore[torch]"') from None
    if not isinstance(module, pytorch.nn.Module):
        raise InputError("from_torch", f"a {type(module).__name__} is not a module", "a torch.nn.Module")
    example = _example(pytorch, module, example_input)
    program = _exported(pytorch, where, module, example)
    model = _model(clean(name or type(module).__name__), where, program, example)
    return assemble(model, TABLE, chosen)


def _example(pytorch: Any, module: torch.nn.Module, example_input: Any) -> Any:
    """Return an empty tensor like the example; `InputError` if it is not a usable example.

    Images and vectors get `SAMPLES` samples, sequences keep theirs.
    """
    like = next(module.parameters(), pytorch.empty(0))
    if isinstance(example_input, pytorch.Tensor):
        shape, dtype = tuple(example_input.shape), example_input.dtype
    elif isinstance(example_input, (tuple, list)) and all(isinstance(size, int) for size in example_input):
        shape, dtype = tuple(example_input), like.dtype
    else:
        what = f"the example is a {type(example_input).__name__}, not one tensor or its shape"
        raise InputError("from_torch", what, "torch.empty(1, 3, 224, 224) or (1, 3, 224, 224)")
    if len(shape) < 2 or min(shape) < 1:
        what = f"the example's shape ({', '.join(map(str, shape))}) is not one or more samples of non-empty axes"
        raise InputError("from_torch", what, "(1, 3, 224, 224)")
    words = len(shape) == 2 and not dtype.is_floating_point
    if (words or len(shape) == 3) and max(
        shape[:2]
    ) > LARGEST_SIDE:  # tracing time grows with the length of the sequence
        what = f"the example's shape {'x'.join(map(str, shape))} has an axis above {LARGEST_SIDE}"
        raise InputError("from_torch", what, "a shorter sequence")
    samples = shape[0] if words or len(shape) == 3 else SAMPLES
    return pytorch.empty((samples, *shape[1:]), dtype=dtype, device=like.device)


def _exported(pytorch: Any, where: str, module: torch.nn.Module, example: Any) -> Any:
    """Return the traced program; `GraphError` with the first line of any error of the module or the tracer."""
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        try:
            return pytorch.export.export(module, (example,), strict=False)
        except Exception as problem:  # the code of a module may raise anything
            first_line = next(iter(str(problem).splitlines()), "")
            what = f"cannot be traced: {type(problem).__name__}: {first_line}"
            raise GraphError(where, what, _advice(pytorch, module, example)) from problem


def _advice(pytorch: Any, module: torch.nn.Module, example: Any) -> str:
    if example.is_floating_point() and any(isinstance(each, pytorch.nn.Embedding) for each in module.modules()):
        return "words as integers: torch.zeros(1, 35, dtype=torch.long)"
    return "an example of the right shape, and a forward without data-dependent branches"


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what the tracer logs and prints; it raises the same as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


def _model(name: str, where: str, program: Any, example: Any) -> ImportedModel:
    signature = program.graph_signature
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    (data,) = signature.user_inputs
    fixed = {key: unknown(_dims(node)) for key, node in placeholders.items() if key != data and _dims(node) is not None}
    names: dict[str, str] = {}
    nodes = tuple(_nodes(program.graph, names))
    outputs = tuple(names.get(output, output) for output in signature.user_outputs if isinstance(output, str))
    words = example.dim() == 2 and not example.is_floating_point()
    return ImportedModel(
        name=name,
        where=where,
        data=data,
        dims=tuple(example.shape),
        fixed=fixed,
        nodes=nodes,
        outputs=outputs,
        sequence=words or (example.dim() == 3 and any(node.operator == "aten.lstm" for node in nodes)),
    )


def _dims(node: Any) -> Any:
    """Return the shape of a node's (first) result; None if that is not a tensor."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return tuple(map(int, value.shape)) if hasattr(value, "shape") else None


def _nodes(graph: Any, names: dict[str, str]) -> Iterator[OperatorNode]:
    """Yield the operations.

    Fills ``names`` with the current name of a value: elements of tuples, and the results of in-place operators.
    """
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        schema = getattr(node.target, "_schema", None)
        if schema is None and getattr(node.target, "__name__", "") == "getitem":
            source, index = node.args
            names[node.name] = names.get(source.name, source.name) if index == 0 else f"{source.name}[{index}]"
            continue
        yield _node(node, schema, names)


def _node(node: Any, schema: Any, names: dict[str, str]) -> OperatorNode:
    inputs: list[str] = []
    attributes: dict[str, Any] = {"dims": _dims(node)}
    target = str(node.target)
    operator = ".".join(target.split(".")[:2]) if schema is not None else target
    for position, argument in enumerate(schema.arguments if schema is not None else ()):
        given = (
            node.args[position] if position < len(node.args) else node.kwargs.get(argument.name, argument.default_value)
        )
        tensors = _tensors(given)
        if tensors:
            inputs += [names.get(tensor.name, tensor.name) for tensor in tensors]
        elif "Tensor" in str(argument.type):
            inputs.append("")
        attributes[argument.name] = None if tensors else given
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if operator.endswith("_"):
        names[node.args[0].name] = node.name
        operator = operator.rstrip("_")
    while inputs and not inputs[-1]:
        inputs.pop()
    states = [f"{node.name}[{index}]" for index in (1, 2)] if operator in _RECURRENT else []
    return OperatorNode(
        operator=operator,
        name=node.name,
        path=str(stack[-1][0]) if stack else "",
        inputs=tuple(inputs),
        outputs=(node.name, *states),
        attributes=attributes,
    )


def _tensors(given: Any) -> list[Any]:
    """Return the tensors of an argument: itself, or those of a list."""
    items = given if isinstance(given, (tuple, list)) else [given]
    return [item for item in items if hasattr(item, "op") and hasattr(item, "meta")]
