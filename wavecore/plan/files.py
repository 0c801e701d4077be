"""Plans as TOML: a stable text that can be read, compared and edited by hand, and run again.

What is wrong with a file is said at its FILE:LINE.  The rules themselves are in `planrules`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from wavecore.common.files import ANOTHER_PATH, write_file
from wavecore.common.toml import Document, read_document, toml_string
from wavecore.errors import PlanError, nearest
from wavecore.network.graph import LayerGraph
from wavecore.plan.model import Group, Plan, Residency
from wavecore.plan.rules import PlanContext, PlanViolation, violations
from wavecore.training.graph import TrainingGraph

SCHEMA = "wavecore.plan/1"
LINE_LENGTH = 100
LARGEST_BITS = 63  # of a whole number in TOML

_HEADER = """\
# How one training step runs on one core.  All cores run the same plan, each on its own samples.
#
# batch_per_core           samples of one core in a step
# weight_double_buffering  whether the array loads its next weights while it computes
# normalization_passes     how often a normalization that is not on chip reads its input in each direction:
#                          2, once for each sweep, or 1, if each sample is held between the sweeps
#
# Each [[group]] runs its units, in the order of the network, sub-batch by sub-batch.  A layer that is fused
# into a unit goes with it, and a view, such as a concatenation, is in no group.
#
# sub_batch                samples at a time; there are batch_per_core / sub_batch iterations, rounded up
# forward.next             tensors that stay on chip as long as the very next unit uses them again
# forward.kept             tensors that stay on chip until their last use in the group
# backward.next, .kept     the same in backward; what is not named goes through DRAM at every use
# held                     weights and weight gradients that stay on chip over all iterations

"""

_PLAN_KEYS = (
    "schema",
    "workload",
    "schedule",
    "batch_per_core",
    "weight_double_buffering",
    "normalization_passes",
    "group",
)
_GROUP_KEYS = ("units", "sub_batch", "forward", "backward", "held")
_STRING = re.compile(r'#[^\n]*|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')


def plan_text(plan: Plan) -> str:
    """Return the plan as TOML; equal plans give equal texts."""
    lines = [
        f"schema = {toml_string(SCHEMA)}",
        f"workload = {toml_string(plan.workload)}",
        f"schedule = {toml_string(plan.schedule)}",
        f"batch_per_core = {plan.batch_per_core}",
        f"weight_double_buffering = {str(plan.weight_double_buffering).lower()}",
        f"normalization_passes = {plan.normalization_passes}",
    ]
    for group in plan.groups:
        lines += ["", "[[group]]", _listed("units", group.units), f"sub_batch = {group.sub_batch}"]
        for direction, table in (("forward", group.forward), ("backward", group.backward)):
            for residency in Residency:
                names = sorted(name for name, how in table.items() if how is residency)
                lines += [_listed(f"{direction}.{residency}", names)] if names else []
        lines += [_listed("held", sorted(group.held))] if group.held else []
    return _HEADER + "\n".join(lines) + "\n"


def _listed(key: str, names: Iterable[str]) -> str:
    """``key = [...]``, on one line if it fits, else as many names on a line as do."""
    items = [toml_string(name) for name in names]
    whole = f"{key} = [{', '.join(items)}]"
    if len(whole) <= LINE_LENGTH:
        return whole
    lines = [f"{key} = ["]
    line = ""
    for item in items:
        if line and len(line) + len(item) + 2 > LINE_LENGTH:
            lines.append(line)
            line = ""
        line += f"{' ' if line else '  '}{item},"
    return "\n".join([*lines, line, "]"])


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan to a file, whole or not at all; `FileError` if it cannot be written."""
    write_file(path, plan_text(plan), hint=ANOTHER_PATH)


def load_plan(path: Path, training: TrainingGraph, *, graph: LayerGraph | None = None) -> Plan:
    """Read a plan of ``training`` from a file.

    With the ``graph`` that was unrolled, an error can tell a view from a name that does not exist.  Raises
    the errors of `documents.read_document` and `parse_plan`.
    """
    return parse_plan(read_document(path), training, graph=graph)


def parse_plan(document: Document, training: TrainingGraph, *, graph: LayerGraph | None = None) -> Plan:
    """Return the plan in a document; `PlanError` at the line that is wrong or does not fit ``training``."""
    reader = _PlanReader(document)
    plan = reader.plan()
    for finding in violations(PlanContext(training, plan, graph)):
        reader.fail(finding)
    return plan


@dataclass(frozen=True, slots=True)
class _PlanReader:
    """Reads a plan out of a document, and finds the line of what is wrong in it."""

    document: Document

    def plan(self) -> Plan:
        """The plan, of which no more is known than that every value has the right type."""
        data = self.document.data
        schema = data.get("schema")
        if schema is None:
            self.fail(PlanViolation("there is no schema", f'schema = "{SCHEMA}" in a file that holds a plan'))
        if schema != SCHEMA:
            self.fail(PlanViolation(f"{_shown(schema)} is not known", f'"{SCHEMA}"', key="schema"))
        self._check_keys(data, _PLAN_KEYS, None, "")
        tables = data["group"]
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.fail(PlanViolation("is no list of groups", "[[group]]", key="group"))
        groups = []
        for index, table in enumerate(tables):
            self._check_keys(table, _GROUP_KEYS, index, "", optional=_GROUP_KEYS[2:])
            groups.append(
                Group(
                    self._names(table, index, "units"),
                    self._whole(table, index, "sub_batch"),
                    self._residency(table, index, "forward"),
                    self._residency(table, index, "backward"),
                    frozenset(self._names(table, index, "held", once=True)),
                )
            )
        return Plan(
            workload=self._text(data, "workload"),
            schedule=self._text(data, "schedule"),
            batch_per_core=self._whole(data, None, "batch_per_core"),
            weight_double_buffering=self._flag(data, "weight_double_buffering"),
            groups=tuple(groups),
            normalization_passes=self._whole(data, None, "normalization_passes"),
        )

    def _check_keys(
        self,
        table: Mapping[str, Any],
        allowed: tuple[str, ...],
        group: int | None,
        prefix: str,
        optional: tuple[str, ...] = (),
    ) -> None:
        for key in table:
            if key not in allowed:
                hint = " or ".join(nearest(key, allowed)) or "one of " + ", ".join(allowed)
                if group is not None and not prefix and key in _PLAN_KEYS:
                    hint = "moving it before the first [[group]]"
                self.fail(PlanViolation("unknown key", hint, group, prefix + key))
        for key in allowed:
            if key not in table and key not in optional:
                self.fail(PlanViolation(f"there is no {key}", _EXAMPLES[key], group))

    def _text(self, table: Mapping[str, Any], key: str) -> str:
        value = table[key]
        if not isinstance(value, str) or not value.strip():
            self.fail(PlanViolation(f"{_shown(value)} is not a name", _EXAMPLES[key], key=key))
        return value

    def _flag(self, table: Mapping[str, Any], key: str) -> bool:
        value = table[key]
        if not isinstance(value, bool):
            what = f"{_shown(value)} is not true or false"
            self.fail(PlanViolation(what, "true or false, without quotes", key=key))
        return value

    def _whole(self, table: Mapping[str, Any], group: int | None, key: str) -> int:
        value = table[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(PlanViolation(f"{_shown(value)} is not a whole number", _EXAMPLES[key], group, key))
        if value.bit_length() > LARGEST_BITS:
            self.fail(PlanViolation(f"{_shown(value)} is out of range", _EXAMPLES[key], group, key))
        return value

    def _residency(self, table: Mapping[str, Any], group: int, direction: str) -> Mapping[str, Residency]:
        value = table.get(direction, {})
        if not isinstance(value, dict):
            self.fail(PlanViolation("is no table", f'{direction}.kept = ["..."]', group, direction))
        self._check_keys(value, tuple(Residency), group, f"{direction}.", optional=tuple(Residency))
        found: dict[str, Residency] = {}
        for residency in value:
            key = f"{direction}.{residency}"
            for name in self._names(value, group, residency, prefix=f"{direction}.", once=True):
                if name in found:
                    what = f"{name!r} is in {direction}.{found[name]} already"
                    self.fail(PlanViolation(what, "naming it in one of them", group, key, name))
                found[name] = Residency(residency)
        return found

    def _names(
        self, table: Mapping[str, Any], group: int, key: str, *, prefix: str = "", once: bool = False
    ) -> tuple[str, ...]:
        """A list of names; ``once`` if none may be there twice."""
        names = table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fail(PlanViolation("is no list of names", f'{prefix}{key} = ["..."]', group, prefix + key))
        for index, name in enumerate(names):
            if once and name in names[:index]:
                self.fail(PlanViolation(f"{name!r} is there twice", "naming it once", group, prefix + key, name, 1))
        return tuple(names)

    # -- where things are in the text --------------------------------------------------------------

    def fail(self, finding: PlanViolation) -> NoReturn:
        """Raise the `PlanError` of a finding, at the line of the key or name that it is about."""
        where = self.document.label
        if finding.key or finding.group is not None:
            where += f":{self._line(finding)}"
        if finding.spot:
            where += f": {finding.spot}"
        raise PlanError(where, finding.what, finding.hint)

    def _line(self, finding: PlanViolation) -> int:
        """The line (from 1) of a name, or else of its key, or else of its group."""
        text = self.document.text
        start, end = self._stretch(finding.group)
        at = _find_key(text, finding.key, start, end) if finding.key else start
        if finding.name:
            mentions = [position for position, name in _strings(text, at, end) if name == finding.name]
            at = mentions[min(finding.nth, len(mentions) - 1)] if mentions else at
        return text.count("\n", 0, at) + 1

    def _stretch(self, group: int | None) -> tuple[int, int]:
        """Where the text of a group, or what stands before all groups, begins and ends."""
        text = self.document.text
        headers = [match.start() for match in re.finditer(r"^[ \t]*\[\[\s*group\s*\]\]", text, re.MULTILINE)]
        if not headers or (group is not None and group >= len(headers)):
            return 0, len(text)  # groups written in some other way
        bounds = [0, *headers, len(text)]
        index = 0 if group is None else group + 1
        return bounds[index], bounds[index + 1]


def _find_key(text: str, key: str, start: int, end: int) -> int:
    """Where a dotted key is in a stretch of text, or the table that holds it, or where the stretch begins."""
    parts = [rf"[\"']?{re.escape(part)}[\"']?" for part in key.split(".")]
    in_table = r"(?:(?!^[ \t]*\[).|\n)*?^[ \t]*"  # up to a line of the same table
    for pattern in (
        r"^[ \t]*" + r"\s*\.\s*".join(parts) + r"\s*=",
        rf"^[ \t]*\[[^\]\n]*\.\s*{parts[0]}\s*\]{in_table}{parts[-1]}\s*=",
        rf"^[ \t]*\[*\s*(?:group\s*\.\s*)?{parts[0]}\s*[=.\]]",
    ):
        match = re.compile(pattern, re.MULTILINE).search(text, start, end)
        if match:
            return match.end() - len(match.group().rsplit("\n", 1)[-1])
    return start


def _strings(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """The strings in a stretch of text and where they are, without those in comments."""
    for match in _STRING.finditer(text, start, end):
        literal = match.group()
        if literal[0] == "'":
            yield match.start(), literal[1:-1]
        elif literal[0] == '"':
            with suppress(ValueError):  # an escape of TOML that JSON does not have
                yield match.start(), json.loads(literal)


def _shown(value: object) -> str:
    """A value as a message shows it, cut off where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


_EXAMPLES = {
    "workload": 'workload = "resnet50"',
    "schedule": 'schedule = "mbs2"',
    "batch_per_core": "batch_per_core = 32",
    "weight_double_buffering": "weight_double_buffering = true",
    "normalization_passes": "normalization_passes = 2",
    "group": "[[group]]",
    "units": 'units = ["..."]',
    "sub_batch": "sub_batch = 4",
}
