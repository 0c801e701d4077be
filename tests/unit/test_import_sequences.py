"""Do embeddings, LSTMs and the shapes around them import as the layers that they are?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from onnx_models import constant, model, node, saved, weight  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import wavecore as wc  # noqa: E402
from wavecore.importers.axes import permuted, regrouped  # noqa: E402
from wavecore.importers.model import Activation, Axes, Dims, UnsupportedError  # noqa: E402
from wavecore.importers.onnx import import_onnx  # noqa: E402
from wavecore.importers.torch import import_torch  # noqa: E402
from wavecore.network.graph import LayerGraph  # noqa: E402
from wavecore.network.layers import LSTM, Embedding, Linear  # noqa: E402
from wavecore.network.shapes import Shape  # noqa: E402

WORDS = torch.zeros(3, 7, dtype=torch.long)


class Reads(nn.Module):
    """An LSTM over words, and a function of the module and what its embedding makes."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__()
        self.embedding, self.function = nn.Embedding(50, 12), function
        self.rnn = nn.LSTM(12, 8, **{"batch_first": True, **options})
        self.fc = nn.Linear(16 if options.get("bidirectional") else 8, 50)

    def forward(self, words: Tensor) -> Any:
        return self.function(self, self.embedding(words))


def layers(graph: LayerGraph) -> list[str]:
    return [layer.name for layer in graph]


PLAIN = ["input", "embedding", "rnn.input", "rnn", "fc", "loss"]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.fc(m.rnn(x)[0]),
        lambda m, x: m.fc(m.rnn(x)[0].reshape(-1, 8)),
        lambda m, x: torch.log_softmax(m.fc(m.rnn(x)[0].contiguous().view(-1, 8)), 1),
        lambda m, x: m.fc(m.rnn(x)[0].reshape(-1, 8)).view(x.size(0), x.size(1), -1),
        lambda m, x: m.fc(m.rnn(x)[0]).transpose(1, 2),
        lambda m, x: m.fc(m.rnn(x, (x.new_zeros(1, 3, 8), torch.zeros(1, 3, 8).clone()))[0]),
        lambda m, x: m.fc(m.rnn(x)[0].unsqueeze(1).squeeze(1)),
        lambda m, x: m.fc(m.rnn(x)[0].transpose(0, 1)).transpose(0, 1),
    ],
)
def test_shapes_around_an_lstm_are_no_layers(function: Any) -> None:
    graph = wc.from_torch(Reads(function), WORDS)
    assert layers(graph) == PLAIN
    assert [str(layer.shape) for layer in graph] == ["1x7x1", "12x7x1", "32x7x1", "8x7x1", "50x7x1", "50x7x1"]


def test_a_transpose_may_put_steps_first() -> None:
    """The data are then samples x steps, and the LSTM reads them the other way round."""
    graph = wc.from_torch(Reads(lambda m, x: m.fc(m.rnn(x.transpose(0, 1))[0]), batch_first=False), WORDS)
    assert str(graph.layers[0].shape) == "1x7x1"


def test_both_directions_and_several_layers() -> None:
    module = Reads(lambda m, x: m.fc(m.rnn(x)[0]), bidirectional=True, num_layers=2, dropout=0.3, bias=False)
    graph = wc.from_torch(module, WORDS)
    one = ["rnn.l0.input", "rnn.l0", "rnn.l0_reverse.input", "rnn.l0_reverse", "rnn.l0.concat"]
    two = [name.replace("l0", "l1") for name in one]
    assert layers(graph) == ["input", "embedding", *one, "rnn.dropout", *two, "fc", "loss"]
    assert [graph.by_name[name].kind for name in one[1:4]] == [LSTM(8), Linear(32, bias=False), LSTM(8, reverse=True)]
    assert graph.by_name["rnn.l1"].inputs == ("rnn.l1.input",)
    assert graph.by_name["rnn.l1_reverse.input"].inputs == ("rnn.dropout",)


def test_biases_are_counted_once() -> None:
    module = Reads(lambda m, x: m.fc(m.rnn(x)[0]))
    twice = module.rnn.bias_hh_l0.numel()
    assert wc.from_torch(module, WORDS).parameter_count == sum(each.numel() for each in module.parameters()) - twice


def carries(module: Any, x: Tensor) -> Any:
    outputs, state = module.rnn(x)
    return module.fc(outputs), state


def test_a_state_that_is_returned_is_told() -> None:
    with pytest.warns(wc.ModelNote, match="the final LSTM states that it returns are not written to DRAM"):
        graph = wc.from_torch(Reads(carries), WORDS)
    assert layers(graph)[-1] == "loss"


def test_numbers_are_sequences_where_an_lstm_reads_them() -> None:
    graph = import_torch(nn.LSTM(12, 8, batch_first=True), (3, 7, 12)).graph
    assert [str(layer.shape) for layer in graph] == ["12x7x1", "32x7x1", "8x7x1", "8x7x1"]
    assert layers(graph) == ["input", "lstm.input", "lstm", "loss"]


@pytest.mark.parametrize(
    ("dims", "axes", "wanted", "result"),
    [
        ((3, 7, 8), ("n", "t", "f"), (21, 8), ("nt", "f")),
        ((7, 3, 8), ("t", "n", "f"), (21, 8), ("tn", "f")),
        ((21, 8), ("tn", "f"), (7, 3, 8), ("t", "n", "f")),
        ((7, 1, 8), ("t", "n", "f"), (7, 8), ("tn", "f")),
        ((1, 7, 8), ("n", "t", "f"), (7, 8), ("nt", "f")),
        ((7, 3, 2, 4), ("t", "n", "d", "f"), (7, 3, 8), ("t", "n", "f")),
        ((7, 1, 1, 8), ("t", "d", "n", "f"), (7, 1, 8), ("t", "n", "f")),
        ((3, 7, 8), ("n", "t", "f"), (3, 1, 7, 1, 8), ("n", "", "t", "", "f")),
        ((3, 1, 7, 8), ("n", "", "t", "f"), (3, 7, 8), ("n", "t", "f")),
        ((3, 7, 8), ("n", "t", "f"), (3, 56), None),
        ((3, 7, 8), ("n", "t", "f"), (3, 7, 2, 4), None),
        ((7, 2, 3, 4), ("t", "d", "n", "f"), (7, 6, 4), None),
        ((3, 7, 8), ("n", "t", "f"), (7, 3, 8), None),
    ],
)
def test_axes_that_are_put_together(dims: Dims, axes: Axes, wanted: Dims, result: Axes | None) -> None:
    value = Activation(1, dims, axes)
    if result is None:
        with pytest.raises(UnsupportedError):
            regrouped(Shape(8, 7), value, wanted)
    else:
        assert regrouped(Shape(8, 7), value, wanted) == Activation(1, wanted, result)


def test_axes_that_change_places() -> None:
    value = Activation(1, (7, 2, 3, 4), ("t", "d", "n", "f"))
    assert permuted(value, (0, 2, 1, -1)) == Activation(1, (7, 3, 2, 4), ("t", "n", "d", "f"))
    with pytest.raises(ValueError, match="has 4 axes, of which"):
        permuted(value, (0, 0, 1, 2))


WEIGHTS = [
    weight("e.weight", 50, 12), weight("w", 1, 32, 12), weight("r", 1, 32, 8), weight("b", 1, 64), constant("one", 1),
    weight("w2", 2, 32, 12), weight("r2", 2, 32, 8), weight("m", 8, 50), weight("zero", 1, 3, 8),
    constant("shape", 0, 0, -1), weight("m2", 16, 50),
]  # fmt: skip


def read(folder: Path, nodes: list[Any], weights: list[Any] | None = None, data: Any = (7, 3)) -> LayerGraph:
    proto = model(nodes, [*WEIGHTS, *(weights or [])], data=data, words=len(data) == 2)
    return import_onnx(saved(folder, proto)).graph


GATHER = node("Gather", "e.weight x", "a")
END = [node("Squeeze", "y0 one", "s"), node("MatMul", "s m", "y")]


@pytest.mark.parametrize("state", ["", " _ zero zero"])
@pytest.mark.parametrize("data", [(7, 3), (7, 1), (7, "N")])
def test_an_lstm_in_onnx(tmp_path: Path, state: str, data: Any) -> None:
    nodes = [
        GATHER,
        node("LSTM", f"a w r b{state}", "y0 h c"),
        node("Squeeze", "y0 one", "s"),
        node("MatMul", "s m", "y"),
    ]
    graph = read(tmp_path, nodes, data=data)
    assert [layer.kind for layer in graph][1:5] == [Embedding(50, 12), Linear(32), LSTM(8), Linear(50, bias=False)]
    assert layers(graph) == ["input", "e", "y0_node.input", "y0_node", "y_node", "loss"]
    assert str(graph.layers[-1].shape) == "50x7x1"


@pytest.mark.parametrize(("direction", "count"), [("reverse", 1), ("bidirectional", 2)])
def test_directions_in_onnx(tmp_path: Path, direction: str, count: int) -> None:
    end = "2" if count == 2 else ""
    nodes = [
        GATHER, node("LSTM", f"a w{end} r{end}", "y0", direction=direction, hidden_size=8),
        node("Transpose", "y0", "t", perm=[0, 2, 1, 3]), node("Reshape", "t shape", "s"),
        node("MatMul", f"s m{end}", "y"),
    ]  # fmt: skip
    graph = read(tmp_path, nodes)
    assert [layer.kind for layer in graph if isinstance(layer.kind, LSTM)] == [LSTM(8), LSTM(8, True)][-count:]
    assert graph.by_name["y0_node_reverse.input"].kind == Linear(32, bias=False)
    assert ("y0_node.concat" in graph.by_name) == (count == 2)


def test_samples_first_in_onnx(tmp_path: Path) -> None:
    nodes = [
        GATHER,
        node("LSTM", "a w r", "y0", layout=1),
        node("Reshape", "y0 shape", "s"),
        node("MatMul", "s m", "y"),
    ]
    assert str(read(tmp_path, nodes, data=("N", 7)).layers[0].shape) == "1x7x1"


@pytest.mark.parametrize("size", [3, 5000])
def test_initial_states_that_are_worked_out(tmp_path: Path, size: int) -> None:
    """However large the mini-batch is: nothing is written down of a zero that is repeated."""
    nodes = [
        GATHER, node("Expand", "nil dims", "h"), node("ConstantOfShape", "dims", "c"),
        node("LSTM", "a w r _ _ h c", "y0"), *END,
    ]  # fmt: skip
    found = read(tmp_path, nodes, [constant("nil", 0.0), constant("dims", 1, size, 8)], data=(7, size))
    assert str(found.layers[-1].shape) == "50x7x1"


def test_a_state_that_is_too_large_to_be_looked_at_is_told(tmp_path: Path) -> None:
    nodes = [
        GATHER,
        node("LSTM", "a w r _ _ big big", "y0"),
        node("Squeeze", "y0 one", "s"),
        node("MatMul", "s m", "y"),
    ]
    proto = model(nodes, [*WEIGHTS, weight("big", 1, 5000, 8)], data=(7, 5000), words=True)
    assert import_onnx(saved(tmp_path, proto)).notes == (
        "initial LSTM states that are too large to be read are assumed to be zero: y0_node",
    )


def test_weights_cut_out_of_others(tmp_path: Path) -> None:
    nodes = [
        node("Slice", "w2 one two first", "half"), node("Concat", "half other", "both", axis=1), GATHER,
        node("LSTM", "a both r", "y0"), *END,
    ]  # fmt: skip
    more = [constant("two", 2), constant("first", 0), weight("other", 1, 0, 12)]
    assert Linear(32, bias=False) in [layer.kind for layer in read(tmp_path, nodes, more)]


def test_a_network_of_words_runs() -> None:
    run = wc.simulate(wc.from_torch(Reads(lambda m, x: m.fc(m.rnn(x)[0])), WORDS), "mbs2", batch=4)
    products = 7 * (12 * 32 + 8 * 32 + 8 * 50)
    assert run.macs == 4 * 3 * products
    assert np.isfinite(run.step_seconds)
