"""Accelergy's energy reference tables (``ERT.yaml``, ``ERT_summary.yaml``), versions 0.3 and 0.4.

Accelergy (github.com/Accelergy-Project/accelergy) writes a table for each component, with an energy per action::

    ERT:
      version: '0.4'
      tables:
      - name: system_top_level.shared_glb[1..1]
        actions:
        - name: read
          arguments: {}
          energy: 32.377775

An action may be listed several times, with different arguments.  A summary has the same structure under
``ERT_summary`` and ``table_summary``, with one ``average_energy`` for each action.  The file does not state the unit of
its energies; Accelergy's own log calls them pJ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from wavecore.common.yaml import YamlNode, items, read_yaml
from wavecore.errors import ConfigError, nearest

VERSIONS = ("0.3", "0.4")
FORMS = {"ERT": "tables", "ERT_summary": "table_summary"}

# Numbers of YAML 1.2's core schema (section 10.3.2), but an exponent has at most two digits.
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,2})?")
_LONGEST = 40
_INSTANCES = re.compile(r"\[\d+\.\.\d+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The energy of one action of a component, in the unit of the file, and its line there."""

    component: str
    name: str
    arguments: Mapping[str, str]
    energy: Fraction
    averaged: bool
    line: int

    def __str__(self) -> str:
        """Return, for example, ``shared_glb[1..1] read (address_delta 1)``."""
        arguments = ", ".join(f"{key} {value}" for key, value in self.arguments.items())
        return f"{self.component} {self.name}" + (f" ({arguments})" if arguments else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ert:
    """A table of reference energies: the file that it was read from, its version and its actions."""

    label: str
    version: str
    actions: tuple[Action, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """Return the names of all components, with the numbers of their instances."""
        return tuple(dict.fromkeys(action.component for action in self.actions))


def read_ert(path: Path) -> Ert:
    """Read a file that Accelergy has written.

    Raises the errors of `wavecore.common.yaml.read_yaml`, and `ConfigError`, located at the line, for anything that is
    not a table of energies: another version, a missing name, an energy that is negative or not a number, or an action
    that is listed twice with the same arguments.
    """
    return _ErtReader(str(path)).table(read_yaml(path))


def find_actions(ert: Ert, component: str, action: str, fail: Callable[[str, str, str], ConfigError]) -> list[Action]:
    """Return all entries of an action of a component, which may be named without the numbers of its instances.

    ``fail(kind, what is wrong, what to try)`` makes the error that is raised for a name that the table lacks.
    """
    names = [name for name in ert.components if component in (name, _INSTANCES.sub("", name))]
    if not names:
        close = _nearest(component, ert.components)
        raise fail("component", f"{ert.label} has no component {component!r}", close)
    if len(names) > 1:
        raise fail("component", f"{component!r} is more than one component of {ert.label}", " or ".join(names))
    of_component = [each for each in ert.actions if each.component == names[0]]
    found = [each for each in of_component if each.name == action]
    if not found:
        close = _nearest(action, [each.name for each in of_component])
        raise fail("action", f"{names[0]} of {ert.label} has no action {action!r}", close)
    return found


def _nearest(name: str, names: tuple[str, ...] | list[str]) -> str:
    """Return a hint: the names with the same last part, else the nearest ones, else all."""
    last = _INSTANCES.sub("", name).rpartition(".")[2]
    same = [each for each in names if _INSTANCES.sub("", each).rpartition(".")[2] == last]
    return " or ".join(same or nearest(name, names)) or "one of " + ", ".join(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class _ErtReader:
    """A reader of the nodes of one file; its methods raise `ConfigError`, located at the line."""

    label: str

    def table(self, root: YamlNode) -> Ert:
        keys = dict(items(root))
        form = next((name for name in FORMS if name in keys), None)
        if form is None:
            raise self._error(root, "there is no ERT", "an ERT.yaml or ERT_summary.yaml of Accelergy")
        table = keys[form]
        version = self._text(table, "version", form)
        if version not in VERSIONS:
            where = self._get(table, "version", form)
            raise self._error(where, f"{form}.version is {version!r}", " or ".join(VERSIONS))
        components = self._list(table, FORMS[form], form)
        actions = [action for component in components for action in self._component(component, form)]
        if not actions:
            raise self._error(table, f"{form} has no action")
        self._each_once(actions)
        return Ert(label=self.label, version=version, actions=tuple(actions))

    def _component(self, node: YamlNode, form: str) -> list[Action]:
        name = self._text(node, "name", f"a component of {form}")
        return [self._action(each, name) for each in self._list(node, "actions", name)]

    def _action(self, node: YamlNode, component: str) -> Action:
        name = self._text(node, "name", f"an action of {component}")
        what = f"{component} {name}"
        averaged = "average_energy" in dict(items(node))
        energy = self._get(node, "average_energy" if averaged else "energy", what)
        return Action(
            component=component,
            name=name,
            arguments=self._arguments(node, what),
            energy=self._number(energy, f"the energy of {what}"),
            averaged=averaged,
            line=energy.line,
        )

    def _arguments(self, node: YamlNode, what: str) -> dict[str, str]:
        given = dict(items(node)).get("arguments")
        if given is None or given.value is None:
            return {}
        if not isinstance(given.value, dict):
            raise self._error(given, f"the arguments of {what} are no mapping", "{}, or names with values")
        return {key: self._text(given, key, f"the arguments of {what}") for key in given.value}

    def _number(self, node: YamlNode, what: str) -> Fraction:
        text = node.value if isinstance(node.value, str) else ""
        if not _NUMBER.fullmatch(text) or len(text) > _LONGEST:
            raise self._error(node, f"{what} is {self._shown(node)}, not a number")
        if text.startswith("-"):
            raise self._error(node, f"{what} is {text}: negative")
        return Fraction(Decimal(text))

    def _each_once(self, actions: list[Action]) -> None:
        seen: dict[str, Action] = {}
        for action in actions:
            first = seen.setdefault(str(action), action)
            if first is not action:
                where = f"{self.label}:{action.line}"
                raise ConfigError(where, f"{action} is there twice, first in line {first.line}", "each action once")

    def _get(self, node: YamlNode, key: str, what: str) -> YamlNode:
        found = dict(items(node)).get(key)
        if found is None:
            raise self._error(node, f"{what} has no {key}")
        return found

    def _text(self, node: YamlNode, key: str, what: str) -> str:
        found = self._get(node, key, what)
        if not isinstance(found.value, str) or not found.value.strip():
            raise self._error(found, f"the {key} of {what} is {self._shown(found)}, not a text")
        return found.value

    def _list(self, node: YamlNode, key: str, what: str) -> list[YamlNode]:
        found = self._get(node, key, what)
        if not isinstance(found.value, list):
            raise self._error(found, f"the {key} of {what} are no list")
        return found.value

    def _error(self, node: YamlNode, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.label}:{node.line}", what, hint)

    @staticmethod
    def _shown(node: YamlNode) -> str:
        """Return a value as messages show it."""
        if isinstance(node.value, str):
            return repr(node.value if len(node.value) <= _LONGEST else f"{node.value[:_LONGEST]}...")
        if node.value is None:
            return "empty"
        return "a list" if isinstance(node.value, list) else "a mapping"
