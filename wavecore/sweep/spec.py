"""Specifications of sweeps: a TOML file -> `SweepSpec`.

::

    name = "buffer-memory"                      # also the folder: buffer-memory-sweep/
    workload = "resnet50"                       # or a list, also in [axes]; or an .onnx or topology .csv file
    constraints = [                             # every point, or every result, must satisfy each
      "core.global_buffer <= 20 MiB",           # points that do not are no part of the sweep
      "energy_joules.total < 4 J",              # results that do not are marked infeasible
    ]

    [base]                                      # fixed; any parameter, as in the axes
    batch = 64
    "option.image" = 224

    [axes]                                      # the first one varies slowest
    schedule = ["baseline", "il", "mbs2"]
    "core.global_buffer" = { from = "5 MiB", to = "40 MiB", factor = 2 }
    "array.rows" = [64, 128, 256]
    "array.columns" = "16384 / array.rows"

    [objectives]                                # default: minimize step_seconds and energy_joules.total
    minimize = ["step_seconds", "energy_joules.total"]
    maximize = []
    per = ["array.rows"]                        # one front for each value of these axes; default: for each workload

    [search]                                    # default: the whole grid
    method = "grid"                             # "random" and "optuna" take points and seed, optuna also population

    [figure]                                    # kind "lines" (x, y), "heatmap" (x, y, value) or "pareto" (x, y)
    kind = "lines"
    x = "core.global_buffer"
    y = "step_seconds"
    series = "schedule"
    panels = "array.rows"

`parameters` says what can be varied, `axes` how, `expressions` what derived axes and constraints may compute.  What
is neither fixed nor an axis is as in ``wavecore run``, but for the engine, which is the analytic one.  Paths start
from the file's folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wavecore.common.toml import Document, place, read_document
from wavecore.errors import ConfigError, NameLookupError, nearest
from wavecore.results.metrics import METRICS
from wavecore.sweep.axes import AxisSpec, described_range, is_range, read_values
from wavecore.sweep.expressions import Expression, Type, parse_expression, quantity_type
from wavecore.sweep.parameters import SweepParameter, SweepValue, find_parameter, is_machine_field
from wavecore.sweep.sections import (
    FIGURES,
    MOST_POINTS,
    Figure,
    Objective,
    Search,
    names,
    read_figure,
    read_objectives,
    read_search,
)

KEYS = ("name", "workload", "constraints", "base", "axes", "objectives", "search", "figure")
DEFAULTS: Mapping[str, SweepValue] = {"accelerator": "wavecore", "schedule": "mbs2", "engine": "analytic"}

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_METRIC_SYMBOLS = {"bytes": "B", "s": "s", "J": "J", "W": "W", "mm2": "mm2", "cycles": "cycles"}

Find = Callable[[str, str], SweepParameter]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """A sweep: what is fixed (``base``), what varies, constraints, and objectives.

    ``parameters`` are those of ``base`` and ``axes``, and the fields of the machine that constraints name.  ``depends``
    gives, for each axis, the axes that are not derived and settle its value.  ``point_constraints`` decide which points
    there are, ``result_constraints`` which results are feasible.
    """

    name: str
    label: str
    text: str
    folder: Path
    base: Mapping[str, SweepValue]
    parameters: Mapping[str, SweepParameter]
    axes: tuple[AxisSpec, ...]
    depends: Mapping[str, frozenset[str]]
    point_constraints: tuple[Expression, ...]
    result_constraints: tuple[Expression, ...]
    objectives: tuple[Objective, ...]
    per: tuple[str, ...]
    search: Search
    figure: Figure | None

    @property
    def free(self) -> tuple[AxisSpec, ...]:
        """The axes that are not derived."""
        return tuple(axis for axis in self.axes if axis.expression is None)


def read_spec(path: Path) -> SweepSpec:
    """Read a specification; an `InputError`, located at its line, for the first thing that is wrong."""
    return parse_spec(read_document(path))


def parse_spec(document: Document) -> SweepSpec:
    """Read a specification out of a document.  Raises what `read_spec` does."""
    for key in document.data:
        if key not in KEYS:
            hint = " or ".join(nearest(key, KEYS)) or "one of " + ", ".join(KEYS)
            raise ConfigError(place(document, key), "unknown key", hint)
    workload, listed = _workload(document)
    find = partial(find_parameter, workloads=[str(value) for value in workload.values], folder=document.folder)
    fixed, varied = (_entries(document, section, find) for section in ("base", "axes"))
    for name in varied:
        if name in fixed:
            raise ConfigError(varied[name].where, f"stands in [base] too ({fixed[name].where})", "one of them")
    parameters = {"workload": workload.parameter, **{name: find(name, name) for name in DEFAULTS}}
    parameters |= {name: entry.parameter for name, entry in (fixed | varied).items()}
    axes = _axes(document, varied.values(), parameters, len(workload.values))
    base = {name: value for name, value in DEFAULTS.items() if name not in varied}
    base |= {name: _fixed(entry) for name, entry in fixed.items()}
    if listed:
        axes = (workload, *axes)
    else:
        base = {"workload": workload.values[0], **base}
    if not axes:
        raise ConfigError(place(document, "axes"), "nothing varies", '[axes] with schedule = ["baseline", "mbs2"]')
    return _put_together(document, base, axes, parameters, find)


def _axes(
    document: Document, entries: Iterable[_KeyEntry], parameters: Mapping[str, SweepParameter], workloads: int
) -> tuple[AxisSpec, ...]:
    """Return the axes; `ConfigError` for a grid of more than `MOST_POINTS`, before any of its values is made."""
    described = [_axis(entry, parameters) for entry in entries]
    points = workloads * math.prod(count for count, _ in described)
    if points > MOST_POINTS and read_search(document).method == "grid":
        what = f"the grid has {points:,} points, more than {MOST_POINTS:,}"
        raise ConfigError(document.label, what, '[search] with method = "random" and points = 1000')
    return tuple(made() for _, made in described)


def _put_together(
    document: Document,
    base: Mapping[str, SweepValue],
    axes: tuple[AxisSpec, ...],
    parameters: Mapping[str, SweepParameter],
    find: Find,
) -> SweepSpec:
    """Read the rest, which is about the axes."""
    order, depends = [axis.name for axis in axes], _dependencies(axes)
    search = read_search(document)
    for axis in axes:
        if axis.span is not None and search.method == "grid":
            hint = 'step, factor or points, or [search] method = "random"'
            raise ConfigError(axis.where, "the range has no steps, and a grid needs them", hint)
    objectives, per = read_objectives(document, order)
    several = [axis.name for axis in axes if axis.name in per and len(axis.values) != 1]
    if several and search.method == "optuna":
        what = f"optuna looks for one front, and there is one of each {' and '.join(several)}"
        raise ConfigError(place(document, "search.method"), what, f"one {several[0]}, or a random search")
    constraints, more = _constraints(document, parameters, find)
    # Those that need no derived axis come first: they may exclude values from which none can be derived.
    derived = {axis.name for axis in axes if axis.expression is not None}
    constraints.sort(key=lambda constraint: bool(constraint.names & derived))
    return SweepSpec(
        name=_name(document),
        label=document.label,
        text=document.text,
        folder=document.folder,
        base=base,
        parameters={**parameters, **more},
        axes=axes,
        depends=depends,
        point_constraints=tuple(each for each in constraints if not each.names & set(FIGURES)),
        result_constraints=tuple(each for each in constraints if each.names & set(FIGURES)),
        objectives=objectives,
        per=per,
        search=search,
        figure=read_figure(
            document,
            order,
            [name for name in order if name not in derived],
            search.method == "grid",
        ),
    )


def type_of(parameter: SweepParameter) -> Type:
    """Return the type of a parameter in an expression."""
    if not parameter.numeric:
        return Type("text" if parameter.kind == "text" else "flag", {})
    return quantity_type(parameter.symbol, strict=bool(parameter.unit))[0]


@dataclass(frozen=True, slots=True)
class _KeyEntry:
    """A key of [base] or [axes]: its parameter, what it says and where."""

    parameter: SweepParameter
    value: object
    where: str


def _name(document: Document) -> str:
    """Return the name of the sweep."""
    if "name" not in document.data:
        raise ConfigError(document.label, "there is no name", 'name = "..." at the top, which also names the folder')
    value = document.data["name"]
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        hint = "at most 64 letters, digits, points and dashes"
        raise ConfigError(place(document, "name"), f"{value!r} cannot be the name of a folder", hint)
    return value


def _workload(document: Document) -> tuple[AxisSpec, bool]:
    """Return the workloads, which stand at the top or in [axes], and whether they are an axis."""
    axes = document.data.get("axes")
    inside = isinstance(axes, dict) and "workload" in axes
    where = place(document, "axes.workload" if inside else "workload")
    if inside and "workload" in document.data:
        raise ConfigError(where, "stands at the top too", "one of them")
    if not inside and "workload" not in document.data:
        raise ConfigError(document.label, "there is no workload", 'workload = "resnet50" at the top')
    value = axes["workload"] if isinstance(axes, dict) and inside else document.data["workload"]
    parameter = find_parameter("workload", where, (), document.folder)
    listed = inside or isinstance(value, list)
    return read_values(parameter, value if isinstance(value, list) else [value], where), listed


def _entries(document: Document, section: str, find: Find) -> dict[str, _KeyEntry]:
    """Return the entries of a section by parameter name; ``core.x = 1`` is the same as ``"core.x" = 1``."""
    table = document.data.get(section, {})
    if not isinstance(table, dict):
        raise ConfigError(place(document, section), "expected a section", f"[{section}]")
    found: dict[str, _KeyEntry] = {}
    for name, value in _flattened(table):
        if section == "axes" and name == "workload":  # `_workload` has read it
            continue
        where = place(document, f"{section}.{name}")
        if name in KEYS:
            raise ConfigError(where, f"is no parameter of [{section}]", "moving it above the first [section]")
        if name in found:
            raise ConfigError(where, "stands twice", "one of them")
        found[name] = _KeyEntry(find(name, where), value, where)
    return found


def _flattened(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict) and value and not is_range(value) and "." not in key:
            yield from ((f"{key}.{name}", each) for name, each in value.items())
        else:
            yield key, value


def _fixed(entry: _KeyEntry) -> SweepValue:
    if isinstance(entry.value, (list, dict)):
        raise ConfigError(entry.where, "what is fixed has one value", "moving it to [axes]")
    return entry.parameter.read(entry.value, entry.where)


def _axis(entry: _KeyEntry, parameters: Mapping[str, SweepParameter]) -> tuple[int, Callable[[], AxisSpec]]:
    """Return how many values an axis adds to a grid, 1 if it is derived, and the function that makes it."""
    parameter, value, where = entry.parameter, entry.value, entry.where
    if isinstance(value, list):
        listed = read_values(parameter, value, where)
        return len(listed.values), lambda: listed
    if isinstance(value, dict):
        return described_range(parameter, value, where)
    formula = isinstance(value, str) and parameter.kind != "text"
    expression = parse_expression(str(value), where, partial(_type_in_axes, parameters, where)) if formula else None
    if expression is None or not expression.names:
        shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
        raise ConfigError(where, f"{shown} is one value, and an axis has several", f"[{shown}], or [base]")
    wanted, given = type_of(parameter), expression.type
    if (wanted.form, wanted.dimension) != (given.form, given.dimension):
        raise ConfigError(where, f"{value} is {given}, not {wanted}", "an expression of that kind")
    derived = AxisSpec(parameter=parameter, where=where, expression=expression)
    return 1, lambda: derived


def _type_in_axes(parameters: Mapping[str, SweepParameter], where: str, name: str) -> Type:
    """Return the type of a name in a derived axis."""
    if name not in parameters:
        close = " or ".join(nearest(name, parameters)) or f"stating {name} in [base]"
        raise NameLookupError(where, f"{name!r} is neither an axis nor fixed in [base]", close)
    return type_of(parameters[name])


def _dependencies(axes: tuple[AxisSpec, ...]) -> dict[str, frozenset[str]]:
    """Return the free axes that each axis depends on.  Raises `ConfigError` if derived ones depend on each other."""
    by_name = {axis.name: axis for axis in axes}

    def settle(name: str, above: tuple[str, ...]) -> frozenset[str]:
        axis = by_name[name]
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise ConfigError(axis.where, f"the derived axes go in a circle: {circle}", "a list for one of them")
        if axis.expression is None:
            return frozenset({name})
        return frozenset().union(*(settle(each, (*above, name)) for each in axis.expression.names & set(by_name)))

    return {axis.name: settle(axis.name, ()) for axis in axes}


def _constraints(
    document: Document, parameters: Mapping[str, SweepParameter], find: Find
) -> tuple[list[Expression], dict[str, SweepParameter]]:
    """Return the constraints, and the parameters of the machine's fields that only they name."""
    listed = names(document.data.get("constraints", []), place(document, "constraints"), "batch <= 64")
    found: list[Expression] = []
    more: dict[str, SweepParameter] = {}
    for text in listed:
        where = _line(document, text)
        expression = parse_expression(text, where, partial(_type_anywhere, parameters, find, where))
        if expression.type.form != "flag":
            raise ConfigError(where, f"{text} is {expression.type}, not a condition", f"{text} <= ...")
        found.append(expression)
        more |= {name: find(name, where) for name in expression.names - parameters.keys() - set(FIGURES)}
    return found, more


def _line(document: Document, constraint: str) -> str:
    """Return the place of one constraint of the list, for messages."""
    head, lines = place(document, "constraints"), document.text.split("\n")
    first = int(head.removesuffix(": constraints").rpartition(":")[2])
    line = next((number for number in range(first, len(lines) + 1) if constraint in lines[number - 1]), first)
    return f"{document.label}:{line}: constraints"


def _type_anywhere(parameters: Mapping[str, SweepParameter], find: Find, where: str, name: str) -> Type:
    """Return the type of a name in a constraint: a metric, a stated parameter, or any field of the machine."""
    if name in FIGURES:
        return quantity_type(_METRIC_SYMBOLS.get(METRICS[name].unit, ""), strict=False)[0]
    if name in parameters:
        return type_of(parameters[name])
    if not is_machine_field(name):
        hint = " or ".join(nearest(name, [*parameters, *FIGURES])) or "an axis, a metric or a field of the machine"
        raise NameLookupError(where, f"{name!r} is nothing that a point or its result has", hint)
    return type_of(find(name, where))
