"""What layers take of the buffer: against counting by hand, and against what the machine has."""

import pytest
from builders import chain, machine, residual
from pictured_runs import machine as default_machine
from pictured_runs import planned, training

from wavecore.errors import InputError
from wavecore.plan.footprints import footprints, footprints_csv, parse_footprints
from wavecore.plan.placement import Direction
from wavecore.results.metrics import METRICS
from wavecore.simulation import make_plan
from wavecore.training.unroll import training_graph

MAKERS = ("baseline", "il", "mbs-fs", "mbs1", "mbs2")


def by_layer(network, schedule="mbs2", samples=4):
    graph = training_graph(network)
    rows = footprints(graph, make_plan(graph, schedule, machine(), samples), machine())
    return {(row.layer, row.direction): row for row in rows}


def test_inputs_and_outputs_of_a_convolution() -> None:
    """3x8x8 in and 4x8x8 out in fp16, and the ReLU's mask: a bit an element."""
    row = by_layer(chain())["one", Direction.FORWARD]
    assert row.sample_bytes == 3 * 8 * 8 * 2 + 4 * 8 * 8 * 2 + 4 * 8 * 8 // 8


def test_the_input_of_a_branch_is_kept_while_the_branch_runs() -> None:
    """In ``b`` of the residual network: its input, its output, and the stem that the sum will read."""
    image = 4 * 8 * 8 * 2
    row = by_layer(residual())["b", Direction.FORWARD]
    assert (row.sample_bytes, row.kept_bytes) == (2 * image, 3 * image)


def test_without_residency_nothing_is_kept() -> None:
    rows = by_layer(residual(), "baseline").values()
    assert {row.kept_bytes for row in rows} == {0}
    assert all(row.used_bytes > 0 for row in rows)


@pytest.mark.parametrize("schedule", MAKERS)
def test_what_is_used_fits_and_holds_what_is_kept(schedule: str) -> None:
    plan = planned(schedule)
    rows = footprints(training(), plan, default_machine())
    space = default_machine().core.global_buffer_bytes
    assert all(row.kept_bytes * row.sub_batch <= row.used_bytes <= space for row in rows)
    assert {row.layer for row in rows} == set(training().unit_index)
    assert all(row.layer in plan.groups[row.group - 1].units for row in rows)
    assert all(row.sub_batch == plan.groups[row.group - 1].sub_batch for row in rows)


def test_the_order_is_the_networks_forward_first() -> None:
    rows = footprints(training(), planned("mbs2"), default_machine())
    places = [(row.direction is Direction.BACKWARD, training().unit_index[row.layer]) for row in rows]
    assert places == sorted(places)


def test_the_table_comes_back() -> None:
    rows = footprints(training(), planned("mbs2"), default_machine())
    assert parse_footprints(footprints_csv(rows), "x.csv") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv:1: is no table of footprints"),
        ("layer,phase\n", "x.csv:1: is no table of footprints"),
        ("HEAD\na,1,forward,2,3\n", "x.csv:2: 'a,1,forward,2,3' is no footprint"),
        ("HEAD\na,1,forward,2,3,4,5\na,1,sideways,2,3,4,5\n", "x.csv:3: 'a,1,sideways,2,3,4,5' is no footprint"),
        ("HEAD\na,one,forward,2,3,4,5\n", "x.csv:2: 'a,one,forward,2,3,4,5' is no footprint"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    head = footprints_csv(()).strip()
    with pytest.raises(InputError) as caught:
        parse_footprints(text.replace("HEAD", head), "x.csv")
    assert caught.value.message.startswith(message)


def test_every_column_is_explained() -> None:
    names = {name.removeprefix("footprints.") for name in METRICS if name.startswith("footprints.")}
    assert names == set(footprints_csv(()).strip().split(","))


def test_of_several_operations_that_which_takes_most_counts() -> None:
    """Backward of ``two``: the weight gradient reads 512 + 4 B of a sample, the data gradient 4 + 32 and writes 512."""
    row = by_layer(chain(), "baseline")["two", Direction.BACKWARD]
    assert row.sample_bytes == 4 + 32 + 512
