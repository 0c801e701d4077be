"""Does a checkpoint of an LSTM network make the profile of what is left of it?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavecore.cli import main
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, Concat, CrossEntropy, Embedding, Linear
from wavecore.network.shapes import Shape
from wavecore.sparsity.measure.weights import match, measured_profile
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile

WORDS, FEATURES, HIDDEN = 40, 12, 10
OPTIONS = {"vocabulary": WORDS, "embedding": FEATURES, "hidden": HIDDEN, "steps": 5}
GRAPH = workload("lstm_ptb", **OPTIONS)
Weights = dict[str, Any]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checkpoint(one: int = HIDDEN, two: int = HIDDEN, features: int = FEATURES, density: float = 1.0) -> Weights:
    """Weights of LSTMs of so many units, by our names; rows, columns and gates are never all zero by chance."""
    shapes = {
        "embedding": (WORDS, features),
        "lstm1.input": (4 * one, features), "lstm1": (4 * one, one),
        "lstm2.input": (4 * two, one), "lstm2": (4 * two, two),
        "decoder": (WORDS, two),
    }  # fmt: skip
    rng = np.random.default_rng(one + two)
    found = {}
    for name, shape in shapes.items():
        array = (rng.random(shape) < density).astype(np.float32)
        array[:, 0] = array[0] = 1
        found[f"{name}.weight"] = array
    return found


def without(weights: Weights, layer: str, readers: Mapping[str, int], units: list[int]) -> Weights:
    """The same, where nothing is left of these units of a layer."""
    found = {name: array.copy() for name, array in weights.items()}
    rows = [gate * HIDDEN + unit for gate in range(4) for unit in units]
    for name in (f"{layer}.weight", f"{layer}.input.weight"):
        found[name][rows] = 0
    found[f"{layer}.weight"][:, units] = 0
    for reader, start in readers.items():
        found[f"{reader}.weight"][:, [start + unit for unit in units]] = 0
    return found


def measured(weights: Weights, graph: LayerGraph = GRAPH, **options: Any) -> tuple[Any, LayerGraph]:
    """The profile of a checkpoint, and what it leaves of the network."""
    found = match("c", {name: array != 0 for name, array in weights.items()}, graph)
    profile = measured_profile("p", "s", found, graph, **options)
    return profile, apply_profile(graph, profile)


def shapes(graph: LayerGraph) -> dict[str, str]:
    return {layer.name: str(layer.shape) for layer in graph if layer.kind.kind in ("embedding", "linear", "lstm")}


def test_a_network_that_has_been_slimmed() -> None:
    profile, left = measured(checkpoint(7, 3, 5))
    assert {name: said.hidden for name, said in profile.layers.items() if said.hidden} == {"lstm1": 7, "lstm2": 3}
    counts = {name: (said.kept_outputs, said.kept_inputs) for name, said in profile.layers.items()}
    assert counts.pop("embedding") == (5, None) and counts.pop("lstm1.input") == (None, 5)
    assert set(counts.values()) == {(None, None)}
    assert shapes(left) == shapes(workload("lstm_ptb", **{**OPTIONS, "embedding": 5, "hidden": 3})) | {
        "lstm1.input": "28x5x1", "lstm1": "7x5x1",
    }  # fmt: skip


def test_units_of_which_nothing_is_left() -> None:
    whole = checkpoint(density=0.5)
    thin = without(without(whole, "lstm1", {"lstm2.input": 0}, [1, 4]), "lstm2", {"decoder": 0}, [9])
    profile, left = measured(thin)
    assert (profile.layers["lstm1"].hidden, profile.layers["lstm2"].hidden) == (8, 9)
    assert str(left.by_name["lstm2.input"].shape) == "36x5x1"
    kept = np.delete(np.arange(HIDDEN), [1, 4])
    rows = np.concatenate([gate * HIDDEN + kept for gate in range(4)])
    densities = {
        "lstm1": whole["lstm1.weight"][rows][:, kept].mean(),
        "lstm1.input": whole["lstm1.input.weight"][rows].mean(),
        "decoder": whole["decoder.weight"][:, :9].mean(),
    }
    for name, density in densities.items():
        assert profile.layers[name].weight_density == pytest.approx(density)


@pytest.mark.parametrize("tensor", ["lstm1.weight", "lstm1.input.weight", "lstm2.input.weight"])
def test_a_unit_with_anything_left_stays(tensor: str) -> None:
    weights = without(checkpoint(), "lstm1", {"lstm2.input": 0}, [4])
    weights[tensor][(0 if tensor == "lstm2.input.weight" else 2 * HIDDEN + 4), 4] = 1
    assert measured(weights)[0].layers["lstm1"].hidden is None


def test_an_lstm_of_zeros_keeps_its_units() -> None:
    weights = {name: np.zeros_like(array) for name, array in checkpoint().items()}
    profile, _ = measured(weights)
    assert (profile.layers["lstm1"].hidden, profile.layers["lstm1"].weight_density) == (None, 0.0)


def test_of_an_embedding_no_density_is_told() -> None:
    profile, _ = measured(checkpoint(density=0.3))
    assert "embedding" not in profile.layers
    assert "embedding" not in measured(checkpoint(density=0.3), masks=True)[0].masks


def test_an_embedding_need_not_be_there() -> None:
    weights = checkpoint(7, 3)
    del weights["embedding.weight"]
    assert measured(weights)[0].layers["lstm1"].hidden == 7


STACKED = {"lstm1.input": "lstm.weight_ih_l0", "lstm1": "lstm.weight_hh_l0", "lstm2.input": "lstm.weight_ih_l1",
           "lstm2": "lstm.weight_hh_l1"}  # fmt: skip
SINGLE = {"lstm1.input": "lstm1.weight_ih_l0", "lstm1": "lstm1.weight_hh_l0", "lstm2.input": "lstm2.weight_ih_l0",
          "lstm2": "lstm2.weight_hh_l0"}  # fmt: skip


@pytest.mark.parametrize("names", [STACKED, SINGLE], ids=["stacked", "single"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.model."])
def test_pytorchs_names(names: Mapping[str, str], wrapper: str) -> None:
    ours = checkpoint(7, 3)
    theirs = {wrapper + names.get(name[: -len(".weight")], name): array for name, array in ours.items()}
    assert measured(theirs) == measured(ours)


def lstm(net: Network, x: str, name: str, *, reverse: bool = False) -> str:
    return net(LSTM(HIDDEN, reverse), net(Linear(4 * HIDDEN), x, name=f"{name}.input"), name=name)


def both_ways(prefix: str) -> LayerGraph:
    """Two directions over words, side by side, under the names that an import gives them."""
    net = Network("both", Shape(1, 5))
    x = net(Embedding(WORDS, FEATURES), net.input, name="embedding")
    halves = [lstm(net, x, f"{prefix}{end}", reverse=bool(end)) for end in ("", "_reverse")]
    x = net(Concat(), *halves, name="concat")
    net(CrossEntropy(), net(Linear(WORDS), x, name="decoder"), name="loss")
    return net.build()


@pytest.mark.parametrize(("prefix", "module"), [("rnn", "rnn"), ("rnn.l0", "rnn"), ("rnn1", "rnn"), ("lstm", "")])
def test_both_directions(prefix: str, module: str) -> None:
    """Units are gone from each; the second's columns of what reads them lie behind the first's."""
    graph, rng = both_ways(prefix), np.random.default_rng(0)
    weights = {f"{prefix}.weight": np.ones((40, 10)), f"{prefix}_reverse.weight": np.ones((40, 10))}
    weights |= {f"{prefix}.input.weight": np.ones((40, 12)), f"{prefix}_reverse.input.weight": np.ones((40, 12))}
    weights["decoder.weight"] = rng.random((WORDS, 20)) + 1
    thin = without(without(weights, prefix, {"decoder": 0}, [0]), f"{prefix}_reverse", {"decoder": 10}, [2, 3])
    ends = {f"{prefix}.weight": "hh_l0", f"{prefix}_reverse.weight": "hh_l0_reverse",
            f"{prefix}.input.weight": "ih_l0", f"{prefix}_reverse.input.weight": "ih_l0_reverse"}  # fmt: skip
    dot = "." if module else ""
    theirs = {f"{module}{dot}weight_{ends[name]}" if name in ends else name: each for name, each in thin.items()}
    profile, left = measured(theirs, graph)
    assert [profile.layers[name].hidden for name in (prefix, f"{prefix}_reverse")] == [9, 8]
    assert str(left.by_name["concat"].shape) == "17x5x1"
    assert profile.layers["decoder"].weight_density == 1.0


def test_units_that_an_outside_reader_may_use_stay() -> None:
    net = Network("bare", Shape(FEATURES, 5))
    net(CrossEntropy(), lstm(net, net.input, "rnn"), name="loss")
    weights = {"rnn.weight": np.ones((40, 10)), "rnn.input.weight": np.ones((40, 12))}
    assert measured(without(weights, "rnn", {}, [3]), net.build())[0].layers["rnn"].hidden is None


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pt", "onnx"])
@pytest.mark.parametrize("seed", [0, 1])
def test_from_masks_to_a_smaller_network(seed: int, suffix: str, masks: bool) -> None:
    """A file of random masks, its profile, and what that leaves of the network: all as they were made."""
    rng = np.random.default_rng(seed)
    gone = {name: sorted(rng.choice(HIDDEN, rng.integers(1, 8), replace=False).tolist()) for name in ("lstm1", "lstm2")}
    weights = without(checkpoint(density=0.6), "lstm1", {"lstm2.input": 0}, [u for u in gone["lstm1"] if u])
    weights = without(weights, "lstm2", {"decoder": 0}, [u for u in gone["lstm2"] if u])
    save(Path(f"w.{suffix}"), weights | {"decoder.bias": np.zeros(WORDS, dtype=np.float32)})
    words = [f"--option={key}={value}" for key, value in OPTIONS.items()]
    extra = ["--masks"] if masks else []
    assert main(["profile", f"w.{suffix}", "--workload", "lstm_ptb", *words, "-o", "p.toml", *extra]) == 0
    left = apply_profile(GRAPH, load_profile(Path("p.toml")))
    hidden = {name: HIDDEN - len([unit for unit in units if unit]) for name, units in gone.items()}
    kinds = {layer.name: layer.kind for layer in left if isinstance(layer.kind, LSTM)}
    assert kinds == {name: LSTM(count) for name, count in hidden.items()}
    assert left.sparsity is not None
    held = {name: round(facts.density * count(left, name)) for name, facts in left.sparsity.weights}
    assert held == {name: int(weights[f"{name}.weight"].sum()) for name in held}


def count(graph: LayerGraph, name: str) -> int:
    return graph.parameters(graph.by_name[name])[0].elements


def save(path: Path, weights: Weights) -> None:
    if path.suffix == ".npz":
        np.savez(path, **weights)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file(weights, path)
    elif path.suffix == ".pt":
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, path)
    else:
        onnx = pytest.importorskip("onnx")
        tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors)), path)


def test_the_table_tells_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("w.npz", **without(checkpoint(), "lstm1", {"lstm2.input": 0}, [1, 4]))
    words = [
        "profile",
        "w.npz",
        "--workload",
        "lstm_ptb",
        *(f"--option={key}={value}" for key, value in OPTIONS.items()),
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "units left" in text and "8 of 10" in text and "10 of 10" in text and "embedding" not in text
    assert main([*words, "--json"]) == 0
    layers = {each["name"]: each for each in json.loads(capsys.readouterr().out)["layers"]}
    assert (layers["lstm1"]["units"], layers["lstm1"]["units_left"]) == (10, 8)
    assert layers["decoder"]["units"] is None
