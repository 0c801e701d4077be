"""Plans as TOML: a stable text that can be read, compared and edited by hand, and run again.

What is wrong with a file is said at its FILE:LINE.  The rules themselves are in `plan.rules`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from wavecore.common.files import ANOTHER_PATH, write_file
from wavecore.common.origin import HINT, KEY, SourceFile, read_source_file
from wavecore.common.toml import Document, as_path, read_document, toml_string
from wavecore.common.typecheck import type_problem
from wavecore.errors import InputError, PlanError, nearest
from wavecore.importers.named import named_network
from wavecore.network.graph import LayerGraph
from wavecore.plan.model import Group, Plan, QueueOrder, Residency
from wavecore.plan.rules import BACKWARD_GROUP, GROUP, PlanContext, PlanViolation, violations
from wavecore.training.graph import Rewrite, TrainingGraph
from wavecore.training.rewrites import find_rewrite, rewrite_options, rewritten
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph

SCHEMA = "wavecore.plan/1"
LINE_LENGTH = 100
LARGEST_BITS = 63  # of a whole number in TOML
EDITED = "edited "  # before the schedule of a plan that is not as it was written

_HEADER = """\
# How one training step runs on one core.  All cores run the same plan, each on its own samples.
#
# batch_per_core           samples of one core in a step
# weight_double_buffering  whether the array loads its next weights while it computes
# normalization_passes     how often a normalization that is not on chip reads its input in each direction:
#                          2, once for each sweep, or 1, if each sample is held between the sweeps
# order                    of the queues of array and vector unit: overlapped, or program (command by command)
# digest                   of all keys below it as they were written: a plan that differs is called edited
# workload_file            the file that the workload was read from, if it is not a registered one
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
_BACKWARD_HEADER = """\
#
# Each [[backward_group]] is a group of backward, which is cut differently: in the order of the network, run from the
# last to the first.  Each [[group]] is then one of forward only.
"""
_REWRITE_HEADER = """\
#
# Each [[rewrite]] is a pass, with its options, that the training graph has had: the units are those that it leaves.
"""

_PLAN_KEYS = (
    "schema",
    "digest",
    KEY,
    "workload",
    "schedule",
    "batch_per_core",
    "weight_double_buffering",
    "normalization_passes",
    "order",
    "group",
    "backward_group",
    "rewrite",
)
_OPTIONAL_PLAN_KEYS = ("digest", KEY, "order", "backward_group", "rewrite")
_GROUP_KEYS = ("units", "sub_batch", "forward", "backward", "held")
_STRING = re.compile(r'#[^\n]*|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')


def plan_text(plan: Plan, source: SourceFile | None = None) -> str:
    """Return ``plan`` as TOML; equal plans give equal texts.  Raises `PlanError` for a value that is no plan.

    ``source`` is the file that the workload was read from, named from the folder that the text is for.
    """
    wrong = type_problem(plan, Plan)
    if wrong is not None:
        raise PlanError(f"plan{wrong.path}", wrong.what, "a value of that type")
    body = _body(plan)
    lines = [f"schema = {toml_string(SCHEMA)}", f"digest = {toml_string(_digest(body))}"]
    lines += [] if source is None else [source.toml]
    header = _HEADER + (_BACKWARD_HEADER if plan.backward_groups is not None else "")
    header += _REWRITE_HEADER if plan.rewrites else ""
    return header + "\n" + "\n".join([*lines, *body]) + "\n"


def _digest(body: list[str]) -> str:
    return hashlib.sha256("\n".join(body).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _body(plan: Plan) -> list[str]:
    """Return the lines of a plan's keys."""
    lines = [
        f"workload = {toml_string(plan.workload)}",
        f"schedule = {toml_string(plan.schedule)}",
        f"batch_per_core = {plan.batch_per_core}",
        f"weight_double_buffering = {str(plan.weight_double_buffering).lower()}",
        f"normalization_passes = {plan.normalization_passes}",
        f"order = {toml_string(plan.order)}",
    ]
    for rewrite in plan.rewrites:
        lines += ["", "[[rewrite]]", f"name = {toml_string(rewrite.name)}"]
        lines += [f"{key} = {_value(value)}" for key, value in rewrite_options(rewrite).items()]
    for table, groups in ((GROUP, plan.groups), (BACKWARD_GROUP, plan.backward_groups or ())):
        for group in groups:
            lines += ["", f"[[{table}]]", *_group_lines(group)]
    return lines


def _group_lines(group: Group) -> Iterator[str]:
    yield _listed("units", group.units)
    yield f"sub_batch = {group.sub_batch}"
    for direction, table in (("forward", group.forward), ("backward", group.backward)):
        for residency in Residency:
            names = sorted(name for name, how in table.items() if how is residency)
            if names:
                yield _listed(f"{direction}.{residency}", names)
    if group.held:
        yield _listed("held", sorted(group.held))


def _value(value: object) -> str:
    """Return an option of a rewrite as TOML: a text, a number, true or false, or a list of these."""
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def _listed(key: str, names: Iterable[str]) -> str:
    """Return ``key = [...]``, on one line if it fits, else as many names on a line as do."""
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


def save_plan(plan: Plan, path: str | Path, source: SourceFile | None = None) -> None:
    """Write ``plan`` to the file at ``path``, whole or not at all; `FileError` if it cannot be written.

    ``source`` is the file that the workload was read from, named from the working directory.
    """
    path = as_path(path)
    source = None if source is None else source.moved(Path(), path.parent)
    write_file(path, plan_text(plan, source), hint=ANOTHER_PATH)


def load_plan(
    path: str | Path, workload: str | Path | LayerGraph | TrainingGraph, *, graph: LayerGraph | None = None
) -> Plan:
    """Read the plan in the file at ``path``, made for ``workload``: a step, or a network, its name or path.

    A plan that is not as it was written has `EDITED` before its schedule's name.  With the ``graph`` that was unrolled,
    an error can tell a view from a name that does not exist.  Raises the errors of `common.toml.read_document`,
    `named_network` and `parse_plan`.
    """
    document = read_document(path)
    if isinstance(workload, TrainingGraph):
        return parse_plan(document, workload, graph=graph)
    graph = named_network(workload)
    return parse_plan(document, training_graph(graph), graph=graph)


def named_plan(path: str | Path, plan: Plan) -> Plan:
    """Return a plan that was read from a file under the name of the file and of the schedule that made it."""
    return replace(plan, schedule=f"{path} ({plan.schedule})")


def parse_plan(document: Document, training: TrainingGraph, *, graph: LayerGraph | None = None) -> Plan:
    """Return the plan in a document; `PlanError` at the line that is wrong or does not fit ``training``.

    ``training`` is the graph that was unrolled: the rewrites that the document names are applied to it first.
    """
    verify_training(training)
    reader = _PlanReader(document)
    plan = reader.plan()
    try:
        changed = rewritten(training, plan.rewrites)
    except InputError as error:
        reader.fail(PlanViolation(f"{error.where}: {error.what}", error.hint, key="rewrite"))
    for finding in violations(PlanContext(changed, plan, graph)):
        reader.fail(finding)
    if document.data.get("digest") != _digest(_body(plan)) and not plan.schedule.startswith(EDITED):
        return replace(plan, schedule=EDITED + plan.schedule)
    return plan


class _GroupPlace(NamedTuple):
    """Which group of which list of tables, from 0."""

    table: str
    group: int


def _violation(
    what: str, hint: str, at: _GroupPlace | None, key: str = "", name: str = "", nth: int = 0
) -> PlanViolation:
    """Return a violation of a group, or without one of the plan's own key."""
    if at is None:
        return PlanViolation(what, hint, None, key, name, nth)
    return PlanViolation(what, hint, at.group, key, name, nth, at.table)


@dataclass(frozen=True, slots=True)
class _PlanReader:
    """Reads a plan out of a document, and finds the line of what is wrong in it."""

    document: Document

    def plan(self) -> Plan:
        """Return the plan; only the types of its values have been checked."""
        data = self.document.data
        schema = data.get("schema")
        if schema is None:
            self.fail(PlanViolation("there is no schema", f'schema = "{SCHEMA}" in a file that holds a plan'))
        if schema != SCHEMA:
            self.fail(PlanViolation(f"{_shown(schema)} is not known", f'"{SCHEMA}"', key="schema"))
        self._check_keys(data, _PLAN_KEYS, None, "", optional=_OPTIONAL_PLAN_KEYS)
        if KEY in data and read_source_file(data[KEY]) is None:
            self.fail(PlanViolation(f"{_shown(data[KEY])} describes no file", HINT, key=KEY))
        groups, backward_groups = self._groups(data, GROUP), None
        if BACKWARD_GROUP in data:
            backward_groups = self._groups(data, BACKWARD_GROUP)
        return Plan(
            workload=self._text(data, "workload"),
            schedule=self._text(data, "schedule"),
            batch_per_core=self._whole(data, "batch_per_core"),
            weight_double_buffering=self._flag(data, "weight_double_buffering"),
            groups=groups,
            normalization_passes=self._whole(data, "normalization_passes"),
            backward_groups=backward_groups,
            rewrites=self._rewrites(data),
            order=self._order(data),
        )

    def _order(self, data: Mapping[str, Any]) -> QueueOrder:
        """Return the order of the queues; `overlapped` where the file names none."""
        value = data.get("order", QueueOrder.OVERLAPPED)
        if value not in tuple(QueueOrder):
            hint = " or ".join(f'"{order}"' for order in QueueOrder)
            self.fail(PlanViolation(f"{_shown(value)} is no order of the queues", hint, key="order"))
        return QueueOrder(value)

    def _groups(self, data: Mapping[str, Any], name: str) -> tuple[Group, ...]:
        """Return the groups of a list of tables."""
        tables = data[name]
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.fail(PlanViolation("is no list of groups", f"[[{name}]]", key=name))
        groups = []
        for index, table in enumerate(tables):
            at = _GroupPlace(name, index)
            self._check_keys(table, _GROUP_KEYS, at, "", optional=_GROUP_KEYS[2:])
            groups.append(
                Group(
                    self._names(table, at, "units"),
                    self._whole(table, "sub_batch", at),
                    self._residency(table, at, "forward"),
                    self._residency(table, at, "backward"),
                    frozenset(self._names(table, at, "held", once=True)),
                )
            )
        return tuple(groups)

    def _rewrites(self, data: Mapping[str, Any]) -> tuple[Rewrite, ...]:
        """Return the passes that the plan names, built from their options."""
        tables = data.get("rewrite", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.fail(PlanViolation("is no list of rewrites", "[[rewrite]]", key="rewrite"))
        found = []
        for table in tables:
            options = {key: value for key, value in table.items() if key != "name"}
            try:
                found.append(find_rewrite("rewrite", self._text(table, "name"), options))
            except InputError as error:
                option = error.where.removeprefix("rewrite").removeprefix(".")
                what = f"{option} {error.what}".strip()
                self.fail(PlanViolation(what, error.hint, key="rewrite", name=table.get("name", "")))
        return tuple(found)

    def _check_keys(
        self,
        table: Mapping[str, Any],
        allowed: tuple[str, ...],
        at: _GroupPlace | None,
        prefix: str,
        optional: tuple[str, ...] = (),
    ) -> None:
        for key in table:
            if key not in allowed:
                hint = " or ".join(nearest(key, allowed)) or "one of " + ", ".join(allowed)
                if at is not None and not prefix and key in _PLAN_KEYS:
                    hint = f"moving it before the first [[{at.table}]]"
                self.fail(_violation("unknown key", hint, at, prefix + key))
        for key in allowed:
            if key not in table and key not in optional:
                self.fail(_violation(f"there is no {key}", _EXAMPLES[key], at))

    def _text(self, table: Mapping[str, Any], key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            self.fail(PlanViolation(f"{_shown(value)} is not a name", _EXAMPLES[key], key=key))
        return value

    def _flag(self, table: Mapping[str, Any], key: str) -> bool:
        value = table[key]
        if not isinstance(value, bool):
            what = f"{_shown(value)} is not true or false"
            self.fail(PlanViolation(what, "true or false, without quotes", key=key))
        return value

    def _whole(self, table: Mapping[str, Any], key: str, at: _GroupPlace | None = None) -> int:
        value = table[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(_violation(f"{_shown(value)} is not a whole number", _EXAMPLES[key], at, key))
        if value.bit_length() > LARGEST_BITS:
            self.fail(_violation(f"{_shown(value)} is out of range", _EXAMPLES[key], at, key))
        return value

    def _residency(self, table: Mapping[str, Any], at: _GroupPlace, direction: str) -> Mapping[str, Residency]:
        value = table.get(direction, {})
        if not isinstance(value, dict):
            self.fail(_violation("is no table", f'{direction}.kept = ["..."]', at, direction))
        self._check_keys(value, tuple(Residency), at, f"{direction}.", optional=tuple(Residency))
        found: dict[str, Residency] = {}
        for residency in value:
            key = f"{direction}.{residency}"
            for name in self._names(value, at, residency, prefix=f"{direction}.", once=True):
                if name in found:
                    what = f"{name!r} is in {direction}.{found[name]} already"
                    self.fail(_violation(what, "naming it in one of them", at, key, name))
                found[name] = Residency(residency)
        return found

    def _names(
        self, table: Mapping[str, Any], at: _GroupPlace, key: str, *, prefix: str = "", once: bool = False
    ) -> tuple[str, ...]:
        """Return a list of names; ``once`` if none may be there twice."""
        names = table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fail(_violation("is no list of names", f'{prefix}{key} = ["..."]', at, prefix + key))
        for index, name in enumerate(names):
            if once and name in names[:index]:
                self.fail(_violation(f"{name!r} is there twice", "naming it once", at, prefix + key, name, 1))
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
        """Return the line (from 1) of a name, or else of its key, or else of its group."""
        text = self.document.text
        start, end = self._stretch(finding)
        at = _find_key(text, finding.key, start, end) if finding.key else start
        if finding.name:
            mentions = [position for position, name in _strings(text, at, end) if name == finding.name]
            at = mentions[min(finding.nth, len(mentions) - 1)] if mentions else at
        return text.count("\n", 0, at) + 1

    def _stretch(self, finding: PlanViolation) -> tuple[int, int]:
        """Return where the text of a finding's group, or what stands before all groups, begins and ends."""
        text = self.document.text
        headers = list(re.finditer(rf"^[ \t]*\[\[\s*({GROUP}|{BACKWARD_GROUP})\s*\]\]", text, re.MULTILINE))
        if finding.group is None:
            return 0, headers[0].start() if headers else len(text)
        own = [header.start() for header in headers if header[1] == finding.table]
        if finding.group >= len(own):
            return 0, len(text)  # groups written in some other way
        start = own[finding.group]
        return start, min((header.start() for header in headers if header.start() > start), default=len(text))


def _find_key(text: str, key: str, start: int, end: int) -> int:
    """Return where a dotted key is in a stretch of text, or the table that holds it, or where the stretch begins."""
    parts = [rf"[\"']?{re.escape(part)}[\"']?" for part in key.split(".")]
    in_table = r"(?:(?!^[ \t]*\[).|\n)*?^[ \t]*"  # up to a line of the same table
    for pattern in (
        r"^[ \t]*" + r"\s*\.\s*".join(parts) + r"\s*=",
        rf"^[ \t]*\[[^\]\n]*\.\s*{parts[0]}\s*\]{in_table}{parts[-1]}\s*=",
        rf"^[ \t]*\[*\s*(?:(?:backward_)?group\s*\.\s*)?{parts[0]}\s*[=.\]]",
    ):
        match = re.compile(pattern, re.MULTILINE).search(text, start, end)
        if match:
            return match.end() - len(match.group().rsplit("\n", 1)[-1])
    return start


def _strings(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Yield the strings in a stretch of text with their positions, without those in comments."""
    for match in _STRING.finditer(text, start, end):
        literal = match.group()
        if literal[0] == "'":
            yield match.start(), literal[1:-1]
        elif literal[0] == '"':
            with suppress(ValueError):  # an escape of TOML that JSON does not have
                yield match.start(), json.loads(literal)


def _shown(value: object) -> str:
    """Return a value as a message shows it, cut off where it is long."""
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
    "name": 'name = "..."',
    "units": 'units = ["..."]',
    "sub_batch": "sub_batch = 4",
}
