"""Every key of every output has a definition, and the formulas give the printed figures."""

import re
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from wavecore.cli import arrays, compare, energytables, plan, report
from wavecore.errors import NameLookupError
from wavecore.hardware.config import load_accelerator, machine_keys
from wavecore.hardware.specs import SparsitySpec
from wavecore.network.catalog import workload
from wavecore.results.energy_report import IMAGENET, energy_report
from wavecore.results.energy_report import to_dict as energy_dict
from wavecore.results.metrics import METRICS, RUN_METRICS
from wavecore.results.run import LayerRow, Run, to_dict
from wavecore.results.words import explain
from wavecore.simulation import simulate
from wavecore.sparsity.profile import LayerSparsity, Profile

OPEN = (
    "manifest.hashes",
    "manifest.machine",
    "manifest.sources",
    "manifest.settings",
)  # their keys differ from run to run
MACHINE = replace(load_accelerator(), sparsity=SparsitySpec(gating=True, tile_skipping=True, compression=True))
UNIT = re.compile(r"_(bytes|hz|watts|joules|mm2)(_per_bit|_per_byte$|_per_second)?(?!_)|_watts")
NAME = re.compile(r"[a-z_]+2?(?:\.[a-z_]+)*")


@pytest.fixture(scope="module")
def simulated() -> Run:
    said = LayerSparsity(weight_density=0.1, activation_density=0.4, block=(128, 128))
    profile = Profile(name="some", source="a test", layers={"conv1": said, "layer4.1.conv2": said})
    graph = workload("resnet18", image=64)
    return simulate(graph, "mbs2", MACHINE, batch=8, engine="analytic", sparsity=profile)


@pytest.fixture(scope="module")
def run(simulated: Run) -> dict[str, Any]:
    return to_dict(simulated)


@pytest.fixture(scope="module")
def energy(simulated: Run) -> dict[str, Any]:
    return energy_dict(energy_report(simulated, IMAGENET))


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and path not in OPEN:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from leaves(item, path)
    else:
        yield path


def machine_value(name: str) -> Any:
    """A field of the accelerator by its dotted key, which lacks the field's unit."""
    section, key = name.split(".")
    (value,) = [value for field, value in asdict(getattr(MACHINE, section)).items() if UNIT.sub("", field) == key]
    return value


def value_of(name: str, run: dict[str, Any]) -> Any:
    if name.startswith("layers."):
        return [row[name.removeprefix("layers.")] for row in run["layers"]]
    if name in machine_keys():
        return machine_value(name)
    value: Any = run
    for part in name.split("."):
        value = [item[part] for item in value] if isinstance(value, list) else value[part]
    return value


def evaluate(formula: str, run: dict[str, Any]) -> Any:
    names = sorted({name for name in NAME.findall(formula) if name != "sum"})
    symbols = {name: f"v{index}" for index, name in enumerate(names)}
    text = NAME.sub(lambda match: symbols.get(match[0], match[0]), formula)
    return eval(text, {"sum": sum} | {symbols[name]: value_of(name, run) for name in names})


def test_every_key_of_a_run_has_a_metric(run: dict[str, Any]) -> None:
    assert set(leaves(run)) == set(RUN_METRICS)


@pytest.mark.parametrize("name", [name for name, metric in RUN_METRICS.items() if metric.formula])
def test_formula(name: str, run: dict[str, Any]) -> None:
    assert value_of(name, run) == pytest.approx(evaluate(METRICS[name].formula, run), rel=1e-9)


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if name.startswith("gemm.") and metric.formula]
)
def test_formula_of_gemm(name: str) -> None:
    values = {"gemm": arrays.gemm_values(MACHINE.array, MACHINE.chip.clock_hz, 300, 200, 100)}
    assert value_of(name, values) == pytest.approx(evaluate(METRICS[name].formula, values))


def test_every_key_of_an_energy_report_has_a_metric(energy: dict[str, Any]) -> None:
    reported = {name.removeprefix("energy.") for name in METRICS if name.startswith("energy.")}
    assert reported <= set(leaves(energy))
    assert set(leaves(energy)) - reported <= set(RUN_METRICS)


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if name.startswith("energy.") and metric.formula]
)
def test_formula_of_an_energy_report(name: str, run: dict[str, Any], energy: dict[str, Any]) -> None:
    both = run | {"energy": energy}
    assert value_of(name, both) == pytest.approx(evaluate(METRICS[name].formula, both), rel=1e-12)


def test_keys_of_gemm_and_scalesim() -> None:
    assert {f"gemm.{key}" for key in arrays.gemm_values(MACHINE.array, 1, 1, 1, 1)} == {
        name for name in METRICS if name.startswith("gemm.")
    }
    assert set(arrays.SCALESIM_COLUMNS) == {name for name in METRICS if name.startswith("scalesim.")}


def test_every_column_of_a_table_has_a_metric() -> None:
    shown = {*report.HEADLINE, *report.GROUP_COLUMNS, *report.LAYER_COLUMNS, *compare.COLUMNS, *plan.COLUMNS}
    shown |= {*energytables.HEADLINE, *energytables.CONSTANT_COLUMNS}
    shown |= {f"layers.{column.name}" for column in fields(LayerRow)}
    assert shown <= set(METRICS)


def test_definitions_are_sentences() -> None:
    for metric in METRICS.values():
        assert metric.definition.endswith("."), metric.name
        assert (metric.title and metric.definition[0].isupper()) or metric.definition.startswith("forward"), metric.name


def test_explain_by_name_section_and_last_part() -> None:
    assert [metric.name for metric in explain("macs")] == ["macs"]
    assert [metric.name for metric in explain("stall_cycles")] == [
        "stall_cycles.dram",
        "stall_cycles.vector",
        "stall_cycles.array",
        "stall_cycles.space",
        "stall_cycles.core",
        "stall_cycles.update",
    ]
    assert [metric.name for metric in explain("speedup")] == ["compare.speedup"]


@pytest.mark.parametrize(
    ("name", "hint"), [("array_utilisation", "array_utilization"), ("zzzz", "wavecore list metrics")]
)
def test_unknown_metric(name: str, hint: str) -> None:
    with pytest.raises(NameLookupError) as caught:
        explain(name)
    assert caught.value.message.startswith(f"explain: there is no metric named '{name}'; try: {hint}")


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("waits for its own skew", ["stall_cycles.array"]),
        ("leakage", ["energy_joules.static"]),
        ("speed-up", ["compare.speedup"]),
        ("EDP", ["energy_delay_joule_seconds"]),
        ("power", ["average_watts"]),
        ("utilization", ["array_utilization", "gemm.utilization"]),
        ("MFU", ["MFU"]),
        ("roofline", ["roofline"]),
        ("Arithmetic Intensity", ["arithmetic intensity"]),
        ("achieved_bandwidth", ["achieved bandwidth"]),
        ("pareto", ["Pareto front"]),
    ],
)
def test_labels_of_tables_and_words_of_the_field(word: str, names: list[str]) -> None:
    assert [metric.name for metric in explain(word)][: len(names)] == names


def test_every_label_is_explained() -> None:
    sections = {name.partition(".")[0] for name in METRICS if "." in name}
    for metric in METRICS.values():
        assert metric in explain(metric.title) or metric.title in METRICS or metric.title in sections, metric.title
