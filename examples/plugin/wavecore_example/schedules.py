"""A schedule: every block of the network is a layer group of its own."""

import wavecore as wc
from wavecore.plan.group_costs import GroupCostModel
from wavecore.plan.grouping import write_group
from wavecore.plan.residency import Rule


def block_by_block(training, accelerator, batch_per_core, choices):
    """Return a plan with a group per block, at the largest sub-batch that fits the global buffer."""
    costs = GroupCostModel(training, accelerator, batch_per_core, choices)
    candidates = [costs.cost(first, last, Rule.NONE) for first, last in training.blocks]
    groups = tuple(write_group(costs, candidate, hold=True) for candidate in candidates)
    return wc.Plan(training.name, "blocks", batch_per_core, True, groups)


SCHEDULES = {"blocks": wc.Schedule("blocks", "every block is a group", block_by_block)}
