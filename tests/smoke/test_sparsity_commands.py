"""From a checkpoint to a table: ``profile``, ``check``, ``run`` and ``compare --sparsity``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavecore.cli import main
from wavecore.network.catalog import workload
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile

SHAPES = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}
PUBLISHED = Path(__file__).parents[2] / "examples/profiles/published"
ON = ["--set", "sparsity.gating=true", "--set", "sparsity.compression=true", "--set", "sparsity.tile_skipping=true"]


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weights = {name: (rng.random(shape) < 0.1).astype(np.float32) for name, shape in SHAPES.items()}
    weights["fc1"][:128, :256] = 0
    arrays = {f"{name}.weight": each for name, each in weights.items()}
    arrays |= {f"{name}.bias": np.zeros(shape[0], dtype=np.float32) for name, shape in SHAPES.items()}
    np.savez("model.npz", **arrays)  # type: ignore[arg-type]
    np.savez("images.npz", rng.random((8, 1, 28, 28), dtype=np.float32))
    return weights


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_profile_counts_zeros(capsys: pytest.CaptureFixture[str], model: dict[str, Any]) -> None:
    text = printed(capsys, "profile", "model.npz", "--workload", "lenet5", "-o", "p.toml", "--json")
    layers = {layer["name"]: layer for layer in json.loads(text)["layers"]}
    assert {name: layer["nonzeros"] for name, layer in layers.items()} == {n: int(w.sum()) for n, w in model.items()}
    assert (layers["fc1"]["tiles"], layers["fc1"]["zero_tiles"]) == (28, 2)
    profile = load_profile(Path("p.toml"))
    assert profile.workload == "lenet5"
    assert profile.layers["fc1"].weight_density == pytest.approx(model["fc1"].mean(), rel=1e-5)


def test_masks_are_the_zeros(capsys: pytest.CaptureFixture[str], model: dict[str, Any]) -> None:
    printed(capsys, "profile", "model.npz", "--workload", "lenet5", "-o", "p.toml", "--masks")
    masks = load_profile(Path("p.toml")).masks
    assert all((masks[name].array == (weights != 0)).all() for name, weights in model.items())
    assert "p.toml: ok, a sparsity profile" in printed(capsys, "check", "p.toml")


def test_activations_are_pytorchs(capsys: pytest.CaptureFixture[str], model: dict[str, Any]) -> None:
    import torch
    from torch.nn import functional

    text = printed(capsys, "profile", "model.npz", "--workload", "lenet5", "--data", "images.npz", "--json")
    images = torch.from_numpy(np.load("images.npz")["arr_0"])
    value = functional.relu(functional.conv2d(images, torch.from_numpy(model["conv1"])))
    assert json.loads(text)["activations"]["conv1"] == pytest.approx(float((value != 0).float().mean()))


def test_channels_that_are_gone_are_counts(capsys: pytest.CaptureFixture[str], model: dict[str, Any]) -> None:
    thin = {"conv1": model["conv1"][:7], "conv2": model["conv2"][:, :7], "fc1": model["fc1"], "fc2": model["fc2"]}
    np.savez("thin.npz", **{f"{name}.weight": each for name, each in thin.items()})
    printed(capsys, "profile", "thin.npz", "--workload", "lenet5", "-o", "p.toml")
    assert load_profile(Path("p.toml")).layers["conv1"].kept_outputs == 7
    run = json.loads(printed(capsys, "run", "lenet5", "--sparsity", "p.toml", "--engine", "analytic", "--json"))
    dense = json.loads(printed(capsys, "run", "lenet5", "--engine", "analytic", "--json"))
    assert run["macs"] < dense["macs"]
    assert run["manifest"]["settings"]["sparsity"]["profile"] == "thin"
    assert run["manifest"]["hashes"]["profile"] == run["manifest"]["settings"]["sparsity"]["hash"]


@pytest.mark.parametrize("masks", [False, True])
def test_filters_of_zeros_are_gone(capsys: pytest.CaptureFixture[str], model: dict[str, Any], masks: bool) -> None:
    """18 of 20 filters are zero: the network has 2, and PyTorch counts the parameters that are left."""
    from torch import nn

    model["conv1"][2:] = 0
    model["conv2"][:5] = 0
    np.savez("dead.npz", **{f"{name}.weight": each for name, each in model.items()})
    printed(capsys, "profile", "dead.npz", "--workload", "lenet5", "-o", "p.toml", *(["--masks"] if masks else []))
    profile = load_profile(Path("p.toml"))
    assert profile.layers["conv1"].kept_outputs == (0, 1)
    assert profile.layers["conv2"].kept_outputs == tuple(range(5, 50))
    left = apply_profile(workload("lenet5"), profile)
    small = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Conv2d(2, 45, 5), nn.Linear(45 * 16, 500), nn.Linear(500, 10))
    assert left.parameter_count == sum(each.numel() for each in small.parameters())
    assert left.sparsity is not None
    facts = dict(left.sparsity.weights)
    assert facts["conv2"].density == pytest.approx(model["conv2"][5:, :2].mean(), rel=1e-5)


@pytest.mark.parametrize("key", ["", "net", "state"])
def test_weights_that_pytorch_has_pruned(capsys: pytest.CaptureFixture[str], key: str) -> None:
    """The state dict as it is while the network is pruned: with original weights, masks and an optimizer's state."""
    import torch
    from torch import nn
    from torch.nn.utils import prune

    net = nn.Sequential()
    for name, sizes in {"fc1": (784, 300), "fc2": (300, 100), "fc3": (100, 10)}.items():
        net.add_module(name, nn.Linear(*sizes))
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9)
    net(torch.zeros(1, 784)).sum().backward()
    optimizer.step()
    for layer in net:
        prune.l1_unstructured(layer, "weight", 0.9)
    saved = {key: net.state_dict(), "optim": optimizer.state_dict()} if key else net.state_dict()
    torch.save(saved, "pruned.pt")
    text = printed(capsys, "profile", "pruned.pt", "--workload", "lenet300", "--json")
    layers = json.loads(text)["layers"]
    assert sum(layer["elements"] for layer in layers) == 266_200
    assert sum(layer["nonzeros"] for layer in layers) == 26_620


def test_a_model_without_a_workload(capsys: pytest.CaptureFixture[str]) -> None:
    assert "conv1" in printed(capsys, "profile", "model.npz", "-o", "p.toml")
    assert load_profile(Path("p.toml")).workload == ""


@pytest.mark.parametrize("profile", sorted(PUBLISHED.glob("*.toml")), ids=lambda path: path.stem)
def test_published_profiles_are_right(capsys: pytest.CaptureFixture[str], profile: Path) -> None:
    assert printed(capsys, "check", str(profile)).endswith("ok, a sparsity profile\n")


def test_compare_shows_dense_and_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "profile", "model.npz", "--workload", "lenet5", "-o", "p.toml")
    words = ["compare", "lenet5", "--sparsity", "p.toml", "--schedules", "baseline,mbs2", "--engine", "analytic", *ON]
    lines = printed(capsys, *words).splitlines()
    rows = [line.split()[:2] for line in lines if line.strip().startswith(("baseline", "mbs2"))]
    assert rows == [[name, network] for name in ("baseline", "mbs2") for network in ("dense", "model", "model*")]
    runs = json.loads(printed(capsys, *words, "--json"))
    assert [bool(run["packed"]) for run in runs] == [False, False, True] * 2


def test_a_plan_for_a_pruned_network(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.toml").write_text(
        'schema = "wavecore.profile/1"\nname = "p"\nsource = "s"\n'
        "[layers.conv1]\nkept_outputs = 8\nweight_density = 0.1\n"
    )
    words = ["--sparsity", "p.toml", *ON]
    printed(capsys, "plan", "lenet5", "--out", "plan.toml", *words)
    moved = json.loads(printed(capsys, "plan", "lenet5", "--json", *words))["dram_bytes"]
    run = json.loads(printed(capsys, "run", "lenet5", "--schedule", "plan.toml", "--json", *words))
    assert {name: run["dram_bytes"][name] for name in moved} == moved


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "lenet5", "--sparsity", "none.toml"], "none.toml: there is no such file"),
        (["compare", "lenet5", "lenet300", "--sparsity", "p.toml"], "--sparsity: is of one workload"),
        (["compare", "lenet5", "--sparsity", ","], "--sparsity: names no file"),
        (["profile", "model.npz", "-o", "p.json"], "--out: p.json is no .toml file"),
        (["profile", "model.npz", "--data", "images.npz"], "--data: needs to know the network"),
        (["profile", "model.pkl"], "model.pkl: is not a checkpoint of a known format"),
        (
            ["run", "lenet5", "--set", "sparsity.gatting=true"],
            "--set sparsity.gatting=true: unknown key 'gatting' of sparsity",
        ),
    ],
)
def test_wrong_words(capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}\n")
