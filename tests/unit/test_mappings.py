"""Is a grouped convolution mapped to what takes it the shortest, and charged for what that does?

Hand counts of a depthwise convolution: 8 channels, 3x3, padding 1, on 16 x 16 pixels and 2 samples, so that a channel
is 512 x 9 times 9 x 1, forward.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import machine
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import serialized
from strategies import machines
from wavecore_example.dataflows import OUTPUT_STATIONARY

from wavecore.errors import ConfigError
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.dataflows import DATAFLOWS
from wavecore.hardware.packing import TOLERATED
from wavecore.hardware.rules import verify_accelerator
from wavecore.hardware.specs import Accelerator, MappingSpec
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Conv, CrossEntropy, Flatten, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.plan.placement import Direction, PlacedOperation, place
from wavecore.program.commands import CommandCost, Mapping
from wavecore.program.costs import command_work
from wavecore.program.counters import COUNTERS
from wavecore.program.counts import RowCounts
from wavecore.results.energy import energy
from wavecore.simulation import simulate
from wavecore.training.unroll import training_graph

PHASES = ("forward", "data_gradient", "weight_gradient")
OUTPUTS = 2 * 16 * 16 * 8
MACS = OUTPUTS * 9
ORDERS = {
    "forward": LoopOrder.RIGHT_STAYS,
    "data_gradient": LoopOrder.RIGHT_STAYS,
    "weight_gradient": LoopOrder.OPERANDS_STAY,
}


def only(*allowed: str, base: Accelerator | None = None) -> Accelerator:
    """A machine with no mapping but those."""
    spec = MappingSpec(**{name: name in allowed for name in ("by_group", "packed", "vector")})
    return replace(base or machine(), mapping=spec)


def grouped(conv: Conv | None = None, side: int = 16) -> LayerGraph:
    """Two convolutions: the second is the grouped one."""
    net = Network("grouped", Shape(3, side, side))
    x = net(Conv(8), net.input, name="stem")
    x = net(conv or Conv(8, 3, padding=1, groups=8), x, name="grouped")
    net(CrossEntropy(), net(Linear(4), net(Flatten(), net(ReLU(), x))), name="loss")
    return net.build()


def streamed(graph: LayerGraph, name: str) -> PlacedOperation:
    training = training_graph(graph)
    ways = [place(training, 0, len(training.units) - 1, way, {}) for way in (Direction.FORWARD, Direction.BACKWARD)]
    return next(each for each in (*ways[0], *ways[1]) if each.operation.name == name)


def cost(phase: str, accelerator: Accelerator, graph: LayerGraph | None = None, samples: int = 2) -> CommandCost:
    placed = streamed(graph or grouped(), f"grouped.{phase}")
    return command_work(placed, Blocking(ORDERS[phase], 0), samples, accelerator, "conv")


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_one_by_one_each_channel_takes_its_rows() -> None:
    """8 channels x 512 rows forward; backward the 4 waves of 128 positions take 128 cycles each, for 9 rows."""
    assert cost("forward", only("by_group")).stage("array").cycles == 8 * 512
    assert cost("weight_gradient", only("by_group")).stage("array").cycles == 8 * 4 * 128
    assert {cost(phase, only("by_group")).mapping for phase in PHASES} == {Mapping.BY_GROUP}
    assert {cost(phase, only("by_group")).surplus_macs for phase in PHASES} == {0}


def test_side_by_side_all_channels_take_the_rows_of_one() -> None:
    """8 channels fill 72 rows and 8 columns, and each operand of the other 7 meets zeros."""
    work = cost("forward", only("packed"))
    assert (work.mapping, work.stage("array").cycles, work.macs) == (Mapping.PACKED, 512, MACS)
    assert work.surplus_macs == 7 * MACS
    assert work.buffer_read_bytes == 8 * 2 * (512 * 9 + 2 * 9)  # two row tiles
    assert work.stage("array").drain_cycles == work.stage("array").fill_cycles + 8 - 2


def test_a_gating_machine_lets_zeros_rest_but_not_what_it_throws_away() -> None:
    gating = replace(machine(), sparsity=replace(machine().sparsity, gating=True))
    assert cost("forward", only("packed", base=gating)).surplus_macs == 0
    assert cost("weight_gradient", only("packed", base=gating)).surplus_macs == 7 * MACS


def test_a_weight_gradient_of_all_channels_takes_the_waves_of_one() -> None:
    """72 rows in each of 4 waves of 128 positions."""
    work = cost("weight_gradient", only("packed"))
    assert (work.mapping, work.stage("array").cycles, work.surplus_macs) == (Mapping.PACKED, 4 * 128, 7 * MACS)


def test_on_the_vector_unit_a_tap_is_a_lane_operation() -> None:
    """9 an output, and 1 to round it, or 2 with the ReLU; 2 bytes in and 2 out an element, and the weights.

    The weight gradient reads the input and the gradient, and writes 72 gradients of 4 bytes with 1 operation each; it
    accumulates, so it reads them too.
    """
    lanes, startup = machine().vector.lanes, machine().vector.startup_cycles
    work = cost("forward", only("vector"))
    assert (work.mapping, work.macs, work.vector_macs, work.surplus_macs) == (Mapping.VECTOR, MACS, MACS, 0)
    assert [stage.unit for stage in work.stages] == ["vector"]
    assert work.vector_operations == MACS + 2 * OUTPUTS
    assert work.stage("vector").cycles == (MACS + 2 * OUTPUTS) // lanes + startup
    assert work.buffer_read_bytes == 2 * OUTPUTS + 2 * 72
    assert work.buffer_write_bytes == 2 * OUTPUTS + OUTPUTS // 8  # and the mask
    assert (work.register_bytes, work.local_buffer_bytes, work.output_tiles) == (0, 0, 0)
    back = cost("weight_gradient", only("vector"))
    assert back.vector_operations == MACS + 72
    assert (back.buffer_read_bytes, back.buffer_write_bytes) == (2 * 2 * OUTPUTS + 4 * 72, 4 * 72)


def test_energy_is_of_what_switches() -> None:
    accelerator, nothing = machine(), dict.fromkeys(COUNTERS, 0)
    table = accelerator.energy
    on_array = energy(RowCounts(**nothing | {"macs": 100, "surplus_macs": 30}), 1, accelerator)
    elsewhere = energy(
        RowCounts(**nothing | {"macs": 100, "vector_macs": 100, "vector_operations": 100}), 1, accelerator
    )
    assert on_array.array == pytest.approx(130 * table.mac_joules)
    assert (elsewhere.array, elsewhere.vector) == (0, pytest.approx(100 * table.vector_operation_joules))


def test_trimmed_waves_by_hand() -> None:
    """3 taps down 6 positions of one channel, from 4 outputs of 2 channels: K is 6.

    With 2 rows a wave is one tap, which reaches 4 positions.  With 4, the first wave is two taps, which reach 5: 5 x 4
    and 4 x 2 products, where 4 x 6 are needed.  Edges apart take 18 cycles: 5 products of 1, 1, 2, 1 and 1 positions,
    with 2, 4, 6, 4 and 2 rows of weights to load.
    """
    net = Network("tall", Shape(1, 6, 1))
    x = net(Conv(2, (3, 1)), net(Conv(1), net.input, name="stem"), name="grouped")
    net(CrossEntropy(), net(Linear(4), net(Flatten(), x)), name="loss")
    for rows, cycles, surplus in ((2, 3 * 4, 0), (4, 5 + 4, 4)):
        accelerator = machine(f"array.rows={rows}")
        work = cost("data_gradient", accelerator, net.build(), samples=1)
        assert (work.mapping, work.stage("array").cycles, work.surplus_macs) == ("trimmed", cycles, surplus)
        assert work.macs == 4 * 6
        gating = replace(accelerator, sparsity=replace(accelerator.sparsity, gating=True))
        assert cost("data_gradient", gating, net.build(), samples=1).surplus_macs == 0


# -- the choice --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    machines(),
    st.sampled_from([Conv(8, 3, padding=1, groups=8), Conv(16, 3, 2, 1, groups=4), Conv(8, 3, groups=2)]),
    st.sampled_from(PHASES),
    st.integers(1, 40),
)
def test_the_mapping_whose_busiest_unit_is_done_first_is_taken(
    accelerator: Accelerator, conv: Conv, phase: str, samples: int
) -> None:
    graph = grouped(conv)
    alone = {
        name: cost(phase, only(name, base=accelerator), graph, samples) for name in ("by_group", "packed", "vector")
    }
    free = cost(phase, only(*alone, base=accelerator), graph, samples)
    assert free.longest_stage_cycles == min(each.longest_stage_cycles for each in alone.values())
    assert {each.macs for each in (free, *alone.values())} == {free.macs}
    assert alone["packed"].stage("array").cycles <= TOLERATED * alone["by_group"].stage("array").cycles


def test_a_wide_vector_unit_takes_what_a_narrow_one_leaves_to_the_array() -> None:
    found = {lanes: cost("forward", machine(f"vector.lanes={lanes}")).mapping for lanes in (8, 256)}
    assert found == {8: Mapping.PACKED, 256: Mapping.VECTOR}


def test_a_dense_layer_has_no_choice() -> None:
    run = simulate(grouped(Conv(8, 3, padding=1)), "mbs2", only("vector"), batch=4)
    assert {row.mapping for row in run.rows} == {"plain", ""}


@pytest.mark.parametrize("engine", ["event", "analytic"])
@pytest.mark.parametrize("allowed", ["by_group", "packed", "vector"])
def test_rows_name_the_mapping(allowed: str, engine: str) -> None:
    run = simulate(grouped(), "mbs2", only(allowed), batch=4, engine=engine)
    assert {row.phase: row.mapping for row in run.rows if row.name == "grouped"} == {
        "forward": allowed,
        "data_gradient": allowed,
        "weight_gradient": allowed,
        "update": "",
    }
    on_vector = run.vector_macs / (3 * 2 * MACS) if allowed == "vector" else run.vector_macs
    assert on_vector == (1 if allowed == "vector" else 0)
    assert set(run.layers["mapping"]) == {"plain", allowed, ""}


def test_sub_batches_of_different_sizes_may_differ() -> None:
    """3 samples as 2 and 1: forward takes 256 cycles a sample on the array, and on 92 lanes 245 and 16 to start."""
    accelerator = machine("vector.lanes=92")
    assert [cost("forward", accelerator, samples=samples).mapping for samples in (1, 2)] == ["packed", "vector"]
    run = simulate(grouped(), serialized(grouped(), 3, 2), accelerator, batch=6)
    assert {row.mapping for row in run.rows if row.name == "grouped" and row.phase == "forward"} == {"packed+vector"}


# -- machines that forbid ----------------------------------------------------------------------------------------------

NOTHING = [f"mapping.{name}=false" for name in ("by_group", "packed", "vector")]


def test_a_machine_must_allow_some_mapping() -> None:
    with pytest.raises(ConfigError) as caught:
        load_accelerator(overrides=NOTHING)
    assert str(caught.value) == (
        "--set mapping.by_group=false: no mapping of grouped convolutions is allowed; "
        "try: by_group, packed or vector = true"
    )


def test_packing_alone_needs_a_dataflow_that_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATAFLOWS, OUTPUT_STATIONARY.name, OUTPUT_STATIONARY)
    other = replace(machine(), array=replace(machine().array, dataflow=OUTPUT_STATIONARY.name))
    verify_accelerator(only("packed", "vector", base=other))
    with pytest.raises(ConfigError) as caught:
        verify_accelerator(only("packed", base=other))
    assert str(caught.value) == (
        "accelerator wavecore: mapping: allows only packed, which the dataflow output_stationary does not have; "
        "try: by_group or vector = true"
    )
