"""Does a plan become the commands, flows, tokens and spaces that it says?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from builders import SCHEDULES, chain, machine, residual
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import machines, networks

from wavecore.errors import SpaceError
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.specs import Accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import LoopOrder, least_bytes
from wavecore.plan.model import Choices
from wavecore.plan.placement import Direction, place
from wavecore.program.commands import After, Command, Program, StepProfile, commands, transfers_of
from wavecore.program.lower import lower, machine_for
from wavecore.program.step_tables import step_table
from wavecore.training.unroll import training_graph


def lowered(network: LayerGraph, schedule: str = "mbs2", sub_batch: int | None = None, cores: int = 2) -> Program:
    accelerator = machine(f"chip.cores={cores}")
    training = training_graph(network)
    plan = SCHEDULES[schedule].make(training, accelerator, 4)
    if sub_batch is not None:
        plan = replace(plan, groups=tuple(replace(group, sub_batch=sub_batch) for group in plan.groups))
    return lower(training, plan, accelerator)


def fitted(network: LayerGraph, samples: int, *overrides: str, passes: int = 2) -> Program:
    """The baseline schedule on a machine with some fields overridden."""
    accelerator, training = machine(*overrides), training_graph(network)
    plan = SCHEDULES["baseline"].make(training, accelerator, samples, Choices(normalization_passes=passes))
    return lower(training, plan, accelerator)


def by_name(program: Program, core: int = 0) -> dict[str, Command]:
    return {command.name: command for *_, command in commands(program, core)}


def test_commands_are_the_operations_in_the_order_of_the_step() -> None:
    assert [command.name for *_, command in commands(lowered(chain()))] == [
        "one.forward",
        "two.forward",
        "loss.forward",
        "loss.data_gradient",
        "two.data_gradient",
        "two.weight_gradient",
        "one.weight_gradient",
        "one.update",
        "two.update",
    ]


def test_groups_are_segments_there_and_back() -> None:
    names = [(segment.name, str(segment.direction)) for segment in lowered(chain(), "baseline").cores[0]]
    assert names == [
        ("one..one", "forward"),
        ("two..two", "forward"),
        ("loss..loss", "forward"),
        ("loss..loss", "backward"),
        ("two..two", "backward"),
        ("one..one", "backward"),
        ("update", "update"),
    ]


def test_iterations_are_sub_batches() -> None:
    forward, backward, update = lowered(chain(), sub_batch=3).cores[0]
    assert [samples for samples, _ in forward.iterations] == [3, 1]
    assert [samples for samples, _ in backward.iterations] == [3, 1]
    assert len(update.iterations) == 1


def test_cores_run_the_same_but_for_their_share_of_the_update() -> None:
    first, second = lowered(chain(), cores=2).cores
    assert first[:-1] == second[:-1]
    shares = [by_name(lowered(chain(), cores=3), core)["one.update"] for core in range(3)]
    written = [sum(store.flow.total for store in each.stores) for each in shares]
    assert sum(written) == 108 * (8 + 2)
    gradients = [each.loads[0].flow.total for each in shares]
    assert sum(gradients) == 3 * 108 * 4  # every core's


@pytest.mark.parametrize(("schedule", "double"), [("baseline", False), ("archopt", True), ("mbs2", True)])
def test_the_second_weight_register(schedule: str, double: bool) -> None:
    training = training_graph(chain())
    plan = SCHEDULES[schedule].make(training, machine(), 4)
    assert machine_for(plan, machine()).array.weight_double_buffering is double
    without = machine("array.weight_double_buffering=false")
    assert not machine_for(plan, without).array.weight_double_buffering


def test_array_cycles_are_the_gemms() -> None:
    """A 1x1 convolution of 256 to 128 channels on 16x16, one sample: m = 256, two waves of k = 128."""
    net = Network("exact", Shape(256, 16, 16))
    net(CrossEntropy(), net(Conv(2, 16), net(Conv(128), net.input, name="exact")))
    training = training_graph(net.build())
    plan = SCHEDULES["archopt"].make(training, machine(), 1)
    work = by_name(lower(training, plan, machine()))["exact.forward"].work
    array = work.stage("array")
    alone = dataflow_of(machine().array).gemm_cycles(machine().array, 256, 256, 128)
    assert (array.cycles, work.macs, work.output_tiles) == (2 * 256, 256 * 256 * 128, 1)
    assert array.fill_cycles + array.cycles + array.drain_cycles == alone.cycles
    # the drain: one operation on each of 128*256 results, 256 lanes, and the start of the pipeline
    assert work.stage("vector").cycles == 128 * 256 // 256 + 16
    single = SCHEDULES["baseline"].make(training, machine(), 1)
    assert by_name(lower(training, single, machine()))["exact.forward"].work.stage("array").cycles == 2 * (256 + 128)


def test_a_chain_on_chip_is_ordered_by_tokens() -> None:
    each = by_name(lowered(chain()))
    assert [token.tensor for token in each["one.forward"].posts] == ["one"]
    assert [token.tensor for token in each["two.forward"].waits] == ["one"]
    assert (each["one.forward"].reserves, each["two.forward"].releases) == ((("one", 2048),), (("one", 2048),))
    (wait,) = each["two.forward"].waits
    assert (wait.flow.total, wait.flow.sample_bytes) == (2048, 512)


def test_a_chain_through_dram_is_ordered_by_stores() -> None:
    each = by_name(lowered(chain(), "baseline"))
    after = {(name, load.transfer.tensor.name): load.after for name, command in each.items() for load in command.loads}
    assert after["one.forward", "input"] is After.NOTHING
    assert after["one.forward", "one.weight"] is After.NOTHING
    assert after["two.forward", "one"] is After.OWN
    assert after["two.weight_gradient", "one"] is After.OWN
    assert after["one.update", "one.weight_gradient"] is After.ALL
    assert all(command.waits == command.posts == command.reserves == () for command in each.values())


def test_partial_sums_are_read_after_the_first_iteration() -> None:
    gradient = by_name(lowered(chain(), sub_batch=2))["two.weight_gradient"]
    when = {load.transfer.tensor.name: str(load.transfer.when) for load in gradient.loads}
    assert when["two.weight_gradient"] == "after_first"
    assert gradient.loads[-1].after is After.OWN


def test_a_sum_waits_until_what_it_overwrites_is_in_dram() -> None:
    """The stem's part is made on chip and stored by nobody; where the covered tensor is stored, the sum waits."""
    for each in by_name(lowered(residual())).values():
        stored = {store.transfer.tensor.name for *_, other in commands(lowered(residual())) for store in other.stores}
        assert {token.tensor for token in each.overwrites} <= stored


def test_a_convolution_runs_ahead_by_the_rows_of_its_window() -> None:
    """3x3 with padding 1 on 8 rows: two rows of the eight, and not beyond the sample."""
    (flow,) = (load.flow for load in by_name(lowered(chain()))["one.forward"].loads[:1])
    assert (flow.profile, flow.lookahead, flow.sample_bytes) == (StepProfile.EVEN, 384 * 2 // 8, 384)


CHUNKS = 2 * 16 * 1024  # two pieces of a stream


@pytest.mark.parametrize(
    ("channels", "samples", "kib", "order"),
    [(512, 32, 700, LoopOrder.COLUMN_BLOCKS), (4096, 14, 1200, LoopOrder.ROW_BLOCKS)],
)
def test_blocks_leave_room_for_results_on_their_way_to_dram(channels: int, samples: int, kib: int, order: str) -> None:
    """128 KiB a sample against 2 KiB of weights a channel: blocks of either fill the buffer, but for two pieces."""
    net = Network("dense", Shape(1024, 8, 8))
    net(CrossEntropy(), net(Conv(2, 8), net(Conv(channels), net.input, name="dense")))
    each = by_name(fitted(net.build(), samples, f"core.global_buffer={kib} KiB"))["dense.forward"]
    (result,) = each.stores
    assert (each.order, result.staged) == (order, True)
    assert each.stage_bytes == kib * 1024 - CHUNKS
    assert max(step_table(each).takes) <= CHUNKS


def test_a_sample_that_is_held_leaves_room_for_results_too() -> None:
    """A sample of the input and one of the gradient, 64 KiB each, in a buffer without a byte to spare."""
    net = Network("norm", Shape(32, 32, 32))
    x = net(GroupNorm(4), net(Conv(32), net.input), name="norm")
    net(CrossEntropy(), net(Linear(2), net(Flatten(), net(GlobalAvgPool(), x))))
    graph, name = net.build(), "norm.data_gradient"
    backward = place(training_graph(graph), 0, len(training_graph(graph).units) - 1, Direction.BACKWARD, {}, 1)
    (norm,) = (placed for placed in backward if placed.operation.name == name)
    least = least_bytes(norm, machine().array, 4)
    each = by_name(fitted(graph, 4, f"core.global_buffer={least} B", passes=1))[name]
    assert 2 * 64 * 1024 < each.stage_bytes == least - CHUNKS
    assert max(step_table(each).takes) <= CHUNKS


@pytest.mark.parametrize("kib", [20, 64, 1024, 10240])
def test_the_streams_of_an_update_share_the_whole_buffer(kib: int) -> None:
    """Two pieces of each of four: gradients and what the optimizer keeps come, that and the weights leave."""
    net = Network("dense", Shape(256, 2, 2))
    net(CrossEntropy(), net(Conv(2, 2), net(Conv(256), net.input, name="dense")))
    program = fitted(net.build(), 1, "array.rows=4", "array.columns=4", f"core.global_buffer={kib} KiB")
    for core in (0, 1):
        each = by_name(program, core)["dense.update"]
        assert len(transfers_of(each)) == 4
        assert 2 * max(step_table(each).takes) <= kib * 1024


def test_a_layer_that_cannot_fit_is_named() -> None:
    training = training_graph(chain())
    with pytest.raises(SpaceError, match=r"^layer \w+, \w+: needs \d+ bytes \(.*\) of the global buffer"):
        tiny = machine("core.global_buffer=512 B")
        lower(training, SCHEDULES["baseline"].make(training, tiny, 4), tiny)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(networks(), machines(), st.integers(1, 16), st.sampled_from(sorted(SCHEDULES)))
def test_what_is_reserved_is_released_and_what_is_awaited_is_posted(
    network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str
) -> None:
    training = training_graph(network)
    try:
        program = lower(training, SCHEDULES[schedule].make(training, accelerator, batch), accelerator)
    except SpaceError:
        assume(False)
    for segment in program.cores[0]:
        for body, _ in segment.bodies:
            balance: Counter[int] = Counter()
            there: set[str] = set()
            used = segment.held_bytes
            for command in body:
                used += sum(size for _, size in command.reserves)
                assert used + command.stage_bytes <= program.buffer_bytes
                assert {token.tensor for token in command.waits} <= there | {
                    load.posts for load in command.loads if load.posts
                }
                there |= {token.tensor for token in command.posts}
                there |= {load.posts for load in command.loads if load.posts}
                used -= sum(size for _, size in command.releases)
                balance[0] += sum(size for _, size in command.reserves) - sum(size for _, size in command.releases)
                assert used >= segment.held_bytes
            assert balance[0] == 0
