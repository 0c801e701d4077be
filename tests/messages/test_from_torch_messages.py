"""The whole message for each way in which a module cannot be imported."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import wavecore as wc  # noqa: E402
from wavecore.errors import InputError  # noqa: E402

GENERAL = "a network without them, or a layer kind for them (ARCHITECTURE.md, How to add)"
TRACED = "an example of the right shape, and a forward without data-dependent branches"


class Fork(nn.Module):
    """Goes one way or the other, as the data say."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum() > 0 else x  # type: ignore[no-any-return]


class Two(nn.Module):
    """Takes two images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.conv(x) + y  # type: ignore[no-any-return]


class Reads(nn.Module):
    """An embedding, a recurrent layer, and a function of the module and its words."""

    def __init__(self, function: Any, rnn: Any = nn.LSTM, sparse: bool = False, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 12, sparse=sparse)
        self.rnn, self.fc = rnn(12, 8, **{"batch_first": True, **options}), nn.Linear(8, 50)
        self.state, self.function = nn.Parameter(torch.ones(1, 2, 8)), function

    def forward(self, words: Tensor) -> Tensor:
        return self.function(self, self.embedding(words))  # type: ignore[no-any-return]


def refused(module: Any, example: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        wc.from_torch(module, example, **options)
    return caught.value.message


def test_all_unsupported_operators_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    """What is behind one that leaves the shape as it is, too; and nothing is printed beside."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Sigmoid(), nn.SiLU(), nn.Sigmoid(), nn.Conv2d(8, 4, 3, dilation=2), nn.Tanh()
    )
    assert refused(module, (1, 3, 16, 16)) == (
        "module Sequential: 5 operations cannot be costed: aten.sigmoid (2: sigmoid, sigmoid_1); aten.silu (1: silu); "
        f"aten.conv2d, dilated (1: conv2d_1); aten.tanh (1: tanh); try: {GENERAL}; "
        "a network without dilated convolutions"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (
            "resnet50",
            (1, 3, 8, 8),
            "from_torch: a str is not a module; try: a torch.nn.Module",
        ),
        (
            nn.Conv2d(3, 4, 3),
            "image",
            "from_torch: the example is a str, not one tensor or its shape; "
            "try: torch.empty(1, 3, 224, 224) or (1, 3, 224, 224)",
        ),
        (
            nn.Conv2d(3, 4, 3),
            (3,),
            "from_torch: the example's shape (3) is not one or more samples of non-empty axes; try: (1, 3, 224, 224)",
        ),
        (
            nn.Conv1d(3, 4, 3),
            (1, 3, 9),
            "module Conv1d, input input: has 3 axes; try: samples x channels x height x width, or samples x features",
        ),
        (
            nn.ReLU(),
            (1, 3, 8, 8),
            "module ReLU: has no layer with weights, so there is nothing to train; try: a model with trainable weights",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-1.0, 1.0)),
            (1, 3, 8, 8),
            "module Sequential: 1 operation cannot be costed: aten.hardtanh, from -1 to 1 (1: hardtanh); "
            "try: ReLU or ReLU6",
        ),
        (
            Two(),
            (1, 3, 8, 8),
            f"module Two: cannot be traced: TypeError: missing a required argument: 'y'; try: {TRACED}",
        ),
    ],
)  # fmt: skip
def test_a_module_that_makes_no_network(module: Any, example: Any, message: str) -> None:
    assert refused(module, example) == message


def test_a_forward_that_depends_on_its_data(capfd: pytest.CaptureFixture[str]) -> None:
    message = refused(Fork(), (1, 3, 8, 8))
    assert message.startswith("module Fork: cannot be traced: GuardOnDataDependentSymNode: ")
    assert message.endswith(f"; try: {TRACED}") and "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_an_option_that_does_not_exist() -> None:
    message = "module Conv2d: there is no norm named 'grup'; try: group"
    assert refused(nn.Conv2d(3, 4, 3), (1, 3, 8, 8), norm="grup") == message


def test_several_outputs_go_to_dram() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            x = self.conv(x)
            return {"one": x, "two": self.other(x)}

    graph = wc.from_torch(Heads(), (1, 3, 8, 8))
    assert [layer.name for layer in graph] == ["input", "conv", "other", "conv.output", "other.output"]


def test_layers_that_share_a_weight_are_told() -> None:
    shared = nn.Conv2d(3, 3, 3)
    with pytest.warns(
        wc.ModelNote, match="share the weight of an earlier one are costed as if each had its own: conv2d_1$"
    ):
        graph = wc.from_torch(nn.Sequential(shared, shared), (1, 3, 8, 8))
    assert graph.parameter_count == 2 * (81 + 3)


WORDS = torch.zeros(2, 7, dtype=torch.long)
OTHER = "nn.LSTM over the whole sequence, the only supported recurrent layer"


def every_step(m: Any, x: Tensor) -> Any:
    return m.fc(m.rnn(x)[0])


@pytest.mark.parametrize(
    ("module", "what"),
    [
        (Reads(every_step, nn.GRU), f"aten.gru (1: gru); try: {OTHER}"),
        (Reads(every_step, nn.RNN), f"aten.rnn_tanh (1: rnn_tanh); try: {OTHER}"),
        (Reads(lambda m, x: m.rnn(x)[0], proj_size=4), "aten.lstm, with projections (1: lstm); try: proj_size=0"),
        (
            Reads(lambda m, x: m.fc(m.rnn(x, (m.state, m.state))[0])),
            "aten.lstm, with an initial state that is not zero (1: lstm); "
            "try: a network whose LSTMs are given no initial state, so that they begin with zeros",
        ),
        (
            Reads(lambda m, x: m.fc(m.rnn(x)[1][0][-1])),
            "aten.select, of an LSTM's final state (1: select); "
            "try: a network that reads the LSTM's outputs of all steps",
        ),
        (
            Reads(lambda m, x: m.fc(m.rnn(x)[0][:, -1])),
            "aten.select (1: select); try: a network that uses all steps, and whole images",
        ),
        (
            Reads(every_step, sparse=True),
            "aten.embedding, with sparse gradients (1: embedding); "
            "try: sparse=False: gradients of embeddings are costed as dense",
        ),
        (
            Reads(lambda m, x: m.fc(m.rnn(x)[0]).flatten(1)),
            "aten.flatten, of a sequence to 2x350 (1: flatten); "
            "try: a reshape that only joins samples and steps",
        ),
    ],
)  # fmt: skip
def test_a_sequence_that_cannot_be_costed(module: nn.Module, what: str) -> None:
    assert refused(module, WORDS) == f"module Reads: 1 operation cannot be costed: {what}"


def test_lstms_that_disagree_on_which_axis_is_the_samples() -> None:
    module = Reads(lambda m, x: m.fc(m.rnn(m.other(x)[0])[0]))
    module.other = nn.LSTM(12, 12)
    assert refused(module, WORDS) == (
        "module Reads: 1 operation cannot be costed: aten.lstm, over samples x steps, but its input is steps x samples "
        "(1: lstm_1); try: the same batch_first in all LSTMs, or a transpose between them"
    )


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (
            Reads(every_step), (1, 7),
            "try: words as integers: torch.zeros(1, 35, dtype=torch.long)",
        ),
        (
            Reads(every_step), torch.zeros(1, 40_000, dtype=torch.long),
            "from_torch: the example's shape 1x40000 has an axis above 32768; try: a shorter sequence",
        ),
        (
            Reads(lambda m, x: m.rnn(x)[1]), WORDS,
            "module Reads: has no output other than the final state of an LSTM; try: a model that returns an output",
        ),
        (
            nn.LSTM(12, 8), (7, 12),
            "module LSTM: 1 operation cannot be costed: aten.lstm, of an input that is not a sequence (1: lstm); "
            "try: samples x steps x features from the input to the LSTM",
        ),
        (
            nn.Embedding(70_000, 4), WORDS,
            "module Embedding, aten.embedding embedding: has 70000 words, and words are numbers below 65536; "
            "try: other sizes, or a larger image",
        ),
    ],
)  # fmt: skip
def test_an_example_or_a_size_that_does_not_fit(module: nn.Module, example: Any, message: str) -> None:
    assert refused(module, example).endswith(message)
