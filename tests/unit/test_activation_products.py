"""Are products of two activations, whose number grows with the samples, planned, lowered and run as a hand count says?

The toy is q k^T of attention: per sample and head 4 x 8 times 8 x 4, so that fp16 operands have 64 bytes each and the
scores 32.  On one core with an array port of 1 byte per cycle a product takes the 128 cycles of its operands' fetch
(its wave takes max(4, 8) = 8); the array fills in 8 cycles and drains in 8 + 4 - 2 = 10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from builders import ORDER, SCHEDULES, command, load, machine, program

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.engines.timing import Timing
from wavecore.errors import SpaceError
from wavecore.hardware.specs import Accelerator
from wavecore.network.compute import BatchedDimension, Gemm, VectorPass
from wavecore.plan.blocking import Blocking, LoopOrder, block, least_bytes
from wavecore.plan.model import Group, Plan, Residency
from wavecore.plan.placement import Direction, PlacedOperation, place_group
from wavecore.plan.traffic import plan_traffic
from wavecore.program.commands import Command, Program, StepProfile
from wavecore.program.lower import lower
from wavecore.simulation import simulate
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import OperandRole, Operation, Phase, Tensor, TensorClass, Use

SLOW_PORT = machine("chip.cores=1", "memory.trefi=1 ms", "core.array_port=1 B/cycle")
SAMPLES, SUB_BATCH = 6, 2
PRODUCT_CYCLES, FILL, DRAIN = 128, 8, 10
Engine = Callable[[Program, Accelerator], Timing]
ENGINES: tuple[Engine, ...] = (run_events, run_analytic)


def attention(heads: int = 1, keys: str = "k") -> TrainingGraph:
    """The toy, and before it a sweep that makes the keys from the queries if they are not called "k"."""
    gemm = Gemm(4, 8, 4, BatchedDimension.COUNT, heads)
    copy = Operation("keys.forward", "keys", Phase.FORWARD, (Use("q"),), ("keys",), passes=(VectorPass(32, 1),))
    scores = Operation(
        "scores.forward",
        "scores",
        Phase.FORWARD,
        (Use("q", OperandRole.LEFT), Use(keys, OperandRole.RIGHT)),
        ("scores",),
        (gemm,),
        (VectorPass(16 * heads, 1),),
    )
    units = [FusedLayer("scores", "product", (), (("q",), (keys,)), (scores,), (), ())]
    if keys != "k":
        units.insert(0, FusedLayer("keys", "copy", (), (("q",),), (copy,), (), ()))
    sizes = {"q": 64 * heads, keys: 64 * heads, "scores": 32 * heads}
    tensors = {name: Tensor(name, TensorClass.ACTIVATION, nbytes) for name, nbytes in sizes.items()}
    return TrainingGraph("toy", tuple(units), tensors, gemm.macs, 0, sent=frozenset({"scores"}))


def planned(samples: int = SAMPLES, sub_batch: int = SUB_BATCH, **group: object) -> Plan:
    return Plan("toy", "by hand", samples, True, (Group(**{"units": ("scores",), "sub_batch": sub_batch, **group}),))


def placed(training: TrainingGraph) -> PlacedOperation:
    (operation,) = place_group(training, planned().groups[0], Direction.FORWARD, 2)
    return operation


def only_command(training: TrainingGraph, accelerator: Accelerator = SLOW_PORT) -> Command:
    forward, *_ = lower(training, planned(), accelerator).cores[0]
    ((body, _),) = forward.bodies
    return body[-1]


def with_buffer(nbytes: int) -> Accelerator:
    return replace(SLOW_PORT, core=replace(SLOW_PORT.core, global_buffer_bytes=nbytes))


# -- plan ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sub_batch", [1, 2, 4, 6])
def test_every_operand_is_read_once_whatever_the_sub_batch(sub_batch: int) -> None:
    moved = plan_traffic(attention(), planned(sub_batch=sub_batch), SLOW_PORT)
    assert moved[TensorClass.ACTIVATION, False] == SAMPLES * (64 + 64)
    assert moved[TensorClass.ACTIVATION, True] == SAMPLES * 32
    assert moved.total() == SAMPLES * 160


@pytest.mark.parametrize("schedule", ORDER)
def test_schedules_plan_it(schedule: str) -> None:
    training = attention()
    plan = SCHEDULES[schedule].make(training, SLOW_PORT, SAMPLES)
    assert plan_traffic(training, plan, SLOW_PORT).total() == SAMPLES * 160


def test_two_samples_are_held_however_many_there_are() -> None:
    """Two pairs of operands of 64 bytes, and the scores of a sample on their way out."""
    operation, stage = placed(attention()), 2 * (64 + 64) + 32
    for samples in (1, 2, 600):
        assert least_bytes(operation, SLOW_PORT.array, samples) == stage
        expected = Blocking(LoopOrder.SAMPLE_BY_SAMPLE, stage, blocks=samples)
        assert block(operation, SLOW_PORT.array, samples, 1 << 20) == expected
    with pytest.raises(SpaceError, match="layer scores, forward: needs 288 bytes"):
        block(operation, SLOW_PORT.array, 2, stage - 1)


def test_heads_come_one_by_one_where_a_sample_has_no_room() -> None:
    """Four heads: 256 bytes of operands on each side and 128 of scores per sample; a quarter of both for one head."""
    operation, array = placed(attention(heads=4)), SLOW_PORT.array
    whole, apart = 2 * (256 + 256) + 128, 2 * (64 + 64) + 128
    assert block(operation, array, 2, whole) == Blocking(LoopOrder.SAMPLE_BY_SAMPLE, whole, blocks=2)
    assert block(operation, array, 2, whole - 1) == Blocking(LoopOrder.SAMPLE_BY_SAMPLE, apart, blocks=2 * 4)
    assert least_bytes(operation, array, 2) == apart


def test_products_of_activations_have_operations_of_their_own() -> None:
    operation = placed(attention())
    mixed = replace(operation.operation, gemms=(*operation.operation.gemms, Gemm(4, 8, 4)))
    with pytest.raises(ValueError, match="multiplies two activations in one GEMM and not in another"):
        block(replace(operation, operation=mixed), SLOW_PORT.array, 2, 1 << 20)


# -- program -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 4])
def test_a_command_counts_the_products_of_all_its_samples(heads: int) -> None:
    work, products = only_command(attention(heads)).work, SUB_BATCH * heads
    assert work.macs == products * 4 * 8 * 4
    assert work.stage("array").cycles == products * PRODUCT_CYCLES
    assert (work.stage("array").fill_cycles, work.stage("array").drain_cycles, work.output_tiles) == (
        FILL,
        DRAIN,
        products,
    )
    assert (work.buffer_read_bytes, work.buffer_write_bytes) == (products * 128, products * 32)


def test_without_a_slow_port_a_product_takes_its_longest_side() -> None:
    """A wave lasts as long as four rows of A stream or eight rows of B load: 8 cycles."""
    assert only_command(attention(), machine("chip.cores=1")).work.stage("array").cycles == SUB_BATCH * 8


def test_operands_arrive_and_leave_sample_by_sample() -> None:
    made = only_command(attention())
    assert (made.blocks, made.steps % SUB_BATCH, made.stage_bytes) == (SUB_BATCH, 0, 0)
    assert [(each.transfer.tensor.name, each.flow.total) for each in made.loads] == [("q", 128), ("k", 128)]
    for each in made.loads:
        assert (each.flow.profile, each.freed) == (StepProfile.ROUND_START, StepProfile.ROUND_END)


def test_a_resident_operand_is_awaited_sample_by_sample() -> None:
    """Keys that were made on chip are not read, and take no room beside what is resident."""
    training = attention(keys="keys")
    plan = planned(units=("keys", "scores"), forward={"keys": Residency.NEXT})
    (first, scores), _ = lower(training, plan, SLOW_PORT).cores[0][0].bodies[0]
    assert [each.transfer.tensor.name for each in scores.loads] == ["q"]
    assert [(token.tensor, token.flow.profile) for token in scores.waits] == [("keys", StepProfile.ROUND_START)]
    assert first.posts[0].flow.total == SUB_BATCH * 64
    assert plan_traffic(training, plan, SLOW_PORT).total() == SAMPLES * (64 + 64 + 32)


def test_an_operand_that_is_both_is_loaded_once() -> None:
    """q q^T, and then a sweep that reads q again: one read of 64 bytes per sample, and space for one."""
    scores, copy = attention(keys="q"), attention(keys="keys")
    units = (scores.units[-1], copy.units[0])
    training = replace(copy, units=units, sent=frozenset({"scores", "keys"}))
    plan = planned(units=("scores", "keys"), forward={"q": Residency.KEPT})
    assert plan_traffic(training, plan, SLOW_PORT).total() == SAMPLES * (64 + 32 + 64)
    first, second = lower(training, plan, SLOW_PORT).cores[0][0].bodies[0][0]
    assert (first.reserves, second.releases) == ((("q", SUB_BATCH * 64),), (("q", SUB_BATCH * 64),))
    for engine in ("event", "analytic"):
        assert simulate(training, plan, SLOW_PORT, engine=engine).dram_bytes.total == SAMPLES * 160


# -- engines -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_every_further_sample_takes_a_product(engine: Engine) -> None:
    """Loads and sweeps hide behind products that are fifteen times as long."""
    six, twelve = (engine(lower(attention(), planned(size), SLOW_PORT), SLOW_PORT) for size in (6, 12))
    assert six.units["array"].busy_cycles == 6 * PRODUCT_CYCLES
    assert twelve.step_cycles - six.step_cycles == 6 * PRODUCT_CYCLES


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_product_waits_for_its_own_sample_only(engine: Engine) -> None:
    """Through a memory port of 1 byte per cycle the operands of a sample take as long as its product."""
    accelerator = machine(
        "chip.cores=1", "memory.trefi=1 ms", "core.array_port=1 B/cycle", "core.memory_port=1 B/cycle"
    )
    timing = engine(lower(attention(), planned(60, 60), accelerator), accelerator)
    assert 61 * PRODUCT_CYCLES <= timing.step_cycles <= 63 * PRODUCT_CYCLES


def test_the_event_engine_takes_the_cycles_of_a_hand_count() -> None:
    """The first sample's operands arrive, the array fills, all products, the drain, the last sample's sweep and store.

    The sweep of a sub-batch is 1 cycle for 32 operations on 256 lanes and 16 of startup, of which the last sample has
    9.  Its 32 bytes take less than a cycle to DRAM, rounded up to 1.
    """
    arrival = run_events(program(command(steps=1, loads=(load(64, name="q"), load(64, name="k")))), SLOW_PORT)
    timing = run_events(lower(attention(), planned(), SLOW_PORT), SLOW_PORT)
    assert timing.step_cycles == arrival.step_cycles + FILL + SAMPLES * PRODUCT_CYCLES + DRAIN + 9 + 1


@pytest.mark.parametrize("heads", [1, 4])
def test_it_runs_in_the_least_buffer_and_overlaps_there(heads: int) -> None:
    training = attention(heads)
    least = least_bytes(placed(training), SLOW_PORT.array, SUB_BATCH)
    tight, wide = (
        run_events(lower(training, planned(), accelerator), accelerator)
        for accelerator in (with_buffer(least), SLOW_PORT)
    )
    assert tight.buffer_peak_bytes <= least
    assert tight.units["array"].busy_cycles == wide.units["array"].busy_cycles == SAMPLES * heads * PRODUCT_CYCLES
    assert tight.step_cycles <= 1.05 * wide.step_cycles


@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_a_run_passes_every_check(engine: str) -> None:
    run = simulate(attention(), planned(), SLOW_PORT, engine=engine)
    assert (run.dram_bytes.activation, run.macs) == (SAMPLES * 160, SAMPLES * 128)


def test_the_analytic_engine_takes_the_space_of_two_samples() -> None:
    timing = run_analytic(lower(attention(), planned(60, 60), SLOW_PORT), SLOW_PORT)
    assert timing.buffer_peak_bytes == 2 * (64 + 64) + 2 * 32


def test_the_engines_agree() -> None:
    event, analytic = (engine(lower(attention(), planned(), SLOW_PORT), SLOW_PORT) for engine in ENGINES)
    assert analytic.step_cycles == pytest.approx(event.step_cycles, rel=0.02)
