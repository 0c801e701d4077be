"""The lowered program, run on real numbers, yields what PyTorch's autograd yields: for every schedule."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from small_networks import NETWORKS, serialized, two_cuts

from wavecore.errors import InputError
from wavecore.golden.interpreter import interpret
from wavecore.golden.kernels import KERNELS
from wavecore.golden.numbers import random_data
from wavecore.golden.verification import Verification, verify_workload
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import CORE_UNITS, Accelerator, UnitKind, UnitSpec
from wavecore.network.graph import Network
from wavecore.network.layers import KINDS, Conv, Outlet
from wavecore.network.layers.base import LayerRole
from wavecore.network.shapes import Shape
from wavecore.program.lower import lower
from wavecore.simulation import make_plan
from wavecore.training.unroll import training_graph

SCHEDULES = ("baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2")
BATCH = 10  # five samples a core: a prime number, so that sub-batches leave a remainder
SMALL_ARRAY = ("array.rows=8", "array.columns=8")  # many tiles even in a small network


def needs_torch() -> None:
    pytest.importorskip("torch", reason='PyTorch is the referee: pip install "wavecore[torch]"')


@cache
def machine(buffer_kib: int, *overrides: str) -> Accelerator:
    return load_accelerator(overrides=[f"core.global_buffer={buffer_kib} KiB", *overrides])


def check(verified: Verification) -> None:
    wrong = [tensor for tensor in verified.tensors if tensor.error > verified.largest_error / 2]
    assert verified.passed, wrong


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("buffer_kib", [64, 96])
def test_every_gradient_is_autograds(network: str, schedule: str, buffer_kib: int) -> None:
    needs_torch()
    array = SMALL_ARRAY if buffer_kib == 64 else ()
    verified = verify_workload(NETWORKS[network](), schedule, machine(buffer_kib, *array), BATCH)
    check(verified)
    assert verified.largest_error < 1e-11


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_single_precision_differs_by_rounding_only(schedule: str) -> None:
    needs_torch()
    verified = verify_workload(NETWORKS["residual"](), schedule, machine(64), BATCH, "float32")
    assert 0 < verified.largest_error < 1e-4


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sub_batch", [1, 2, 3])
def test_gradients_held_on_chip_over_uneven_iterations(network: str, sub_batch: int) -> None:
    needs_torch()
    graph = NETWORKS[network]()
    check(verify_workload(graph, serialized(graph, BATCH // 2, sub_batch), machine(2048), BATCH))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("forward", "backward"), [(2, 3), (5, 1), (3, 5)])
def test_a_backward_of_its_own_groups(network: str, forward: int, backward: int) -> None:
    needs_torch()
    graph = NETWORKS[network]()
    check(verify_workload(graph, two_cuts(graph, BATCH // 2, forward, backward), machine(2048), BATCH))


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_the_queues_gives_the_same_numbers(seed: int) -> None:
    graph = NETWORKS["inception"]()
    training = training_graph(graph)
    accelerator = machine(64)
    program = lower(training, make_plan(training, "mbs2", accelerator, BATCH // 2), accelerator)
    data = random_data(graph, BATCH, np.float64)
    first, other = (interpret(graph, training, program, data, seed=s) for s in (100, seed))
    assert first.loss == pytest.approx(other.loss, rel=1e-14)
    for unit, weight in first.weights.items():
        np.testing.assert_allclose(other.weights[unit], weight, rtol=0, atol=1e-14)


def test_the_buffers_size_decides_how_it_runs_and_not_what_comes_out() -> None:
    graph = NETWORKS["residual"]()
    data = random_data(graph, BATCH, np.float64)
    training = training_graph(graph)
    outcomes = []
    for buffer_kib in (64, 128, 1024):
        accelerator = machine(buffer_kib)
        plan = make_plan(training, "mbs2", accelerator, BATCH // 2)
        outcomes.append(interpret(graph, training, lower(training, plan, accelerator), data))
    for unit, gradient in outcomes[0].gradients.items():
        for other in outcomes[1:]:
            np.testing.assert_allclose(other.gradients[unit], gradient, rtol=0, atol=1e-13)


def test_every_kind_of_layer_has_kernels() -> None:
    computed = {kind for kind, rules in KINDS.items() if rules.role is not LayerRole.VIEW}
    assert set(KERNELS) == computed


def test_a_piece_of_a_network_has_no_gradients_to_compare() -> None:
    needs_torch()
    net = Network("piece", Shape(4, 8, 8))
    net(Outlet(), net(Conv(8, 3), net.input))
    with pytest.raises(InputError) as caught:
        verify_workload(net.build(), "mbs2", machine(64), BATCH)
    assert str(caught.value) == (
        "workload piece: is a piece of a network without a loss, so it has no gradients of its own; "
        "try: a whole network: wavecore list workloads"
    )


def test_a_missing_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError) as caught:
        verify_workload(NETWORKS["chain"](), "mbs2", machine(64), BATCH)
    assert str(caught.value) == 'wavecore verify: PyTorch is not installed; try: pip install "wavecore[torch]"'


def test_a_second_vector_unit_is_refused() -> None:
    needs_torch()
    norms = UnitSpec(name="norms", kind=UnitKind.VECTOR, layer_kinds=("norm",))
    with pytest.raises(InputError) as caught:
        verify_workload(NETWORKS["chain"](), "mbs2", replace(machine(64), units=(*CORE_UNITS, norms)), BATCH)
    assert str(caught.value) == (
        "accelerator wavecore: units: has the vector units vector, norms, and the interpreter runs one; "
        "try: the units of wavecore.hardware.specs.CORE_UNITS"
    )
