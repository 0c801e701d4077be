"""Does every function that docs/model.md names exist, and is every constant what it says?"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from wavecore.engines.memory import REQUEST_BYTES
from wavecore.hardware.specs import CORE_UNITS
from wavecore.plan.blocking import CHUNK_BYTES, MOST_ADDED, MOST_ROUNDS, LoopOrder
from wavecore.plan.residency import Rule
from wavecore.program.commands import StepProfile
from wavecore.program.flows import LEAST_STEPS, STEP_BYTES, STEP_CYCLES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
FILES = re.findall(r"`((?:\w+/)+\w+\.(?:py|toml))`", PAGE)
NAMED = [
    (file, name)
    for file, names in re.findall(r"`((?:\w+/)+\w+\.py)`(?:: | \()\s*(`\w+`(?:, `\w+`(?!: | \())*)", PAGE)
    for name in re.findall(r"\w+", names)
]


@cache
def defined(file: str) -> frozenset[str]:
    """The functions, classes, methods and constants that a module defines itself."""
    found = set()
    tree = ast.parse((ROOT / "wavecore" / file).read_text(encoding="utf-8"))
    methods = [node for each in tree.body if isinstance(each, ast.ClassDef) for node in each.body]
    for node in (*tree.body, *methods):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else []
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def test_files_are_named_below_the_package() -> None:
    assert FILES and [file for file in FILES if not (ROOT / "wavecore" / file).exists()] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_function_is_in_its_file(file: str, name: str) -> None:
    assert name in defined(file)


def test_every_section_names_the_functions_that_hold_its_rules() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert [section.splitlines()[0] for section in sections if not re.search(r"`\w+(?:/\w+)+\.py`", section)] == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (STEP_BYTES, "128 KiB of DRAM data (`STEP_BYTES`)"),
        (STEP_CYCLES, "4096 cycles\n  (`STEP_CYCLES`)"),
        (LEAST_STEPS, "at least 8 (`LEAST_STEPS`)"),
        (CHUNK_BYTES, "16 KiB (`CHUNK_BYTES`)"),
        (MOST_ROUNDS, "At most 8 rounds where there is room for fewer (`MOST_ROUNDS`)"),
        (MOST_ADDED, "16 times\n  the operands (`MOST_ADDED`)"),
        (REQUEST_BYTES, "64 KiB at a time (`REQUEST_BYTES`)"),
        (CORE_UNITS[1].result_slots, "two\naccumulators (`result_slots`)"),
    ],
)
def test_a_constant_is_what_the_page_says(value: int, said: str) -> None:
    assert said in PAGE
    number, kib = re.search(r"(\d+|two)( KiB)?", said).groups()  # type: ignore[union-attr]
    assert value == (2 if number == "two" else int(number)) * (1024 if kib else 1)


@pytest.mark.parametrize("names", [LoopOrder, StepProfile, Rule])
def test_every_order_profile_and_rule_is_on_the_page(names: type[LoopOrder | StepProfile | Rule]) -> None:
    left_out = {LoopOrder.SWEEPS}
    assert [name for name in names if name not in left_out and f"`{name}`" not in PAGE] == []


def test_nothing_cites_pages_that_are_not_in_the_repository() -> None:
    kept_elsewhere = [f"{name}.md" for name in ("MODEL", "DESIGN", "ANCHORS", "STYLE", "METHODS")]
    files = [path for folder in ("wavecore", "workloads", "schedules", "tests", "docs", "benchmarks", "examples")
             for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml", ".md")]  # fmt: skip
    citing = [
        str(path.relative_to(ROOT))
        for path in (*files, ROOT / "README.md", ROOT / "ARCHITECTURE.md")
        if any(name in path.read_text(encoding="utf-8") for name in kept_elsewhere)
    ]
    assert citing == []
