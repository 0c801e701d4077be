"""The whole message for each way in which a module cannot be imported."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import wavecore as wc  # noqa: E402
from wavecore.errors import InputError  # noqa: E402

GENERAL = "a network without them, or a layer kind for them (ARCHITECTURE.md, How to add)"
TRACED = "an example of the right shape, and a forward of one path"


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
            "from_torch: a str is no module; try: a torch.nn.Module",
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
            "from_torch: the example's shape 3 has no samples first; try: (1, 3, 224, 224)",
        ),
        (
            nn.Conv1d(3, 4, 3),
            (1, 3, 9),
            "module Conv1d, input input: has 3 axes; try: samples x channels x height x width, or samples x features",
        ),
        (
            nn.ReLU(),
            (1, 3, 8, 8),
            "module ReLU: has no layer with weights, so there is nothing to train; try: another model",
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
    with pytest.warns(wc.ModelNote, match="share the weight of an earlier one are costed with their own: conv2d_1$"):
        graph = wc.from_torch(nn.Sequential(shared, shared), (1, 3, 8, 8))
    assert graph.parameter_count == 2 * (81 + 3)
