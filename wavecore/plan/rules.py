"""Rules that a plan obeys, as a table of named functions: on any machine, and on the one that will run it.

They say what is wrong at which place of the plan, and know nothing of files: `plan.files` turns a place into
FILE:LINE, and `verify_plan` into the group of a plan that has no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from wavecore.common.memo import remembered
from wavecore.common.typecheck import type_problem
from wavecore.errors import PlanError, SpaceError, nearest
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import KINDS
from wavecore.network.layers.base import LayerRole
from wavecore.network.rules import LARGEST_BATCH
from wavecore.plan.blocking import block, least_bytes
from wavecore.plan.model import Group, Plan
from wavecore.plan.placement import Direction, PlacedOperation, place_group
from wavecore.plan.traffic import held_bytes, sub_batches
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import TensorClass
from wavecore.training.rewrites import names_of
from wavecore.training.rules import verify_training

DIRECTIONS = (Direction.FORWARD, Direction.BACKWARD)
GROUP = "group"
BACKWARD_GROUP = "backward_group"
HELD_CLASSES = (TensorClass.WEIGHT, TensorClass.WEIGHT_GRADIENT)


class DirectionGroups(NamedTuple):
    """The groups of one or both directions, and the ``table`` that holds them in a plan's file."""

    table: str
    groups: tuple[Group, ...]
    directions: tuple[Direction, ...]


@dataclass(frozen=True, slots=True)
class PlanContext:
    """A plan and what it is judged by; ``graph``, if given, tells views from names that do not exist."""

    training: TrainingGraph
    plan: Plan
    graph: LayerGraph | None = None

    def units(self, group: Group) -> list[FusedLayer]:
        """Return the units of a group, which must exist."""
        return [self.training.units[self.training.unit_index[name]] for name in group.units]

    @property
    def cuts(self) -> tuple[DirectionGroups, ...]:
        """The groups of both directions, or those of forward and those of backward where they differ."""
        if self.plan.backward_groups is None:
            return (DirectionGroups(GROUP, self.plan.groups, DIRECTIONS),)
        return (
            DirectionGroups(GROUP, self.plan.groups, DIRECTIONS[:1]),
            DirectionGroups(BACKWARD_GROUP, self.plan.backward_groups, DIRECTIONS[1:]),
        )

    def groups(self) -> Iterator[tuple[DirectionGroups, int, Group]]:
        """Yield every group with its number, from 0, in its cut."""
        for cut in self.cuts:
            for index, group in enumerate(cut.groups):
                yield cut, index, group


@dataclass(frozen=True, slots=True)
class PlanViolation:
    """What is wrong with a plan, at the ``nth`` mention of ``name`` under ``key`` of ``group``, where given.

    Groups count from 0 in their ``table``, and so does ``nth``; without a ``group`` it is the plan's own key.
    """

    what: str
    hint: str = ""
    group: int | None = None
    key: str = ""
    name: str = ""
    nth: int = 0
    table: str = GROUP

    @property
    def spot(self) -> str:
        """The place in the plan, as people count: ``group 2: units``."""
        group = f"{self.table.replace('_', ' ')} {self.group + 1}" if self.group is not None else ""
        return ": ".join(part for part in (group, self.key) if part)


def verify_plan(training: TrainingGraph, plan: Plan, accelerator: Accelerator, *, where: str = "") -> None:
    """Raise `PlanError` if ``plan`` does not fit its network or its machine; errors call it ``where``.

    ``training`` is the graph that the plan runs: that of the network after the plan's rewrites.  A plan that has passed
    for a machine is not examined again.
    """
    verify_structure(training, plan, where=where)
    _verify_space(training, plan, accelerator, where)


def verify_structure(training: TrainingGraph, plan: Plan, *, where: str = "") -> None:
    """Raise `PlanError` if ``plan`` is wrong on any machine; one that has passed is not examined again."""
    verify_training(training)
    if not isinstance(plan, Plan):
        what = f"is a {type(plan).__name__}, not a Plan"
        raise PlanError(where or "plan", what, "wavecore.make_plan, or wavecore.load_plan")
    _verify_structure(training, plan, where)


@remembered(key=lambda plan, accelerator, where: (id(plan), accelerator.core.global_buffer_bytes, accelerator.array))
def _verify_space(training: TrainingGraph, plan: Plan, accelerator: Accelerator, where: str) -> None:
    for finding in every_operation_fits(PlanContext(training, plan), accelerator):
        raise _error(plan, finding, where)


@remembered(key=lambda plan, where: id(plan))
def _verify_structure(training: TrainingGraph, plan: Plan, where: str) -> None:
    for finding in violations(PlanContext(training, plan)):
        raise _error(plan, finding, where)


def _error(plan: Plan, finding: PlanViolation, where: str) -> PlanError:
    where = where or f"plan {plan.schedule} of {plan.workload}"
    return PlanError(f"{where}: {finding.spot}" if finding.spot else where, finding.what, finding.hint)


def violations(case: PlanContext) -> Iterator[PlanViolation]:
    """Yield what is wrong with a plan on any machine.

    A rule may rely on those before it in the table: only the first finding is sure to be right.
    """
    for rule in RULES:
        yield from rule(case)


def fields_have_their_types(case: PlanContext) -> Iterator[PlanViolation]:
    """Every field of the plan and of its groups has the type that it is annotated with."""
    wrong = type_problem(case.plan, Plan)
    if wrong is not None:
        yield PlanViolation(wrong.what, "a value of that type", key=wrong.path.removeprefix("."))


def plan_is_of_this_network(case: PlanContext) -> Iterator[PlanViolation]:
    """A plan runs the network that it was made for."""
    if case.plan.workload != case.training.name:
        what = f"is a plan of {case.plan.workload!r}, not of {case.training.name!r}"
        yield PlanViolation(what, f"a plan of {case.training.name}", key="workload")
    if case.plan.rewrites != case.training.rewrites:
        planned, had = map(names_of, (case.plan.rewrites, case.training.rewrites))
        what = f"needs these rewrites of the training graph: {planned}; and it has had: {had}"
        yield PlanViolation(what, "training.rewrites.rewritten(training, plan.rewrites)", key="rewrite")


def numbers_are_in_range(case: PlanContext) -> Iterator[PlanViolation]:
    """There is a mini-batch, sub-batches are part of it, and normalization reads its input once or twice."""
    plan = case.plan
    if not 1 <= plan.batch_per_core <= LARGEST_BATCH:
        hint = f"1 to {LARGEST_BATCH}"
        yield PlanViolation(f"{plan.batch_per_core} is out of range", hint, key="batch_per_core")
    if plan.normalization_passes not in (1, 2):
        yield PlanViolation(f"{plan.normalization_passes} is out of range", "1 or 2", key="normalization_passes")
    for cut, index, group in case.groups():
        if not 1 <= group.sub_batch <= plan.batch_per_core:
            what = f"{group.sub_batch} is out of range"
            hint = f"1 to {plan.batch_per_core}, the batch_per_core"
            yield PlanViolation(what, hint, index, "sub_batch", table=cut.table)


def groups_have_units(case: PlanContext) -> Iterator[PlanViolation]:
    """No group is empty."""
    for cut, index, group in case.groups():
        if not group.units:
            hint = "naming its units, or leaving it out"
            yield PlanViolation("the group is empty", hint, index, "units", table=cut.table)


def units_exist(case: PlanContext) -> Iterator[PlanViolation]:
    """Every unit of a plan is one of the network."""
    for cut, index, group in case.groups():
        for name in group.units:
            if name not in case.training.unit_index:
                what, hint = _no_unit(case, name)
                yield PlanViolation(what, hint, index, "units", name, table=cut.table)


def _no_unit(case: PlanContext, name: str) -> tuple[str, str]:
    """Return why ``name`` is no unit, and what to try."""
    for unit in case.training.units:
        if name in unit.fused:
            return f"{name!r} is fused into {unit.name}; name that", ""
    layer = case.graph.by_name.get(name) if case.graph is not None else None
    if layer is not None and KINDS[type(layer.kind)].role is LayerRole.VIEW:
        return f"{name!r} is a view, named in no group", "leaving it out"
    close = nearest(name, case.training.unit_index)
    return f"there is no unit named {name!r}", " or ".join(close) or f"a unit of {case.training.name}"


def units_run_once(case: PlanContext) -> Iterator[PlanViolation]:
    """No unit is in two groups of a direction, or twice in one."""
    for cut in case.cuts:
        seen: dict[str, int] = {}
        for index, group in enumerate(cut.groups):
            for name in group.units:
                if name in seen:
                    again = seen[name] == index
                    there = "this group" if again else f"group {seen[name] + 1}"
                    what = f"{name!r} is in {there} already"
                    yield PlanViolation(what, "naming each unit once", index, "units", name, int(again), cut.table)
                seen.setdefault(name, index)


def units_all_run(case: PlanContext) -> Iterator[PlanViolation]:
    """No unit is left out of a direction."""
    names = list(case.training.unit_index)
    for cut in case.cuts:
        homes = {name: index for index, group in enumerate(cut.groups) for name in group.units}
        missing = [name for name in names if name not in homes]
        if len(missing) == len(names):
            yield PlanViolation(f"there is no {cut.table.replace('_', ' ')}", f"[[{cut.table}]]")
        elif missing:
            at = names.index(missing[0])
            mark = names[at - 1] if at else next(name for name in names if name in homes)
            more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
            hint = f"{missing[0]} {'after' if at else 'before'} {mark}"
            what = f"{missing[0]!r}{more} left out"
            yield PlanViolation(what, hint, homes[mark], "units", mark, table=cut.table)


def units_are_in_order(case: PlanContext) -> Iterator[PlanViolation]:
    """Units are in the order of the network, within groups and across them."""
    for cut in case.cuts:
        expected = iter(case.training.unit_index)
        for index, group in enumerate(cut.groups):
            for name in group.units:
                wanted = next(expected)
                if name != wanted:
                    what = f"{name!r} stands where {wanted!r} belongs"
                    yield PlanViolation(what, "the order of the network", index, "units", name, table=cut.table)


def statistics_are_of_the_whole_batch(case: PlanContext) -> Iterator[PlanViolation]:
    """No sub-batch passes alone through a layer that needs every sample of the mini-batch."""
    for cut, index, group in case.groups():
        if group.iterations(case.plan.batch_per_core) > 1:
            for unit in case.units(group):
                if unit.whole_batch:
                    what = f"{unit.name!r} takes statistics of the whole mini-batch, not of sub-batches"
                    hint = f"a group of its own, of sub_batch = {case.plan.batch_per_core}"
                    yield PlanViolation(what, hint, index, "units", unit.name, table=cut.table)


def residency_is_of_samples(case: PlanContext) -> Iterator[PlanViolation]:
    """Residency is given to tensors of samples that the group reads or writes in that direction."""
    for cut, index, group in case.groups():
        for direction, table in zip(DIRECTIONS, (group.forward, group.backward), strict=True):
            if table and direction not in cut.directions:
                home = BACKWARD_GROUP if direction is Direction.BACKWARD else GROUP
                what = f"a [[{cut.table}]] does not run {direction}"
                yield PlanViolation(what, f"moving it to a [[{home}]]", index, str(direction), table=cut.table)
                continue
            touched = _touched(case.training, group.units, direction)
            for name, residency in table.items():
                if problem := _no_resident(case.training, name, touched, direction):
                    yield PlanViolation(*problem, index, f"{direction}.{residency}", name, table=cut.table)


@remembered()
def _touched(training: TrainingGraph, units: tuple[str, ...], direction: Direction) -> frozenset[str]:
    """Return the tensors that units read or write in a direction."""
    names: set[str] = set()
    for unit in (training.units[training.unit_index[name]] for name in units):
        for op in unit.forward if direction is Direction.FORWARD else unit.backward:
            names.update(op.writes)
            names.update(use.tensor for use in op.reads)
    return frozenset(names)


def _no_resident(
    training: TrainingGraph, name: str, touched: frozenset[str], direction: Direction
) -> tuple[str, str] | None:
    """Return why ``name`` has no residency in a direction of a group, and what to try; None if it may have."""
    tensor = training.tensors.get(name)
    if tensor is None:
        close = nearest(name, sorted(other for other in touched if training.tensors[other].batched))
        return f"there is no tensor named {name!r}", " or ".join(close) or "leaving it out"
    if not tensor.batched:
        hint = "held" if tensor.tensor_class in HELD_CLASSES else "leaving it out"
        return f"{name!r} has no samples that come and go", hint
    if name not in touched:
        return f"the group's {direction} neither reads nor writes {name!r}", "leaving it out"
    return None


def held_tensors_are_weights(case: PlanContext) -> Iterator[PlanViolation]:
    """What is held over the iterations are weights and weight gradients of the group."""
    for cut, index, group in case.groups():
        if group.held:
            of_direction = (_touched(case.training, group.units, direction) for direction in cut.directions)
            touched = frozenset[str]().union(*of_direction)
            for name in sorted(group.held):
                if problem := _not_held(case.training, name, touched):
                    yield PlanViolation(*problem, index, "held", name, table=cut.table)


def _not_held(training: TrainingGraph, name: str, touched: frozenset[str]) -> tuple[str, str] | None:
    """Return why ``name`` cannot be held, and what to try; None if it can."""
    tensor = training.tensors.get(name)
    if tensor is None:
        close = nearest(name, sorted(n for n in touched if training.tensors[n].tensor_class in HELD_CLASSES))
        return f"there is no tensor named {name!r}", " or ".join(close) or "leaving it out"
    if tensor.batched:
        return f"{name!r} grows with the samples and cannot be held", "forward.kept or backward.kept"
    if tensor.tensor_class not in HELD_CLASSES or name not in touched:
        return f"{name!r} is no weight or weight gradient of this group", "leaving it out"
    return None


RULES: tuple[Callable[[PlanContext], Iterator[PlanViolation]], ...] = (
    fields_have_their_types,
    plan_is_of_this_network,
    numbers_are_in_range,
    groups_have_units,
    units_exist,
    units_run_once,
    units_all_run,
    units_are_in_order,
    statistics_are_of_the_whole_batch,
    residency_is_of_samples,
    held_tensors_are_weights,
)


def every_operation_fits(case: PlanContext, accelerator: Accelerator) -> Iterator[PlanViolation]:
    """Every operation of every group has room in the global buffer beside what is held there."""
    for cut, index, group in case.groups():
        for direction in cut.directions:
            finding = _too_large(case, group, direction, accelerator)
            if finding is not None:
                yield replace(finding, group=index, table=cut.table)


def _too_large(case: PlanContext, group: Group, direction: Direction, accelerator: Accelerator) -> PlanViolation | None:
    """Return what of a group has no room in the buffer in one direction; None if all has."""
    placed = place_group(case.training, group, direction, case.plan.normalization_passes)
    held = held_bytes(placed, group.held)
    space = accelerator.core.global_buffer_bytes - held
    if space < 0:
        what = f"holds {held} bytes over its iterations, and the buffer has {space + held}"
        return PlanViolation(what, "smaller or fewer tensors", key="held")
    for samples in dict.fromkeys(sub_batches(group, case.plan.batch_per_core)):
        for operation in placed:
            if error := _no_room(operation, accelerator, samples, space):
                beside = f" beside {held} bytes that are held" if held else ""
                hint = _more_room(operation, direction, samples, accelerator, held)
                return PlanViolation(f"{error.where}: {error.what}{beside}", hint)
    return None


def _no_room(placed: PlacedOperation, accelerator: Accelerator, samples: int, space_bytes: int) -> SpaceError | None:
    """Return the error of an operation that cannot run over ``samples`` samples in this space; None if it can."""
    try:
        block(placed, accelerator.array, samples, space_bytes)
    except SpaceError as error:
        return error
    return None


def _more_room(placed: PlacedOperation, direction: Direction, samples: int, accelerator: Accelerator, held: int) -> str:
    """Return what would let an operation run: fewer samples, fewer tensors on chip, or a larger buffer."""
    space = accelerator.core.global_buffer_bytes - held
    for fewer in range(samples - 1, 0, -1):
        if _no_room(placed, accelerator, fewer, space) is None:
            return f"sub_batch = {fewer}"
    if held:
        return "holding less"
    if placed.live_bytes:
        return f"keeping less on chip {direction}"
    kibibytes = -(-least_bytes(placed, accelerator.array, samples) // 1024)
    return f'--set core.global_buffer="{kibibytes} KiB" or more'
