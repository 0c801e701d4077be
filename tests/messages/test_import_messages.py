"""The whole message for each way in which a model cannot be imported."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

from onnx import helper
from onnx_models import classifier, constant, model, node, saved, weight

import wavecore as wc
from wavecore.cli import main
from wavecore.errors import InputError
from wavecore.importers.onnx import import_onnx

CONV = node("Conv", "x w", "a", pads=[1, 1, 1, 1])
WEIGHTS = [weight("w", 8, 3, 3, 3), weight("m", 100, 10), constant("s", -1, 4), weight("k", 8, 8, 3, 3)]
RECURRENT = "nn.LSTM over the whole sequence, the only supported recurrent layer"
GENERAL = "a network without them, or a layer kind for them (ARCHITECTURE.md, How to add)"
CHECKER = "the complete file; onnx.checker gives details"
PICKLE = "may be a pickle, which can run any code when it is read; it is never opened"
PYTORCH = "wavecore.from_torch(module, example_input) in Python, or torch.onnx.export(...) to an .onnx file"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path()


def refused(folder: Path, nodes: list[Any], **options: Any) -> str:
    """What is said of a model that begins with a convolution ``x -> a``."""
    with pytest.raises(InputError) as caught:
        import_onnx(saved(folder, model([CONV, *nodes], WEIGHTS, **options)))
    return caught.value.message


def test_all_unsupported_operators_at_once(folder: Path) -> None:
    """Also what is behind one that leaves the shape as it is."""
    nodes = [
        node("Sigmoid", "a", "s1"), node("Sigmoid", "s1", "s2"), node("Mul", "a s2", "m1"),
        node("Conv", "m1 k", "d", dilations=[2, 2]), node("Loop", "d", "l"),
        helper.make_node("Fused", ["l"], ["y"], "fused", domain="com.acme"),
    ]  # fmt: skip
    assert refused(folder, nodes) == (
        "model.onnx: 6 operations cannot be costed: Sigmoid (2: s1_node, s2_node); Mul, of two branches (1: m1_node); "
        "Conv, dilated (1: d_node); Loop (1: l_node); com.acme::Fused (1: fused); "
        f"try: {GENERAL}; a network without dilated convolutions; "
        "a model without control flow: torch.onnx.export of one path through it; "
        "a model of standard ONNX operators (onnx.inliner.inline_local_functions replaces local functions)"
    )


def test_of_many_nodes_some_are_named(folder: Path) -> None:
    nodes = [node("Tanh", "a", f"t{index}") for index in range(9)]
    total = node("Sum", " ".join(f"t{index}" for index in range(9)), "y")
    assert refused(folder, [*nodes, total]) == (
        f"model.onnx: 9 operations cannot be costed: Tanh (9: t0_node, t1_node, t2_node, ...); try: {GENERAL}"
    )


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        (
            [node("Relu", "nowhere", "y")],
            {},
            ", Relu y_node: reads 'nowhere', which no node makes; try: the complete model",
        ),
        (
            [node("Add", "a y", "b"), node("Relu", "b", "y")],
            {},
            ", Add b_node: reads 'y', which the later node y_node makes; "
            "try: a graph without cycles, with its nodes in order",
        ),
        (
            [node("Relu", "a", "a")],
            {"outputs": ("a",)},
            ", Relu a_node: makes 'a', which exists already; try: a different name for each value",
        ),
        (
            [node("Relu", "a", "y")],
            {"data": ("N", 3, "H", None)},
            ", input x: leaves its height or width open (H x ?); try: --option image=224, or image=HxW",
        ),
        (
            [node("Relu", "a", "y")],
            {"data": (1, "C", 8, 8)},
            ", input x: leaves its channels or features open (C); try: an export with a fixed number",
        ),
        (
            [node("Relu", "a", "y")],
            {"data": (1, 3, 8)},
            ", input x: has 3 axes; try: samples x channels x height x width, or samples x features",
        ),
        (
            [node("Relu", "a", "y")],
            {"data": (1, 3, 1 << 20, 8)},
            ", input x: 3x1048576x8 has a side above 32768; try: a smaller input",
        ),
        (
            [node("Relu", "a", "y")],
            {"data": (1, 5, 8, 8)},
            ", Conv a_node: its weight takes 3 channels, but its input has 5; try: other sizes, or a larger image",
        ),
        (
            [node("Relu", "a", "y")],
            {"outputs": ("z",)},
            ": its output 'z' does not depend on its input; try: a model whose output is computed from its input",
        ),
        (
            [node("Add", "a z", "y")],
            {"inputs": {"z": (1, 8, "H", 8)}},
            ": has other inputs of open shape besides x: z; try: a model of one input, its data",
        ),
        (
            [node("Add", "a z", "y")],
            {"inputs": {"z": (1, 8, 8, 8)}},
            ": 1 operation cannot be costed: Add, of another input (1: y_node); try: a model of one input, its data",
        ),
        (
            [node("Flatten", "a", "f"), node("Gemm", "f m", "y")],
            {},
            ", Gemm y_node: its weight takes 100 features, but its input has 512; try: other sizes, or a larger image",
        ),
        (
            [node("Reshape", "a s", "y")],
            {},
            ": 1 operation cannot be costed: Reshape, across samples (1: y_node); "
            "try: shapes whose first axis is the samples",
        ),
        (
            [node("MaxPool", "a", "y", kernel_shape=[2, 2], strides=[5000, 1])],
            {},
            ", MaxPool y_node: has a kernel, stride or padding above 1024; try: other sizes, or a larger image",
        ),
    ],
)
def test_a_model_that_makes_no_network(folder: Path, nodes: list[Any], options: dict[str, Any], message: str) -> None:
    assert refused(folder, nodes, **options) == f"model.onnx{message}"


SEQUENCE = [
    weight("e", 50, 12),
    weight("lw", 1, 32, 12),
    weight("lr", 1, 32, 8),
    weight("lm", 8, 50),
    constant("one", 1),
]
GATHER, LSTM = node("Gather", "e x", "a"), node("LSTM", "a lw lr", "l h c")
END = [node("Squeeze", "l one", "q"), node("MatMul", "q lm", "y")]
ONES = constant("ones", *[1.0] * 24)
ONES.dims[:] = [1, 3, 8]


@pytest.mark.parametrize(
    ("nodes", "data", "message"),
    [
        (
            [GATHER, LSTM, *END], ("steps", "N"),
            ", input x: leaves its number of steps open; try: an export with a fixed number of steps",
        ),
        (
            [GATHER, LSTM, *END], (1 << 20, 1),
            ", input x: 1x1048576x1 has a side above 32768; try: a smaller input",
        ),
        (
            [GATHER, node("GRU", "a lw lr", "l"), *END], (7, 3),
            f": 1 operation cannot be costed: GRU (1: l_node); try: {RECURRENT}",
        ),
        (
            [GATHER, node("LSTM", "a lw lr _ lengths", "l"), *END], (7, 3),
            ": 1 operation cannot be costed: LSTM, of sequences of different lengths (1: l_node); "
            "try: sequences of one length",
        ),
        (
            [GATHER, node("LSTM", "a lw lr _ _ ones ones", "l"), *END], (7, 3),
            ": 1 operation cannot be costed: LSTM, with an initial state that is not zero (1: l_node); "
            "try: a network whose LSTMs are given no initial state, so that they begin with zeros",
        ),
        (
            [GATHER, node("LSTM", "a lw lr _ _ given given", "l"), *END], (7, 3),
            ": 1 operation cannot be costed: "
            "LSTM, with an initial state that is an input or depends on one (1: l_node); "
            "try: a network whose LSTMs are given no initial state, so that they begin with zeros",
        ),
        (
            [GATHER, node("LSTM", "a lw lr _ _ _ _ ones", "l"), *END], (7, 3),
            ": 1 operation cannot be costed: LSTM, with other activation functions or with peepholes (1: l_node); "
            "try: a plain LSTM",
        ),
        (
            [GATHER, node("LSTM", "a lw lr", "l", clip=3.0), *END], (7, 3),
            ": 1 operation cannot be costed: LSTM, with unsupported attributes (1: l_node); "
            "try: the attributes that PyTorch exports",
        ),
        (
            [GATHER, node("LSTM", "a lr lr", "l"), *END], (7, 3),
            ", LSTM l_node: its weight takes 8 features, but its input has 12; try: other sizes, or a larger image",
        ),
        (
            [GATHER, node("LSTM", "a lw lw", "l"), *END], (7, 3),
            ", LSTM l_node: its weights are 1x32x12 and 1x32x12, which are not 4 gates of the same number of units; "
            "try: other sizes, or a larger image",
        ),
        (
            [GATHER, LSTM, node("Squeeze", "h one", "q"), node("MatMul", "q lm", "y")], (7, 3),
            ": 1 operation cannot be costed: MatMul, of an LSTM's final state (1: y_node); "
            "try: a network that reads the LSTM's outputs of all steps",
        ),
        (
            [GATHER, LSTM, node("Gather", "l one", "q"), node("MatMul", "q lm", "y")], (7, 3),
            ": 1 operation cannot be costed: Gather, of parts of an activation (1: q_node); "
            "try: a network that uses all steps and features",
        ),
        (
            [GATHER, LSTM, node("Transpose", "l", "t", perm=[0, 1, 3, 2]), node("MatMul", "t lm", "y")], (7, 3),
            ": 1 operation cannot be costed: MatMul, over an axis other than the features (1: y_node); "
            "try: the features as the last axis",
        ),
    ],
)  # fmt: skip
def test_a_sequence_that_cannot_be_costed(folder: Path, nodes: list[Any], data: Any, message: str) -> None:
    weights = [*SEQUENCE, ONES, constant("lengths", 7, 7, 6)]
    proto = model(nodes, weights, data=data, words=True, inputs={"given": (1, 3, 8)})
    with pytest.raises(InputError) as caught:
        import_onnx(saved(folder, proto))
    assert caught.value.message == f"model.onnx{message}"


def test_a_weight_of_impossible_size(folder: Path) -> None:
    proto = classifier()
    proto.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]
    with pytest.raises(InputError) as caught:
        import_onnx(saved(folder, proto))
    assert caught.value.message == (
        "model.onnx: tensor conv.weight of 2 axes and 1208925819614629174706176 elements is out of range; "
        "try: up to 16 axes and 2147483648 elements"
    )


def test_nothing_to_train(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        import_onnx(saved(folder, model([node("Relu", "x", "y")])))
    assert caught.value.message == (
        "model.onnx: has no layer with weights, so there is nothing to train; try: a model with trainable weights"
    )


WHOLE = classifier().SerializeToString()


@pytest.mark.parametrize(
    ("name", "content", "what", "hint"),
    [
        ("a.onnx", None, "there is no such file", "the path of an .onnx file"),
        ("a.onnx", b"", "is empty", "an .onnx file"),
        ("a.onnx", b"\x08\x07", "contains no network", "an .onnx file with a graph"),
        ("a.onnx", WHOLE[:300], "is truncated or not an ONNX file: the data at byte 2 cannot be decoded", CHECKER),
        ("a.onnx", b"PK\x03\x04....", "is a checkpoint or a pickle by its first bytes, not an ONNX file", PYTORCH),
        ("a.onnx", b"\x80\x04\x95", "is a checkpoint or a pickle by its first bytes, not an ONNX file", PYTORCH),
        ("a.pt", b"x", PICKLE, PYTORCH),
        ("a.pth", None, PICKLE, PYTORCH),
        ("a.safetensors", b"x", ".safetensors files hold weights but no network", PYTORCH),
    ],
)
def test_a_file_that_is_refused(folder: Path, name: str, content: bytes | None, what: str, hint: str) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        wc.from_onnx(name)
    assert caught.value.message == f"{name}: {what}; try: {hint}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.pt",), f"a.pt: {PICKLE}\n  try: {PYTORCH}"),
        (
            ("no.onnx",),
            "no.onnx: there is no such file, and no workload of that name\n"
            "  try: a registered name (wavecore list workloads), an .onnx model or a SCALE-Sim topology .csv",
        ),
        (("m.onnx", "--width", "2"), "m.onnx: there is no option named 'width'\n  try: one of folded, image, norm"),
        (("m.onnx", "--option", "norms=group"), "m.onnx: there is no option named 'norms'\n  try: norm"),
        (("m.onnx", "--option", "norm=bach"), "m.onnx: there is no norm named 'bach'\n  try: batch"),
        (("m.onnx", "--option", "folded=no"), "m.onnx: there is no folded named 'no'\n  try: one of keep, restore"),
        (("m.onnx", "--image", "big"), "m.onnx: image is 'big', not a size\n  try: image=224 or image=224x320"),
        (("m.onnx", "--image", "0"), "m.onnx: image is '0', not a size\n  try: image=224 or image=224x320"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "compare", "plan", "program"])
def test_on_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, words: tuple[str, ...], said: str
) -> None:
    (folder / "a.pt").write_bytes(b"x")
    saved(folder, classifier(), "m.onnx")
    assert main((command, *words)) == 2
    assert capsys.readouterr() == ("", f"error: {said}\n")


def test_a_normalization_that_was_folded_away_is_told(folder: Path) -> None:
    proto = model([node("Conv", "x w b", "y")], [weight("w", 8, 3, 3, 3), weight("b", 8)])
    with pytest.warns(wc.ModelNote) as told:
        kept = wc.from_onnx(saved(folder, proto))
    assert [str(each.message) for each in told] == [
        "model: 1 of the convolutions seem to contain a folded batch normalization (y_node), which changes "
        "the training step; try: an export that keeps it (torch.onnx.export with optimize=False, or with dynamo=False "
        "and training=TrainingMode.TRAINING), or folded=restore"
    ]
    with pytest.warns(wc.ModelNote, match="a normalization is added after each, and its bias is removed$"):
        restored = wc.from_onnx("model.onnx", folded="restore")
    assert [layer.kind.kind for layer in kept] == ["input", "conv", "outlet"]
    assert [layer.name for layer in restored] == ["input", "y_node", "y_node_norm", "y_node_norm.output"]
    assert kept.parameter_count + 8 == restored.parameter_count  # scale and shift instead of a bias


def test_a_bias_of_a_module_is_no_folded_normalization(folder: Path) -> None:
    proto = model([node("Conv", "x c.weight c.bias", "y")], [weight("c.weight", 8, 3, 3, 3), weight("c.bias", 8)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wc.from_onnx(saved(folder, proto)).parameter_count == 8 * 27 + 8


def test_what_batch_statistics_forbid(folder: Path) -> None:
    assert import_onnx(saved(folder, classifier()), norm="batch").notes == (
        "a normalization over the mini-batch needs all its samples at once, so no layer is fused with one unless the "
        "whole mini-batch fits on chip; 1 kept: conv / bn / d_node",
    )


def test_a_shared_weight_is_told(folder: Path) -> None:
    nodes = [CONV, node("Conv", "a k", "b"), node("Conv", "b k", "y")]
    assert import_onnx(saved(folder, model(nodes, WEIGHTS))).notes == (
        "layers that share the weight of an earlier one are costed as if each had its own: y_node",
    )


@pytest.mark.parametrize(
    ("package", "call", "message"),
    [
        ("onnx", lambda: wc.from_onnx("model.onnx"), "model.onnx: the package onnx is not installed"),
        ("torch", lambda: wc.from_torch(None, (1, 3, 8, 8)), "from_torch: PyTorch is not installed"),  # type: ignore[arg-type]
    ],
)
def test_an_extra_that_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, call: Any, message: str
) -> None:
    saved(folder, classifier())
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.message == f'{message}; try: pip install "wavecore[{package}]"'
