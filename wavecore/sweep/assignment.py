"""The values of one point by name, and what is built from them: terms of expressions, a machine, a task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter

from wavecore.errors import ConfigError, InputError
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.simulation import parse_choices
from wavecore.sweep.expressions import ExpressionValue
from wavecore.sweep.parameters import SweepValue, is_machine_field, path_from
from wavecore.sweep.spec import SweepSpec
from wavecore.sweep.task import DENSE, Task, make_task


class UnbuildableError(Exception):
    """Raised for a constraint on a field of a machine that cannot be built."""


class Assignment(dict[str, SweepValue]):
    """Values by name: fixed ones, those of the ``free`` axes, and those of derived axes, computed at first use."""

    def __init__(self, spec: SweepSpec, free: Mapping[str, SweepValue]) -> None:
        super().__init__({**spec.base, **free})
        self._spec = spec

    def __missing__(self, name: str) -> SweepValue:
        """Compute the value of a derived axis.  Raises `ConfigError` if it is not an allowed value."""
        axis = next(axis for axis in self._spec.axes if axis.name == name)
        assert axis.expression is not None
        term = axis.expression.value(self.term)
        try:
            self[name] = axis.parameter.value(term, axis.where)
        except InputError as error:
            at = ", ".join(f"{each} = {self._shown(each)}" for each in sorted(axis.expression.names))
            what = f"{axis.expression.text} at {at}: {error.what}"
            raise ConfigError(axis.where, what, "a constraint that excludes it, or // instead of /") from error
        return self[name]

    def term(self, name: str) -> ExpressionValue:
        """Return the value of a name in an expression.

        Raises `UnbuildableError` for a field of a machine that cannot be built.
        """
        parameter = self._spec.parameters[name]
        if name in self or name in self._spec.depends:
            return parameter.term(self[name])
        try:
            return parameter.term(attrgetter(parameter.column)(self.accelerator()))
        except InputError as error:
            raise UnbuildableError from error

    def accelerator(self) -> Accelerator:
        """Return the machine.  Raises `InputError` if its fields contradict each other."""
        stated = [name for name in self._names() if is_machine_field(name)]
        overrides = [f"{name}={self._spec.parameters[name].text(self[name])}" for name in stated]
        parts = {part: self._path(part) for part in ("accelerator", "memory", "energy") if part in self._names()}
        if "energy" in parts:
            overrides.insert(0, f"energy={parts['energy']}")
        return _machine(parts["accelerator"], parts.get("memory"), tuple(overrides))

    def task(self) -> Task:
        """Return the task of this point.  Raises `InputError` if its values do not make one."""
        batch = self["batch"] if "batch" in self._names() else None
        choices = self._under("choice.")
        return make_task(
            self._path("workload"),
            str(self["schedule"]),
            self.accelerator(),
            options=self._under("option."),
            choices=parse_choices([f"{key}={str(value).lower()}" for key, value in choices.items()]),
            batch=None if batch is None else int(batch),
            engine=str(self["engine"]),
            sparsity=self._path("sparsity") if "sparsity" in self._names() else DENSE,
        )

    def _names(self) -> list[str]:
        return [*self._spec.base, *self._spec.depends]

    def _under(self, prefix: str) -> dict[str, SweepValue]:
        """Return the values whose names begin with a prefix, by the rest of their names."""
        return {name.removeprefix(prefix): self[name] for name in self._names() if name.startswith(prefix)}

    def _path(self, name: str) -> str:
        return path_from(self._spec.folder, str(self[name]))

    def _shown(self, name: str) -> str:
        return self._spec.parameters[name].show(self[name])


@lru_cache(maxsize=4096)
def _machine(accelerator: str, memory: str | None, overrides: tuple[str, ...]) -> Accelerator:
    return load_accelerator(accelerator, memory=memory, overrides=overrides)
