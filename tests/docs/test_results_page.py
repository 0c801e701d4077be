"""Does docs/results.md list every key of a run's JSON and every column of its tables, and no other?

The tables are made of the code's own definitions; ``pytest --update-golden`` writes them anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from builders import SCHEDULES, machine, residual

from wavecore.common.records import types_of
from wavecore.engines.occupancy import COLUMNS as OCCUPANCY_COLUMNS
from wavecore.engines.occupancy import MOST_BINS
from wavecore.plan.footprints import COLUMNS as FOOTPRINT_COLUMNS
from wavecore.plan.model import Plan
from wavecore.results.folder import FILES, MANIFEST_SCHEMA, TABLES, run_files
from wavecore.results.metrics import METRICS, RUN_METRICS
from wavecore.results.run import SCHEMA, Run, to_dict
from wavecore.simulation import simulate
from wavecore.training.unroll import training_graph

PAGE = Path(__file__).parent.parent.parent / "docs" / "results.md"
UNSTABLE = {
    "manifest.version": "in a version",
    "manifest.hashes": "in a version",
    "manifest.events": "in a version",
    "manifest.seconds_to_simulate": "no",
}


@cache
def example() -> tuple[Plan, Run]:
    training = training_graph(residual())
    plan = SCHEDULES["mbs2"].make(training, machine(), 4)
    return plan, simulate(training, plan, machine(), engine="analytic")


def keys(value: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys of a run; items of a list share theirs, and what the manifest holds is not looked into."""
    found: list[str] = []
    for key, item in value.items():
        first = item[0] if isinstance(item, list) and item else item
        inside = isinstance(first, dict) and not prefix.startswith("manifest")
        found += keys(first, f"{prefix}{key}.") if inside else [f"{prefix}{key}"]
    return found


def json_type(hint: Any) -> str:
    """The JSON type of a field's annotation."""
    origin = get_origin(hint) or hint
    if origin in (Union, UnionType):
        return " or ".join(json_type(each) for each in get_args(hint))
    if origin is tuple:
        return "list of strings" if get_args(hint)[0] is str else "list of objects"
    if issubclass(origin, bool):
        return "boolean"
    if issubclass(origin, str):
        return "string"
    return {int: "integer", float: "number", type(None): "null"}.get(origin, "object")


def type_of(name: str) -> str:
    """The JSON type of a run's dotted key."""
    hints: Mapping[str, Any] = {"schema": str} | {
        "layers" if key == "rows" else key: hint for key, hint in types_of(Run).items()
    }
    first, _, rest = name.partition(".")
    if not rest:
        return json_type(hints[first])
    hint = get_args(hints[first])[0] if get_origin(hints[first]) is tuple else hints[first]
    part = types_of(hint)
    return json_type(part[rest] if rest in part else next(iter(part.values())))  # a total is of its parts' type


def rows(names: list[str], shown: Mapping[str, str]) -> str:
    lines = ["| key | type | unit | meaning | stable |", "|---|---|---|---|---|"]
    for name in names:
        metric = RUN_METRICS[name]
        meaning = metric.definition + (f" `= {metric.formula}`" if metric.formula else "")
        stable = UNSTABLE.get(name, "yes")
        lines.append(f"| `{shown[name]}` | {type_of(name)} | {metric.unit} | {meaning} | {stable} |")
    return "\n".join(lines)


def columns(names: list[str], metrics: str) -> str:
    found = [f"| `{name}` | {METRICS[f'{metrics}.{name}'].definition} |" for name in names]
    return "\n".join(["| column | meaning |", "|---|---|", *found])


def tables() -> dict[str, str]:
    plan, run = example()
    files = run_files(run, plan)
    manifest = json.loads(files["manifest.json"])
    csv_columns = files["layers.csv"].splitlines()[0].split(",")
    own = {key: key if key in RUN_METRICS else f"manifest.{key}" for key in manifest}
    return {
        "run": rows(list(RUN_METRICS), {name: name for name in RUN_METRICS}),
        "layers.csv": ", ".join(f"`{name}`" for name in csv_columns) + ".",
        "manifest.json": ", ".join(f"`{key}` (`{own[key]}`)" if own[key] != key else f"`{key}`" for key in manifest)
        + ".",
        "footprints.csv": columns(list(FOOTPRINT_COLUMNS), "footprints"),
        "occupancy.csv": ", ".join(f"`{name}`" for name in OCCUPANCY_COLUMNS) + ".",
    }


def test_the_keys_are_those_of_a_run() -> None:
    """``packed`` is a list that this run has empty: its items are only in the definitions."""
    _, run = example()
    defined = [name for name in RUN_METRICS if not name.startswith("packed.")]
    assert sorted(keys(to_dict(run))) == sorted([*defined, "packed"])
    listed = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8").split("## The folder")[0], re.MULTILINE)
    assert listed == list(RUN_METRICS)


@pytest.mark.parametrize("name", ["run", "layers.csv", "manifest.json", "footprints.csv", "occupancy.csv"])
def test_a_table_is_what_the_code_says(name: str, request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- table: {re.escape(name)} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    table = tables()[name] + "\n"
    if request.config.getoption("--update-golden"):
        PAGE.write_text(pattern.sub(lambda found: found[1] + table + found[3], text), encoding="utf-8", newline="\n")
        text = PAGE.read_text(encoding="utf-8")
    (found,) = pattern.finditer(text)
    assert found[2] == table, "docs/results.md differs; if that is meant, run pytest --update-golden"


def test_files_schemas_and_numbers_are_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in (*FILES, *TABLES))
    assert f"`{SCHEMA}`" in text and f"`{MANIFEST_SCHEMA}`" in text
    assert f"at most {MOST_BINS} rows" in text
