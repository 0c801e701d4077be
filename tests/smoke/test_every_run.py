"""Every workload under every schedule: the keys of the contract, totals that are sums of rows, sane figures."""

import json
from functools import cache
from typing import Any

import pytest

from wavecore.hardware.config import load_accelerator
from wavecore.network.catalog import workload, workload_info, workload_names
from wavecore.results.folder import json_text
from wavecore.results.run import to_dict
from wavecore.simulation import schedule_names, simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

MACHINE = load_accelerator()

CONTRACT = {
    "": "schema workload schedule accelerator engine batch step_cycles step_seconds samples_per_second macs"
    " array_utilization array_occupancy dram_bytes global_buffer_bytes stall_cycles energy_joules groups layers"
    " manifest",
    "dram_bytes": "total read write weight activation gradient weight_gradient mask optimizer",
    "global_buffer_bytes": "read write peak",
    "stall_cycles": "dram vector array space core update",
    "energy_joules": "total array local_buffer global_buffer vector dram interconnect static",
    "manifest": "version hashes sources seconds_to_simulate",
}
GROUP = {"layers", "sub_batch", "iterations"}
ROW = {"name", "kind", "phase", "cycles", "macs", "dram_read_bytes", "dram_write_bytes"}
PHASES = {"forward", "data_gradient", "weight_gradient", "update"}
COUNTS = ("batch", "step_cycles", "macs")


@cache
def training(name: str) -> TrainingGraph:
    return training_graph(workload(name))


def result(name: str, schedule: str, engine: str, batch: int | None = None) -> dict[str, Any]:
    batch = batch or workload_info(name).batch_per_core * MACHINE.chip.cores
    run = simulate(training(name), schedule, MACHINE, batch=batch, engine=engine)
    loaded: dict[str, Any] = json.loads(json_text(to_dict(run)))
    return loaded


def check_keys(run: dict[str, Any]) -> None:
    for section, keys in CONTRACT.items():
        missing = set(keys.split()) - set(run[section] if section else run)
        assert not missing, (section, missing)
    assert run["schema"] == "wavecore.run/1"
    assert all(set(group) >= GROUP for group in run["groups"])
    assert all(set(row) >= ROW for row in run["layers"])
    assert {row["phase"] for row in run["layers"]} == PHASES


def check_types(run: dict[str, Any]) -> None:
    counts = [run[key] for key in COUNTS]
    counts += [value for key in ("dram_bytes", "global_buffer_bytes", "stall_cycles") for value in run[key].values()]
    counts += [
        value for row in run["layers"] for key, value in row.items() if key.endswith(("bytes", "cycles", "macs"))
    ]
    assert {type(value) for value in counts} == {int}
    assert min(counts) >= 0
    assert {type(value) for value in run["energy_joules"].values()} == {float}


def check_totals(run: dict[str, Any]) -> None:
    rows, dram = run["layers"], run["dram_bytes"]
    assert sum(row["cycles"] for row in rows) == run["step_cycles"]
    for key in ("macs", "vector_macs", "surplus_macs"):
        assert sum(row[key] for row in rows) == run[key]
    assert sum(row["dram_read_bytes"] for row in rows) == dram["read"]
    assert sum(row["dram_write_bytes"] for row in rows) == dram["write"]
    assert dram["read"] + dram["write"] == dram["total"]
    classes = ("weight", "activation", "gradient", "weight_gradient", "mask", "optimizer")
    assert sum(dram[key] for key in classes) == dram["total"]
    for key in classes:
        assert sum(row[f"dram_{key}_bytes"] for row in rows) == dram[key]
    energy = dict(run["energy_joules"])
    assert sum(row["energy_joules"] for row in rows) == pytest.approx(energy["total"])
    assert energy.pop("total") == pytest.approx(sum(energy.values()))
    for part, joules in energy.items():
        assert sum(row[f"energy_{part}_joules"] for row in rows) == pytest.approx(joules)


def check_sense(run: dict[str, Any]) -> None:
    peak = MACHINE.array.rows * MACHINE.array.columns * MACHINE.chip.cores
    multiplied = run["macs"] - run["vector_macs"]
    assert run["array_utilization"] == pytest.approx(multiplied / (run["step_cycles"] * peak))
    assert 0 < run["array_utilization"] <= 1
    assert 0 < run["array_occupancy"] <= 1
    assert run["step_seconds"] * run["samples_per_second"] == pytest.approx(run["batch"])
    assert 0 < run["global_buffer_bytes"]["peak"] <= MACHINE.core.global_buffer_bytes
    units = [unit.name for unit in training(run["workload"]).units]
    assert [name for group in run["groups"] for name in group["layers"]] == units
    for group in run["groups"]:
        assert group["iterations"] == -(-run["batch"] // MACHINE.chip.cores // group["sub_batch"])


@pytest.mark.parametrize("schedule", schedule_names())
@pytest.mark.parametrize("name", workload_names())
def test_every_workload_under_every_schedule(name: str, schedule: str) -> None:
    run = result(name, schedule, "analytic")
    assert (run["workload"], run["schedule"], run["engine"]) == (name, schedule, "analytic")
    check_keys(run)
    check_types(run)
    check_totals(run)
    check_sense(run)


@pytest.mark.parametrize(("name", "schedule"), [("alexnet", "il"), ("resnet18", "baseline"), ("googlenet", "mbs2")])
def test_event_engine(name: str, schedule: str) -> None:
    run = result(name, schedule, "event", batch=8)
    check_keys(run)
    check_types(run)
    check_totals(run)
    check_sense(run)
    assert run["dram_bytes"] == result(name, schedule, "analytic", batch=8)["dram_bytes"]
