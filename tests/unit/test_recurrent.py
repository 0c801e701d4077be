"""What are recurrent layers made of, and where are their weights while time steps follow each other?"""

from __future__ import annotations

from functools import cache

import pytest
from builders import SCHEDULES, machine
from wavecore.workloads.common import lstm

from wavecore.errors import ConfigError, GraphError, PlanError
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import LSTM, CrossEntropy, Dropout, Embedding, Inlet, LayerKind, Linear, Outlet, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.blocking import LoopOrder, block, least_bytes
from wavecore.plan.model import Choices, Group, Plan
from wavecore.plan.placement import Direction, PlacedOperation, place
from wavecore.plan.recurrence import recurrent_weights
from wavecore.plan.rules import verify_plan
from wavecore.plan.traffic import plan_traffic, transfers
from wavecore.simulation import make_plan, simulate
from wavecore.sparsity.machine import for_machine
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.graph import TrainingGraph
from wavecore.training.operations import Phase, TensorClass
from wavecore.training.unroll import training_graph

HIDDEN, STEPS = 64, 9
WEIGHTS = 4 * HIDDEN * HIDDEN * 2  # fp16
SMALL = ("array.rows=16", "array.columns=16", "array.tile_rows=16")  # whose tiles leave room in small buffers


@cache
def model() -> LayerGraph:
    """Two LSTMs of 64 units over nine words."""
    return workload("lstm_ptb", vocabulary=100, embedding=48, hidden=HIDDEN, steps=STEPS)


def forward(name: str, graph: LayerGraph | None = None) -> PlacedOperation:
    """A forward operation with nothing on chip."""
    training = training_graph(graph or model())
    placed = place(training, 0, len(training.units) - 1, Direction.FORWARD, {})
    return next(op for op in placed if op.operation.name == f"{name}.forward")


# -- layers ----------------------------------------------------------------------------------------------------


def test_an_lstm_has_the_weights_and_macs_of_its_definition() -> None:
    """Four gates, each of inputs and outputs: 4 h (x + h) and a bias per gate, as many products per step."""
    graph = model()
    layers = (4 * HIDDEN * (48 + HIDDEN) + 4 * HIDDEN, 4 * HIDDEN * 2 * HIDDEN + 4 * HIDDEN)
    assert graph.parameter_count == 100 * 48 + sum(layers) + HIDDEN * 100 + 100
    products = 4 * HIDDEN * (48 + HIDDEN) + 4 * HIDDEN * 2 * HIDDEN + HIDDEN * 100
    assert graph.forward_macs == STEPS * products


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        (LSTM(8), Shape(30, 5), "takes the sums of 4 gates of 8 units, 32 x steps x 1, not 30x5x1"),
        (LSTM(8), Shape(32, 5, 2), "takes the sums of 4 gates of 8 units"),
        (Embedding(10, 4), Shape(2, 5), "takes one word a step, 1 x steps x 1, not 2x5x1"),
        (Embedding(100_000, 4), Shape(1, 5), "has 100000 words, and words are numbers below 65536"),
        (Linear(4), Shape(3, 2, 2), "takes a flat input, not 3x2x2; put a Flatten before it"),
        (CrossEntropy(), Shape(3, 2, 2), "takes one score a class, not 3x2x2; put a Flatten before it"),
    ],
)
def test_what_does_not_fit_is_refused(kind: LayerKind, shape: Shape, message: str) -> None:
    net = Network("net", shape)
    with pytest.raises(GraphError, match=message):
        net(kind, net.input)


@pytest.mark.parametrize("hidden", [0, -3])
def test_hidden_units_are_counted_from_one(hidden: int) -> None:
    with pytest.raises(GraphError, match=f"hidden is {hidden}"):
        Network("net", Shape(4, 5))(LSTM(hidden), "input")


def test_a_language_model_needs_a_layer() -> None:
    with pytest.raises(GraphError, match="layers is 0"):
        workload("lstm_ptb", layers=0)


# -- the training step -------------------------------------------------------------------------------------------


def test_backward_through_time_comes_before_the_recurrent_weights_gradient() -> None:
    training = training_graph(model())
    unit = training.units[training.unit_index["lstm2"]]
    data, weights = unit.backward
    assert (data.phase, weights.phase) == (Phase.DATA_GRADIENT, Phase.WEIGHT_GRADIENT)
    assert data.writes == ("lstm2.input.gradient",)
    assert [use.tensor for use in weights.reads] == ["lstm2", "lstm2.input.gradient"]
    assert {"lstm2", "lstm2.gates", "lstm2.cells"} <= training.saved


def test_dropout_is_not_fused_into_what_the_next_step_reads() -> None:
    training = training_graph(model())
    assert [unit.name for unit in training.units if unit.kind == "dropout"] == ["dropout1", "dropout2"]
    assert training.units[0].fused == ("dropout",)  # behind the embedding, which reads no value of its own


def test_a_masked_input_is_masked_behind_the_weight_gradient() -> None:
    net = Network("net", Shape(8, 5))
    x = net(ReLU(), net(Linear(32), net.input, name="sums"))
    net(CrossEntropy(), net(LSTM(8), x, name="lstm"))
    training = training_graph(net.build())
    operations = [op.name for op in training.units[training.unit_index["lstm"]].backward]
    assert operations == ["lstm.data_gradient", "lstm.weight_gradient", "sums.gradient.sum"]


def test_an_lstm_that_reads_the_networks_input_still_learns() -> None:
    net = Network("net", Shape(32, 5))
    net(CrossEntropy(), net(LSTM(8), net.input, name="lstm"))
    unit = training_graph(net.build()).units[0]
    assert [op.name for op in unit.backward] == ["lstm.data_gradient", "lstm.weight_gradient"]


def test_an_embedding_reads_rows_and_writes_a_whole_gradient() -> None:
    training = training_graph(model())
    unit = training.units[0]
    rows, table = training.tensors["embedding.rows"], training.tensors["embedding.weight_gradient"]
    assert (rows.nbytes, rows.batched, rows.tensor_class) == (STEPS * 48 * 2, True, TensorClass.WEIGHT)
    assert (table.nbytes, table.batched) == (100 * 48 * 4, False)
    assert [use.tensor for use in unit.forward[0].reads] == ["input", "embedding.rows"]
    assert [op.phase for op in unit.backward] == [Phase.WEIGHT_GRADIENT]


# -- where the weights are -----------------------------------------------------------------------------------------


def test_weights_stay_to_the_byte_from_which_they_fit() -> None:
    placed, array, samples = forward("lstm1"), machine().array, 3
    state = samples * HIDDEN * (2 + 4)  # h for the next product, and c
    streams = 4 * HIDDEN * STEPS * 2 * 2 + HIDDEN * STEPS * 2 * 2  # sums, gates; outputs, cells: less than two chunks
    enough = WEIGHTS + state + streams
    resident, short = (block(placed, array, samples, space) for space in (enough, enough - 1))
    assert (resident.order, resident.right_passes) == (LoopOrder.WEIGHTS_STAY, 1)
    assert (short.order, short.right_passes) == (LoopOrder.WEIGHTS_REREAD, STEPS)
    assert resident.blocks == short.blocks == STEPS


@pytest.mark.parametrize(("order", "passes"), [(LoopOrder.WEIGHTS_STAY, 1), (LoopOrder.WEIGHTS_REREAD, STEPS)])
def test_weights_are_read_once_or_in_every_time_step(order: str, passes: int) -> None:
    placed, array = forward("lstm1"), machine().array
    space = 1 << 20 if order == LoopOrder.WEIGHTS_STAY else least_bytes(placed, array, 2)
    blocking = block(placed, array, 2, space)
    (weights,) = (each for each in transfers(placed, blocking, 2) if each.tensor.name == "lstm1.weight")
    assert blocking.order == order
    assert weights.nbytes == WEIGHTS * passes


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize(("buffer_kib", "resident"), [(64, True), (24, False)])
def test_the_plan_says_where_recurrent_weights_are(schedule: str, buffer_kib: int, resident: bool) -> None:
    accelerator = machine(f"core.global_buffer={buffer_kib} KiB", *SMALL)
    training = training_graph(model())
    found = recurrent_weights(training, make_plan(training, schedule, accelerator, 2), accelerator)
    assert [(each.layer, each.phase) for each in found] == [
        ("lstm1", Phase.FORWARD),
        ("lstm2", Phase.FORWARD),
        ("lstm2", Phase.DATA_GRADIENT),
        ("lstm1", Phase.DATA_GRADIENT),
    ]
    if not resident:
        assert not any(each.resident for each in found)
        assert {each.weight_bytes for each in found} == {WEIGHTS}
        assert {each.reads % STEPS for each in found} == {0}
    if resident and schedule in ("baseline", "archopt", "il", "mbs2"):
        assert all(each.resident and each.reads == 1 for each in found)


@pytest.mark.parametrize("buffer_kib", [24, 64, 512])
@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_what_the_plan_says_is_what_moves(schedule: str, buffer_kib: int) -> None:
    """Everything else of the class `weight` is read once per iteration; what is left must be the recurrent weights'."""
    accelerator = machine(f"core.global_buffer={buffer_kib} KiB", *SMALL)
    training = training_graph(model())
    plan = make_plan(training, schedule, accelerator, 2)
    stated = sum(each.dram_read_bytes for each in recurrent_weights(training, plan, accelerator))
    for engine in ("event", "analytic"):
        run = simulate(training, schedule, accelerator, batch=2 * accelerator.chip.cores, engine=engine)
        assert run.dram_bytes.weight >= stated * accelerator.chip.cores
        rows = {(row.name, row.phase): row.dram_read_bytes for row in run.rows}
        for each in recurrent_weights(training, plan, accelerator):
            assert rows[each.layer, each.phase] >= each.dram_read_bytes * accelerator.chip.cores


def test_weights_that_a_plan_holds_are_read_once() -> None:
    training, accelerator = training_graph(model()), machine("core.global_buffer=1 MiB")
    held = frozenset({"lstm1.weight", "lstm2.weight"})
    names = tuple(unit.name for unit in training.units)
    plans = [Plan(training.name, "by hand", 4, True, (Group(names, 1, held=kept),)) for kept in (frozenset(), held)]
    once, held_once = (recurrent_weights(training, plan, accelerator) for plan in plans)
    assert [each.reads for each in once] == [4] * 4
    assert [each.reads for each in held_once] == [1] * 4
    moved = [plan_traffic(training, plan, accelerator)[TensorClass.WEIGHT, False] for plan in plans]
    assert moved[0] - moved[1] == accelerator.chip.cores * 4 * 3 * WEIGHTS


def test_a_network_without_time_steps_has_no_recurrent_weights() -> None:
    training: TrainingGraph = training_graph(workload("lenet5"))
    assert recurrent_weights(training, make_plan(training, "mbs2", machine(), 4), machine()) == []


# -- pieces of networks ---------------------------------------------------------------------------------------------


def test_a_piece_of_a_network_has_its_border() -> None:
    """A bidirectional piece between inlet and outlet: gradients come in and go out."""
    net = Network("piece", Shape(1, 4))
    outside = net(Inlet(Shape(24, 4)), name="outside")
    for name, reverse in (("forth", False), ("back", True)):
        net(Outlet(), net(Dropout(0.5), lstm(net, outside, 8, name, reverse=reverse)), name=f"{name}.out")
    net(Outlet(), net(Embedding(10, 4), net.input))
    run = simulate(training_graph(net.build()), "mbs2", machine(), batch=8)
    assert run.dram_bytes.gradient > 0


# -- sub-batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["mbs1", "mbs2"])
def test_time_steps_can_be_kept_to_the_whole_mini_batch(schedule: str) -> None:
    """A sub-batch runs all time steps anew: the choice is between traffic and time."""
    accelerator, whole = machine("core.global_buffer=256 KiB"), Choices(serialize_recurrent=False)
    training = training_graph(workload("bidaf", hidden=20, steps=20))
    runs = [simulate(training, schedule, accelerator, batch=32, choices=each) for each in (Choices(), whole)]
    for run in runs:
        recurrent = [group for group in run.groups if any(name.endswith(("fwd", "bwd")) for name in group.layers)]
        assert recurrent
        if run is runs[1]:
            assert all(group.iterations == 1 for group in recurrent)
    assert runs[0].dram_bytes.total <= runs[1].dram_bytes.total
    assert runs[0].step_cycles >= runs[1].step_cycles


def test_the_choice_says_nothing_of_networks_without_time_steps() -> None:
    training = training_graph(workload("lenet5"))
    plans = [make_plan(training, "mbs2", machine("core.global_buffer=1 MiB"), 50, each) for each in
             (Choices(), Choices(serialize_recurrent=False))]  # fmt: skip
    assert plans[0] == plans[1]


# -- zeros -------------------------------------------------------------------------------------------------------------


def test_zeros_of_an_lstms_outputs_count_in_every_product_with_them() -> None:
    """Half of h is zero: half of its products forward, in its weight gradient, and in the layer that reads it."""
    profile = Profile(name="half", source="test", layers={"lstm1": LayerSparsity(activation_density=0.5)})
    training = for_machine(training_graph(apply_profile(model(), profile)), machine())
    shares = {op.name: op.effectual_share for unit in training.units for op in (*unit.forward, *unit.backward)}
    assert shares["lstm1.forward"] == shares["lstm1.weight_gradient"] == 0.5
    assert shares["lstm1.data_gradient"] == shares["lstm2.forward"] == 1.0


def test_a_reader_cannot_take_units_from_an_lstm() -> None:
    profile = Profile(name="p", source="test", layers={"decoder": LayerSparsity(kept_inputs=12)})
    with pytest.raises(ConfigError, match="reads the units of the LSTM 'lstm2', whose own entry says which are kept"):
        apply_profile(model(), profile)


def test_a_plan_cannot_hold_more_than_the_buffer_has() -> None:
    training = training_graph(model())
    names = tuple(unit.name for unit in training.units)
    held = frozenset(f"{name}.weight" for name in ("lstm1", "lstm2", "lstm1.input", "lstm2.input"))
    plan = Plan(training.name, "by hand", 4, True, (Group(names, 1, held=held),))
    with pytest.raises(PlanError, match="holds 123904 bytes over its iterations, and the buffer has 65536"):
        verify_plan(training, plan, machine("core.global_buffer=64 KiB"))
