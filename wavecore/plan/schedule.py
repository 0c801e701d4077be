"""What a schedule is: a policy that makes a plan for a training graph on a machine, under a name that users give.

Schedules register through the entry-point group ``wavecore.schedules``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from wavecore.common.entry_points import blame, failures, origin
from wavecore.common.memo import remembered
from wavecore.common.typecheck import type_problem
from wavecore.errors import InputError, PlanError
from wavecore.hardware.rules import verify_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.plan.model import DEFAULT_CHOICES, BranchGradients, Choices, Plan, QueueOrder, Statistics
from wavecore.plan.rules import verify_structure
from wavecore.training.branch_sweeps import SweepBranchGradients
from wavecore.training.drained_statistics import DrainStatistics
from wavecore.training.graph import Rewrite, TrainingGraph
from wavecore.training.rewrites import rewritten
from wavecore.training.rules import verify_training

GROUP = "wavecore.schedules"
ATTRIBUTE = "SCHEDULES"


class Policy(Protocol):
    """Makes a plan for a training graph on a machine, for a given number of samples per core."""

    def __call__(
        self, training: TrainingGraph, accelerator: Accelerator, batch_per_core: int, choices: Choices
    ) -> Plan:
        """Return the plan; SpaceError when a layer cannot run in the buffer at all.

        A policy may change the graph first: it plans ``rewritten(training, (*training.rewrites, *passes))``.  The plan
        names all passes that its graph has had as its ``rewrites``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A registered policy, under the name that users give."""

    name: str
    summary: str
    policy: Policy

    def make(
        self,
        training: TrainingGraph,
        accelerator: Accelerator,
        batch_per_core: int,
        choices: Choices = DEFAULT_CHOICES,
    ) -> Plan:
        """Return the policy's plan, verified; it runs on ``rewritten(training, plan.rewrites)``.

        Raises GraphError for a training graph that is not well formed, ConfigError for an impossible machine,
        InputError for a mini-batch or choices that do not exist, SpaceError when a layer cannot run in the buffer
        at all, and PlanError, which names the schedule, where the policy returns a wrong plan.
        """
        verify_training(training)
        verify_accelerator(accelerator)
        wrong = type_problem(batch_per_core, int)
        if wrong is not None:
            raise InputError("batch_per_core", wrong.what, "a whole number from 1")
        if batch_per_core < 1:
            raise InputError("batch_per_core", f"is {batch_per_core}", "a whole number from 1")
        wrong = type_problem(choices, Choices)
        if wrong is not None:
            raise InputError(f"choices{wrong.path}", wrong.what, "wavecore.Choices()")
        other = origin(GROUP, ATTRIBUTE, self.name, Schedule)
        with failures(f"schedule {self.name}", other, PlanError):
            plan = self.policy(_as_chosen(training, choices), accelerator, batch_per_core, choices)
        where = blame(f"schedule {self.name}", other)
        if not isinstance(plan, Plan):
            raise PlanError(where, f"returned a {type(plan).__name__}, not a Plan", "a policy that returns a Plan")
        verify_structure(rewritten(training, plan.rewrites), plan, where=where)
        if plan.batch_per_core != batch_per_core:
            what = f"planned {plan.batch_per_core} samples per core, and was asked for {batch_per_core}"
            raise PlanError(where, what, "a policy that plans the samples it is given")
        return plan if plan.order is choices.order else _ordered(training, plan, choices.order)


@remembered(key=lambda plan, order: (id(plan), order))
def _ordered(training: TrainingGraph, plan: Plan, order: QueueOrder) -> Plan:
    """Return a plan with another order of the queues; the same object for the same plan."""
    return replace(plan, order=order)


def _as_chosen(training: TrainingGraph, choices: Choices) -> TrainingGraph:
    """Return the training graph after those passes that choices ask for."""
    wanted: dict[Rewrite, bool] = {
        SweepBranchGradients(): choices.branch_gradients is BranchGradients.SWEEP,
        DrainStatistics(): choices.statistics is Statistics.DRAIN,
    }
    passes = tuple(each for each, asked in wanted.items() if asked and each not in training.rewrites)
    return rewritten(training, (*training.rewrites, *passes)) if passes else training
