"""Does the package in examples/plugin, installed from elsewhere, add one of each kind?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent.parent.parent / "examples" / "plugin"

Python = Callable[..., str]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Run a Python that has the package installed, and return what it prints."""
    pytest.importorskip("pip")
    work = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, work / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    install = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(work / "site"), str(work / "source")]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(work / "site")}

    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_workload_schedule_dataflow_and_energy_table_by_name(python: Python) -> None:
    options = ("--set", "array.dataflow=output_stationary", "--set", "energy=45nm", "--engine", "analytic", "--json")
    run = json.loads(
        python("-m", "wavecore", "run", "leaky", "--option", "channels=8", "--schedule", "blocks", *options)
    )
    assert (run["workload"], run["schedule"]) == ("leaky", "blocks")
    assert run["manifest"]["machine"]["array"]["dataflow"] == "output_stationary"
    assert run["manifest"]["machine"]["energy"]["mac_joules"] == 2e-12
    assert run["layers"][0]["fused"] == ["relu1"]
    assert "every block is a group" in python("-m", "wavecore", "list", "schedules")


def test_an_operator_of_onnx(python: Python, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = [("w", (4, 3, 3, 3)), ("v", (4, 10))]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
                helper.make_node("LeakyRelu", ["y"], ["z"], alpha=0.2),
                helper.make_node("GlobalAveragePool", ["z"], ["p"]),
                helper.make_node("Flatten", ["p"], ["f"]),
                helper.make_node("MatMul", ["f", "v"], ["logits"]),
            ],
            "leaky",
            [helper.make_tensor_value_info("x", kind, (1, 3, 8, 8))],
            [helper.make_tensor_value_info("logits", kind, (1, 10))],
            [
                helper.make_tensor(name, kind, dims, bytes(4 * dims[0] * _rest(dims)), raw=True)
                for name, dims in weights
            ],
        )
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    printed = python("-c", f"import wavecore as wc; print(wc.from_onnx({str(path)!r}))")
    assert "leaky_relu(slope=0.2" in printed


def _rest(dims: tuple[int, ...]) -> int:
    product = 1
    for size in dims[1:]:
        product *= size
    return product


def test_an_operator_of_pytorch(python: Python) -> None:
    pytest.importorskip("torch")
    code = (
        "import torch, wavecore as wc; nn = torch.nn\n"
        "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(144, 10))\n"
        "print(wc.from_torch(net, (1, 3, 8, 8)))"
    )
    assert "leaky_relu(slope=0.2)" in python("-W", "ignore", "-c", code)
