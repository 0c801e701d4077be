"""Train with every method, in full, and say what it buys: ``python make_trained.py train [METHOD-NETWORK ...]``.

``trained/METHOD-NETWORK/`` gets what ``wavecore train`` writes but the checkpoint: the profile and its masks, the log
of every epoch and a summary.  ``python make_trained.py table`` costs these profiles and writes the tables of
docs/methods.md between their marks.  The same machine and versions make the same profile; seconds differ.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavecore.cli import main as wavecore
from wavecore.common.files import write_file
from wavecore.common.units import format_bytes, format_joules, format_seconds
from wavecore.hardware.config import load_accelerator
from wavecore.methods.folder import CHECKPOINT, FILES, PROFILE, SUMMARY
from wavecore.methods.registry import METHODS
from wavecore.network.catalog import workload, workload_info
from wavecore.network.graph import LayerGraph
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.sparsity.profile_file import load_profile

TRAINED = Path(__file__).parent / "trained"
PAGE = Path(__file__).parents[2] / "docs/methods.md"
SCHEDULES = ("baseline", "mbs2")
OPTIONS = ("sparsity.gating=true", "sparsity.compression=true", "sparsity.tile_skipping=true")
BEGIN, END = "<!-- {}: made by examples/profiles/make_trained.py -->", "<!-- end -->"


def names() -> list[str]:
    """Every method with every network that it trains, in the order of the registry, network by network."""
    trained = (network for method in METHODS.values() for network in method.networks)
    networks = dict.fromkeys(trained)
    return [
        f"{method.name}-{network}" for network in networks for method in METHODS.values() if network in method.networks
    ]


def train(name: str) -> None:
    """Train in full and keep all but the checkpoint."""
    method, network = name.rsplit("-", 1)
    with tempfile.TemporaryDirectory() as folder:
        if wavecore(["train", method, "--network", network, "-o", folder]):
            sys.exit(f"{name} failed")
        target = TRAINED / name
        target.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            if file != CHECKPOINT and (Path(folder) / file).exists():
                shutil.copy(Path(folder) / file, target / file)


def summaries() -> dict[str, dict[str, Any]]:
    """The summaries of the trainings that are there, by name."""
    found = {name: TRAINED / name / SUMMARY for name in names()}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path.exists()}


def left_table() -> Iterator[str]:
    """What the methods leave: scores on the test set, weights and activations."""
    yield "| network | method | dense stage | before the cut | final | weights | activations | rows x columns left |"
    yield "|---|---|--:|--:|--:|--:|--:|---|"
    for each in summaries().values():
        activations = each["activations_kept"]
        scores = {
            key: f"{100 * score:.1f} %" if each["metric"] == "accuracy" else f"{score:.1f}"
            for key, score in each["scores"].items()
        }
        sizes = ", ".join(f"{layer['outputs'][0]}x{layer['inputs'][0]}" for layer in each["layers"])
        before = " | " if each["method"] == "dense" else f"{scores['dense']} | {scores['trained']}"
        yield (
            f"| {each['network']} | `{each['method']}` | {before} | {scores['final']} | "
            f"{100 * each['weights_kept']:.2f} % | "
            f"{'' if activations is None else f'{100 * activations:.1f} %'} | {sizes} |"
        )


def cost_table() -> Iterator[str]:
    """A step of every profile against the network without one: plain, and with the machine's options for zeros."""
    cells = "time | traffic | energy"
    yield f"| network, schedule | profile | {cells} | MACs | effectual | with options: {cells} |"
    yield f"|---|---|{'--:|' * 8}"
    found = summaries()
    for network in dict.fromkeys(each["network"] for each in found.values()):
        for schedule in SCHEDULES:
            dense = step(network, schedule)
            yield (
                f"| {network}, `{schedule}` | none | {format_seconds(dense.step_seconds)} | "
                f"{format_bytes(dense.dram_bytes.total)} | {format_joules(dense.energy_joules.total)} | | | | | |"
            )
            for name, each in found.items():
                if each["network"] == network:
                    plain, packed = (step(network, schedule, name, options) for options in ((), OPTIONS))
                    macs, bound = plain.macs / dense.macs, plain.effectual_macs / dense.macs
                    shares = f"{macs:.3f} | {bound:.3f}"
                    yield f"| | `{each['method']}` | {ratios(plain, dense)} | {shares} | {ratios(packed, dense)} |"


def step(network: str, schedule: str, name: str = "", options: tuple[str, ...] = ()) -> Run:
    """One step of the workload's own mini-batch, as ``wavecore run`` simulates it."""
    machine = load_accelerator("wavecore", overrides=list(options))
    batch = workload_info(network).batch_per_core * machine.chip.cores
    sparsity = load_profile(TRAINED / name / PROFILE) if name else None
    return simulate(built(network), schedule, machine, batch=batch, sparsity=sparsity)


def built(network: str) -> LayerGraph:
    """The workload as it was trained: all profiles of a network have the same options."""
    name = next(name for name, each in summaries().items() if each["network"] == network)
    return workload(network, **load_profile(TRAINED / name / PROFILE).options)


def ratios(run: Run, dense: Run) -> str:
    """Speed-up, and shares of traffic and energy."""
    return (
        f"{dense.step_seconds / run.step_seconds:.2f}x | {run.dram_bytes.total / dense.dram_bytes.total:.2f} | "
        f"{run.energy_joules.total / dense.energy_joules.total:.2f}"
    )


TABLES = {"left": left_table, "cost": cost_table}


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        begin = BEGIN.format(name)
        before, rest = page.split(begin)
        page = "\n".join((before + begin, "", *make(), "", END + rest.partition(END)[2]))
    return page


def main() -> None:
    """Do what is asked."""
    command, *chosen = sys.argv[1:] or ["help"]
    if command == "train":
        for name in chosen or names():
            train(name)
    elif command == "table":
        write_file(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
