"""What a group costs, put together from its pieces, is what it costs when it is measured whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import machines, networks

from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph
from wavecore.plan.group_costs import GroupCostModel
from wavecore.plan.model import Choices
from wavecore.plan.partition import group_costs
from wavecore.plan.residency import Rule
from wavecore.training.unroll import training_graph


def check(model: GroupCostModel, rule: Rule, start: int) -> None:
    units = [(unit, unit) for unit in range(model.last + 1)]
    pieces = units if rule is Rule.NEXT else model.training.blocks
    start %= len(pieces)
    table = group_costs(model, pieces, rule)
    for end in range(len(pieces)):
        found = table.sub_batches[start, end], table.dram_bytes[start, end]
        whole = model.cost(pieces[start][0], pieces[end][1], rule) if start <= end else None
        if whole is None:
            assert found[1] == 1 << 62
        else:
            assert found == (whole.sub_batch, whole.dram_bytes)


@settings(max_examples=60, deadline=None)
@given(networks(), machines(), st.integers(1, 20), st.sampled_from([Rule.NEXT, Rule.BRANCHES]), st.integers(0, 99))
def test_pieces_add_up_to_the_group(
    network: LayerGraph, accelerator: Accelerator, batch: int, rule: Rule, start: int
) -> None:
    check(GroupCostModel(training_graph(network), accelerator, batch, Choices()), rule, start)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["resnet18", "googlenet", "mobilenet_v2", "vgg11"]),
    st.sampled_from([Rule.NEXT, Rule.BRANCHES, Rule.BRANCHES_AND_SAVED]),
    st.integers(0, 200),
)
def test_pieces_of_real_networks_add_up(name: str, rule: Rule, start: int) -> None:
    model = GroupCostModel(training_graph(workload(name)), load_accelerator(), 32, Choices())
    check(model, rule, start)
