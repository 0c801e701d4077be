"""Runs with sparsity: the laws hold, what is off changes nothing, and what is on never costs more."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import SparsitySpec
from wavecore.network.catalog import workload
from wavecore.network.sparsity import mask_of
from wavecore.results.run import Run, to_dict
from wavecore.simulation import evaluate, schedule_names, simulate
from wavecore.sparsity.machine import for_machine
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.operations import Phase
from wavecore.training.unroll import training_graph

MACHINE = load_accelerator()
OPTIONS = ("gating", "tile_skipping", "compression")


def machine(*on: str) -> Any:
    return replace(MACHINE, sparsity=SparsitySpec(**dict.fromkeys(on, True)))


def blocky(shape: tuple[int, ...]) -> np.ndarray:
    """Scattered zeros, and a corner without anything."""
    weights = np.random.default_rng(3).random(shape) < 0.1
    weights.reshape(shape[0], -1)[: shape[0] // 2, : weights[0].size // 2] = False
    return weights


PROFILE = Profile(
    name="some",
    source="a test",
    layers={
        "conv1": LayerSparsity(weight_density=0.2, activation_density=0.4),
        "conv2": LayerSparsity(activation_density=0.3),
        "fc1": LayerSparsity(activation_density=0.1),
    },
    masks={"conv2": mask_of(blocky((50, 20, 5, 5))), "fc1": mask_of(blocky((500, 800)))},
)
LENET = workload("lenet5")


def run(*on: str, profile: Profile | None = PROFILE, schedule: str = "mbs2", engine: str = "event") -> Run:
    return simulate(LENET, schedule, machine(*on), batch=20, engine=engine, sparsity=profile)


def figures(result: Run) -> dict[str, Any]:
    return {key: value for key, value in to_dict(result).items() if key not in ("manifest", "effectual_macs", "layers")}


@pytest.mark.parametrize("engine", ["event", "analytic"])
@pytest.mark.parametrize("schedule", schedule_names())
def test_laws_hold_with_everything_on(schedule: str, engine: str) -> None:
    result = run(*OPTIONS, schedule=schedule, engine=engine)  # simulate checks bytes, roofline, space and energy
    assert result.effectual_macs + result.gated_macs + result.skipped_macs == result.macs
    assert result.packed and result.skipped_macs > 0


def test_with_options_off_scattered_zeros_change_nothing() -> None:
    assert figures(run()) == figures(run(profile=None))


def test_without_a_profile_only_zeros_that_a_mapping_makes_rest() -> None:
    on, off = run(*OPTIONS, profile=None), run(profile=None)
    assert off.surplus_macs > on.surplus_macs == 0
    saved = off.energy_joules.array - on.energy_joules.array
    assert saved == pytest.approx(off.surplus_macs * MACHINE.energy.mac_joules)
    assert replace(on.energy_joules, array=0) == replace(off.energy_joules, array=0)
    follow = ("surplus_macs", "energy_joules", "average_watts", "energy_delay_joule_seconds", "samples_per_joule")
    same = {name: getattr(off, name) for name in follow}
    assert figures(replace(on, **same)) == figures(off)


@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
def test_each_option_saves_what_it_says(schedule: str) -> None:
    off = run(schedule=schedule)
    gated, skipping, packed = (run(option, schedule=schedule) for option in OPTIONS)
    saved = off.energy_joules.array - gated.energy_joules.array
    resting = off.macs - off.effectual_macs + off.surplus_macs - gated.surplus_macs
    assert saved == pytest.approx(resting * MACHINE.energy.mac_joules)
    assert gated.step_cycles == off.step_cycles
    assert skipping.step_cycles < off.step_cycles
    assert skipping.dram_bytes == off.dram_bytes
    assert packed.dram_bytes.weight < off.dram_bytes.weight
    assert packed.dram_bytes.weight_gradient == off.dram_bytes.weight_gradient
    assert packed.global_buffer_bytes.read == off.global_buffer_bytes.read
    assert packed.step_cycles <= off.step_cycles


def test_the_buffers_port_bounds_what_compression_saves() -> None:
    """Data is dense behind the port: half the bytes of DRAM take half its time only if the port is that wide."""
    wide = replace(MACHINE.core, memory_port_bytes_per_cycle=1 << 14)
    for engine in ("event", "analytic"):
        narrow = run("compression", schedule="baseline", engine=engine).step_cycles
        machine_ = replace(machine("compression"), core=wide)
        assert simulate(LENET, "baseline", machine_, batch=20, engine=engine, sparsity=PROFILE).step_cycles <= narrow


def test_engines_move_the_same_bytes() -> None:
    event, analytic = (run(*OPTIONS, engine=engine) for engine in ("event", "analytic"))
    assert event.dram_bytes == analytic.dram_bytes
    assert event.step_cycles == pytest.approx(analytic.step_cycles, rel=0.2)


def test_evaluate_is_simulate() -> None:
    training = training_graph(apply_profile(LENET, PROFILE))
    found = evaluate(training, "mbs2", machine(*OPTIONS), batch=20)
    whole = run(*OPTIONS, engine="analytic")
    assert (found.dram_bytes, found.step_cycles, found.gated_macs) == (
        whole.dram_bytes,
        whole.step_cycles,
        whole.gated_macs,
    )


def test_shares_of_products_by_phase() -> None:
    """Forward w a, data gradient w g, weight gradient a g; of each pooled window one value comes back."""
    training = for_machine(training_graph(apply_profile(LENET, PROFILE)), MACHINE)
    unit = training.units[training.unit_index["conv2"]]
    mask = PROFILE.masks["conv2"].density
    shares = {op.phase: op.effectual_share for op in (*unit.forward, *unit.backward) if op.gemms}
    assert shares[Phase.FORWARD] == pytest.approx(mask * 0.4)  # pool1 passes on what conv1 lets through
    assert shares[Phase.DATA_GRADIENT] == pytest.approx(mask * 0.3 / 4)
    assert shares[Phase.WEIGHT_GRADIENT] == pytest.approx(0.4 * 0.3 / 4)


def test_packed_bytes_are_counted_from_the_mask() -> None:
    packed = {each.tensor: each for each in run("compression").packed}
    mask = PROFILE.masks["fc1"]
    bitmask = 400_000 // 8 + 2 * mask.nonzeros
    assert packed["fc1.weight"].packed_bytes <= bitmask + 2 * 500  # the bias is dense
    assert packed["fc1.weight"].dense_bytes == 2 * 400_500
    assert packed["conv1"].encoding == "bitmask"
    assert packed["conv1"].packed_bytes == 11_520 // 8 + 2 * 4_608


def test_a_run_says_which_profile_it_is_of() -> None:
    assert run().manifest.hashes["profile"] == PROFILE.digest
    assert "profile" not in run(profile=None).manifest.hashes
