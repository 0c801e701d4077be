"""What is said of profiles and checkpoints that are wrong: the whole message."""

import io
import json
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavecore.cli import main
from wavecore.errors import WavecoreError
from wavecore.network.catalog import workload
from wavecore.sparsity.arrays import read_arrays
from wavecore.sparsity.measure.checkpoint import read_checkpoint
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile

HEAD = 'schema = "wavecore.profile/1"\nname = "p"\nsource = "s"\n'
LAYER = HEAD + '[layers."conv1"]\n'

WRONG = {
    "": "p.toml: is empty",
    'name = "p"\n': 'p.toml: there is no schema; try: schema = "wavecore.profile/1" as the first line',
    'schema = "x/1"\n': "p.toml:1: schema: 'x/1' is not known; try: \"wavecore.profile/1\"",
    HEAD: 'p.toml: has no entry for any layer; try: [layers."conv1"]',
    HEAD + "sauce = 1\n": "p.toml:4: sauce: unknown key; try: source or schema",
    LAYER + "weight_densty = 0.1\n": "p.toml:5: layers.conv1.weight_densty: unknown key; "
    "try: weight_density or activation_density",
    LAYER
    + "weight_density = 1.5\n": "p.toml:5: layers.conv1.weight_density: 1.5 is out of range; try: a share of 0 to 1",
    LAYER
    + "weight_density = nan\n": "p.toml:5: layers.conv1.weight_density: nan is not a number; try: a share of 0 to 1",
    LAYER + "kept_outputs = 0\n": "p.toml:5: layers.conv1.kept_outputs: 0 is out of range; "
    "try: removed = true, to remove the whole branch",
    LAYER + "kept_outputs = [1, 1]\n": "p.toml:5: layers.conv1.kept_outputs: contains an index twice; "
    "try: each index once",
    LAYER + 'decomposition = "spatial"\n': "p.toml:5: layers.conv1.decomposition: there is no rank; "
    "try: rank = 12 in the same table",
    LAYER + "block = 8\n": "p.toml:5: layers.conv1.block: 8 is not a pair; try: [8, 8]",
    HEAD + 'masks = "../m.npz"\n': "p.toml:4: masks: '../m.npz' points outside the profile's folder; "
    "try: a file in the profile's folder",
    HEAD
    + 'masks = "m.pkl"\n': "p.toml:4: masks: 'm.pkl' is not a .npz or .safetensors file; try: masks = \"masks.npz\"",
    HEAD + 'masks = "m.npz"\n': "m.npz: there is no such file",
}
UNFIT = {
    '[layers."conv3"]\nrank = 2\n': "p.toml:4: layers.conv3: there is no layer of lenet5 named 'conv3'; "
    "try: conv2 or conv1 or relu_conv2",
    "[layers.conv1]\nkept_outputs = 21\n": "p.toml:5: layers.conv1.kept_outputs: keeps 21 of 20; try: at most 20",
    "[layers.conv1]\nkept_outputs = [20]\n": "p.toml:5: layers.conv1.kept_outputs: names index 20 of 20; "
    "try: at most 19",
    "[layers.conv1]\nhidden = 3\n": "p.toml:5: layers.conv1.hidden: a conv has no hidden units; try: kept_outputs",
    "[layers.pool1]\nrank = 3\n": "p.toml:5: layers.pool1.rank: a max_pool has no weights to prune; "
    "try: a convolution or linear layer",
    "[layers.conv2]\nremoved = true\n": "p.toml:5: layers.conv2.removed: is in no residual branch; "
    "try: kept_outputs, to make the layer smaller",
    "[layers.conv1]\nrank = 26\n": "p.toml:5: layers.conv1.rank: 26 is more than the full rank, 20; try: 1 to 20",
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def message(function: Any, *arguments: Any) -> str:
    with pytest.raises(WavecoreError) as caught:
        function(*arguments)
    return caught.value.message


@pytest.mark.parametrize(("text", "expected"), WRONG.items())
def test_profile(text: str, expected: str) -> None:
    Path("p.toml").write_text(text)
    assert message(load_profile, Path("p.toml")) == expected


@pytest.mark.parametrize(("text", "expected"), UNFIT.items())
def test_profile_that_does_not_fit(text: str, expected: str) -> None:
    Path("p.toml").write_text(HEAD + text)
    assert message(apply_profile, workload("lenet5"), load_profile(Path("p.toml"))) == expected


def test_profile_of_another_workload() -> None:
    Path("p.toml").write_text(HEAD + 'workload = "alexnet"\n[layers.conv1]\nrank = 1\n')
    said = message(apply_profile, workload("lenet5"), load_profile(Path("p.toml")))
    assert said == (
        "p.toml:4: workload: is a profile of 'alexnet', not of 'lenet5'; try: wavecore run alexnet --sparsity ..."
    )


def test_mask_of_another_shape() -> None:
    np.savez("m.npz", conv1=np.ones((20, 1, 3, 3)))
    Path("p.toml").write_text(HEAD + 'masks = "m.npz"\n')
    said = message(apply_profile, workload("lenet5"), load_profile(Path("p.toml")))
    assert said == (
        "p.toml:4: masks: the mask of 'conv1' is 20x1x3x3, but its weights are 20x1x5x5; "
        "try: a mask in PyTorch's order of dimensions"
    )


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def test_pickles_are_not_executed() -> None:
    import torch

    refused = "is damaged, or holds objects other than tensors, which cannot be read safely"
    torch.save({"conv1.weight": Hostile()}, "a.pt")
    Path("b.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
    np.savez("c.npz", w=np.array([Hostile()], dtype=object))
    hint = "torch.save(module.state_dict(), ...) or a .safetensors file"
    assert message(read_checkpoint, Path("a.pt")) == f"a.pt: {refused}; try: {hint}"
    assert message(read_checkpoint, Path("b.pth")) == f"b.pth: {refused}; try: {hint}"
    assert (
        message(read_checkpoint, Path("c.npz"))
        == "c.npz: 'w' holds object, not numbers; try: arrays of numbers or booleans"
    )
    assert not Path("executed").exists()


def test_a_tensor_larger_than_its_file() -> None:
    import torch

    torch.save({"w": torch.zeros(1).expand(1 << 20, 1 << 20)}, "a.pt")
    assert message(read_checkpoint, Path("a.pt")) == (
        "a.pt: 'w' is declared with 1099511627776 elements, but holds 4 bytes; "
        "try: tensor.contiguous() before it is saved"
    )


def npy(shape: tuple[int, ...], content: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def test_an_npz_array_larger_than_its_file() -> None:
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("w.npy", npy((1 << 20, 1 << 20), bytes(16)))
    assert message(read_arrays, Path("a.npz")) == (
        "a.npz: 'w' is declared as 1048576x1048576 elements of 4 bytes, but holds 16 bytes; "
        "try: the complete file: it may be truncated"
    )


def safetensors(header: dict[str, Any], content: bytes = bytes(8)) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


SAFETENSORS = {
    b"abc": "is not a .safetensors file, or is truncated; try: the complete file",
    (1 << 60).to_bytes(8, "little"): "is not a .safetensors file, or is truncated; try: the complete file",
    safetensors({"w": {}}): "its header does not describe 'w'; try: the complete file",
    safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}}): "'w' lies beyond the end of the file; "
    "try: the complete file",
    safetensors(
        {"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}
    ): "'w' is declared as 1099511627776 elements of 4 bytes, but holds 8 bytes; "
    "try: the complete file: it may be truncated",
    safetensors(
        {"w": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}
    ): "'w' is declared as -2x-1 elements of 4 bytes, but holds 8 bytes; try: the complete file: it may be truncated",
    safetensors(
        {
            "v": {"dtype": "U8", "shape": [2, 3], "data_offsets": [0, 6]},
            "w": {"dtype": "U8", "shape": [3], "data_offsets": [5, 8]},
        }
    ): "the data of 'w' overlap another tensor's; try: the complete file",
}


@pytest.mark.parametrize(("content", "expected"), SAFETENSORS.items())
def test_safetensors(content: bytes, expected: str) -> None:
    Path("a.safetensors").write_bytes(content)
    assert message(read_arrays, Path("a.safetensors")) == f"a.safetensors: {expected}"


TOO_MUCH = re.compile(
    r"(bomb|views)\.(npz|pt|pth): is [\d,]+ bytes, and would unpack to [\d,]+; at most [\d,]+ are read; "
    "try: a file that is not compressed, of tensors that do not share their data"
)


def test_small_files_that_unpack_to_gigabytes() -> None:
    import torch

    with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("w.npy", "w") as member:
        member.write(npy((300, 1 << 18), b""))
        for _ in range(300):
            member.write(bytes(1 << 20))
    Path("bomb.pt").write_bytes(Path("bomb.npz").read_bytes())
    base = torch.zeros(1 << 10, 1 << 10)
    torch.save({f"l{number}.weight": base for number in range(100)}, "views.pth")
    for path in ("bomb.npz", "bomb.pt", "views.pth"):
        assert TOO_MUCH.fullmatch(message(read_checkpoint, Path(path)))


def test_what_pruned_weights_unpack_to_is_read() -> None:
    np.savez_compressed("a.npz", w=np.ones((1 << 12, 1 << 12), dtype=np.bool_))  # a thousandth of its size
    assert read_checkpoint(Path("a.npz"))["w"].all()


def test_several_networks_in_a_checkpoint() -> None:
    import torch

    torch.save({"generator": {"w": torch.ones(2, 2)}, "nets": {"critic": {"w": torch.ones(2, 2)}}}, "a.pt")
    assert message(read_checkpoint, Path("a.pt")) == (
        "a.pt: holds the weights of several networks: 'generator', 'nets.critic'; try: torch.save of one of them"
    )


def test_a_mask_of_another_shape_than_its_weights() -> None:
    np.savez("a.npz", **{"fc.weight_orig": np.ones((2, 2)), "fc.weight_mask": np.ones((1, 2))})  # type: ignore[arg-type]
    assert message(read_checkpoint, Path("a.npz")) == (
        "a.npz: the mask of 'fc.weight_orig' is 1x2, but its weights are 2x2; try: the complete file"
    )


def test_parametrized_weights_whose_mask_is_elsewhere() -> None:
    np.savez("a.npz", **{"fc.parametrizations.weight.original": np.ones((2, 2))})  # type: ignore[arg-type]
    assert message(read_checkpoint, Path("a.npz")) == (
        "a.npz: holds 'fc.parametrizations.weight.original', and not what its parametrization makes of it; "
        "try: sparsifier.squash_mask() or remove_parametrizations() before saving"
    )


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pt", "onnx"])
def test_truncated_files_are_refused(suffix: str) -> None:
    import onnx
    import torch
    from safetensors.numpy import save_file

    weights = {"conv1.weight": np.random.default_rng(0).random((64, 64, 3, 3), dtype=np.float32)}
    whole = Path(f"w.{suffix}")
    if suffix == "npz":
        np.savez(whole, **weights)  # type: ignore[arg-type]
    elif suffix == "safetensors":
        save_file(weights, whole)
    elif suffix == "pt":
        torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, whole)
    else:
        tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors)), whole)
    assert read_checkpoint(whole)["conv1.weight"].all()
    content = whole.read_bytes()
    for length in range(0, len(content), len(content) // 9):
        whole.write_bytes(content[:length])
        assert message(read_checkpoint, whole).startswith(f"{whole}: ")


def test_names_and_shapes_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    shapes = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}
    weights = {f"module.{name}.weight": np.ones(shape, dtype=np.float32) for name, shape in shapes.items()}
    wrong = {
        "c": (weights | {"konv2.weight": np.ones((5, 5))}, "c.npz: lenet5 has no layer with weights named 'konv2'"),
        "d": (dict(list(weights.items())[1:]), "d.npz: has no tensor for the layer 'conv1' of lenet5"),
        "e": (
            weights | {"module.fc2.weight": np.ones((10, 501))},
            "e.npz: the tensor of 'fc2' is 10x501, but its weights are 10x500",
        ),
    }
    for name, (arrays, expected) in wrong.items():
        np.savez(f"{name}.npz", **arrays)  # type: ignore[arg-type]
        assert main(["profile", f"{name}.npz", "--workload", "lenet5", "-o", "p.toml"]) == 2
        assert capsys.readouterr().err.startswith(f"error: {expected}\n  try: ")
        assert not Path("p.toml").exists()


LSTMS = {
    "embedding": (40, 12), "lstm1.input": (40, 12), "lstm1": (40, 10), "lstm2.input": (40, 10), "lstm2": (40, 10),
    "decoder": (40, 10),
}  # fmt: skip
ALIKE = "tensors of the same pruned network"
RENAMED = {
    ("lstm.weight_ih_l2", (40, 10)): "lstm_ptb has no layer with weights named 'lstm.weight_ih_l2'\n"
    "  try: renaming the tensor: lstm1.input",
    ("encoder", (40, 12)): "lstm_ptb has no layer with weights named 'encoder'\n  try: renaming the tensor: decoder",
}
RESHAPED = {
    ("lstm1", (28, 8)): "the tensor of 'lstm1' is 28x8, but an LSTM of 8 units has 32x8\n"
    "  try: weight_hh in PyTorch's form: the rows of four gates",
    ("lstm1", (28, 7)): f"the tensor of 'lstm1.input' makes 40 sums, but 'lstm1' takes 28\n  try: {ALIKE}",
    ("lstm2.input", (40, 9)): f"the tensor of 'lstm2.input' takes 9 inputs, but 'lstm1' make 10\n  try: {ALIKE}",
    ("decoder", (40, 7)): f"the tensor of 'decoder' takes 7 inputs, but 'lstm2' make 10\n  try: {ALIKE}",
    ("lstm1.input", (40, 11)): f"the tensor of 'lstm1.input' takes 11 inputs, but 'embedding' make 12\n  try: {ALIKE}",
    ("embedding", (39, 12)): "the tensor of 'embedding' is 39x12, but its weights are 40x12\n"
    "  try: --option, if the workload has other options",
    ("lstm2", (48, 12)): "the tensor of 'lstm2' is 48x12, but its weights are 40x10\n"
    "  try: --option, if the workload has other options",
}


@pytest.mark.parametrize(("tensor", "expected"), (RENAMED | RESHAPED).items())
def test_lstm_checkpoints_are_checked(
    tensor: tuple[str, tuple[int, int]], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, shape = tensor
    arrays = {f"{layer}.weight": np.ones(each) for layer, each in (LSTMS | {name: shape}).items()}
    np.savez("c.npz", **arrays)  # type: ignore[arg-type]
    options = ["vocabulary=40", "embedding=12", "hidden=10", "steps=5"]
    words = ["profile", "c.npz", "--workload", "lstm_ptb", *(f"--option={each}" for each in options), "-o", "p.toml"]
    assert main(words) == 2
    assert capsys.readouterr() == ("", f"error: c.npz: {expected}\n")
    assert not Path("p.toml").exists()
