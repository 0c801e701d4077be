"""Define another schedule: every block of the network, such as a residual block, is a layer group of its own.

Prints time, DRAM traffic and energy of a training step under it, beside two registered schedules.
"""

import wavecore as wc
from wavecore.plan.group_costs import GroupCostModel
from wavecore.plan.grouping import write_group
from wavecore.plan.residency import Rule


def block_by_block(training, accelerator, batch_per_core, choices):
    """Return a plan with a group per block, at the largest sub-batch that fits the global buffer.

    What the branches of a block share stays on chip if one sample of it fits; else the block keeps nothing for them.
    """
    costs = GroupCostModel(training, accelerator, batch_per_core, choices)
    groups = []
    for first, last in training.blocks:
        candidate = costs.cost(first, last, Rule.BRANCHES) or costs.cost(first, last, Rule.NONE)
        groups.append(write_group(costs, candidate, hold=True))
    return wc.Plan(training.name, "blocks", batch_per_core, True, tuple(groups))


# In a package, an entry point in the group wavecore.schedules registers this under its name for the command line.
schedule = wc.Schedule("blocks", "every block is a group", block_by_block)

training = wc.training_graph(wc.workload("resnet50"))
plan = schedule.make(training, wc.load_accelerator(), batch_per_core=32)
points = [wc.evaluate(training, each) for each in ("baseline", plan, "mbs2")]
columns = ["schedule", "group_count", "step_seconds", "dram_bytes.total", "energy_joules.total"]
print(wc.table(points)[columns].to_string(index=False, float_format="{:.4f}".format))
