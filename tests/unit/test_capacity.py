"""Is the DRAM that a step needs what one counts by hand from shapes and lifetimes?"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import NETWORKS, chain, serialized

import wavecore.hardware
from wavecore.cli import main
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import AvgPool, Conv, Inlet, Outlet
from wavecore.network.shapes import Shape
from wavecore.plan.model import Plan
from wavecore.program.capacity import dram_capacity
from wavecore.simulation import make_plan, planned_graph, schedule_names
from wavecore.training.operations import TensorClass
from wavecore.training.unroll import training_graph

PRESETS = Path(wavecore.hardware.__path__[0]) / "presets" / "memories"
MACHINE = load_accelerator()
SAMPLES = 8  # on two cores
PARAMETERS = {"conv1": 27 * 16, "norm1": 2 * 16, "conv2": 144 * 24 + 24, "linear1": 216 * 24 + 24, "linear2": 24 * 10}
"""Of `small_networks.chain`."""


def needed(graph: LayerGraph, plan: Plan, machine: Accelerator = MACHINE) -> dict[str, int]:
    training = planned_graph(training_graph(graph), plan, machine)
    return {str(kind): nbytes for kind, nbytes in dram_capacity(training, plan, machine).items()}


def of_chain(activation: int, gradient: int, mask: int, finished: str) -> dict[str, int]:
    """Bytes a sample of what is alive beside the input, and the layers whose weight gradient is finished."""
    parameters = sum(PARAMETERS.values())
    return {
        "weight": 2 * parameters,
        "optimizer": 8 * parameters,
        "activation": (2 * 3 * 13 * 13 + activation) * SAMPLES,
        "gradient": gradient * SAMPLES,
        "mask": mask * SAMPLES,
        "weight_gradient": 2 * 4 * sum(PARAMETERS[layer] for layer in finished.split()),
    }


def test_baseline_needs_most_in_the_backward_normalization() -> None:
    """Its input, statistics (4 groups of 2 fp32) and both gradients, 16 x 7 x 7, are there, its mask no more."""
    image = 2 * 16 * 7 * 7
    plan = make_plan(training_graph(chain()), "baseline", MACHINE, SAMPLES // 2)
    assert needed(chain(), plan) == of_chain(image + 32, 2 * image, 0, "linear2 linear1 conv2 norm1")


def test_mbs2_needs_most_in_the_last_large_weight_gradient() -> None:
    """All gradients stay on chip; the input of the pooling's reader, 16 x 4 x 4, and what the layers before saved."""
    image = 2 * 16 * 7 * 7
    plan = make_plan(training_graph(chain()), "mbs2", MACHINE, SAMPLES // 2)
    assert len(plan.groups) == 1
    masks = 16 * 7 * 7 // 8 + 16 * 4 * 4 // 2  # ReLU's and 4 bits of index
    assert needed(chain(), plan) == of_chain(image + 32 + 2 * 16 * 4 * 4, 0, masks, "linear2 linear1 conv2")


def test_tensors_of_a_group_of_several_iterations_live_side_by_side() -> None:
    """When the first sub-batch has all weight gradients, the second one has all saved tensors yet to be read."""
    whole = serialized(chain(), SAMPLES // 2, 3)
    spilling = replace(whole, groups=tuple(replace(group, held=frozenset()) for group in whole.groups))
    saved = 2 * 16 * 7 * 7 + 32 + 2 * 16 * 4 * 4 + 2 * 24 * 3 * 3 + 2 * 24 + 2 * 10
    masks = 16 * 7 * 7 // 8 + 16 * 4 * 4 // 2 + 24 * 4 * 4 // 8 + 24 // 8
    assert needed(chain(), spilling) == of_chain(saved, 0, masks, " ".join(PARAMETERS))


def test_held_weight_gradients_are_in_dram_from_the_last_iteration_on() -> None:
    held = serialized(chain(), SAMPLES // 2, 3)
    at_once = make_plan(training_graph(chain()), "mbs2", MACHINE, SAMPLES // 2)
    assert needed(chain(), held) == needed(chain(), at_once)


def saved_by_resnet50() -> tuple[int, int]:
    """Bytes a sample of what backward reads, activations and then masks, from the shapes of He et al., table 1.

    Inputs of convolutions, of normalizations (with 32 groups of two fp32 statistics) and of the linear layer, and
    probabilities; a bit for each ReLU and 4 bits for each output of the pooling.  Stride 2 is in the 3 x 3 convolution.
    """
    activation, mask = 3 * 224**2 * 2 + 64 * 112**2 * 2 + 256, 64 * 112**2 // 8 + 64 * 56**2 // 2
    channels, size = 64, 56
    for planes, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            before, size = size, size // (stride if block == 0 else 1)
            narrow, middle, wide = planes * before**2, planes * size**2, 4 * planes * size**2
            projected = wide if block == 0 else 0
            norms = 4 if block == 0 else 3
            inputs = channels * before**2 + narrow + middle
            activation += 2 * (inputs + narrow + middle + wide + projected) + 256 * norms
            mask += (narrow + middle + wide) // 8
            channels = 4 * planes
    return activation + 2 * 2048 + 2 * 1000, mask


def test_resnet50_needs_its_saved_tensors_and_little_more() -> None:
    """Baseline: between what is alive when backward begins, and that with all weight gradients and three gradients."""
    activation, mask = saved_by_resnet50()
    graph = workload("resnet50")
    plan = make_plan(training_graph(graph), "baseline", MACHINE, 32)
    found = needed(graph, plan)
    state = 10 * graph.parameter_count
    least = 64 * (activation + mask) + state
    assert found["weight"] + found["optimizer"] == state
    assert least < sum(found.values()) < least + 8 * graph.parameter_count + 64 * 3 * 64 * 112**2 * 2
    assert sum(found.values()) < 1.1 * least


def test_resnet50_in_one_group_needs_exactly_its_saved_tensors_and_weight_gradients() -> None:
    activation, mask = saved_by_resnet50()
    graph = workload("resnet50")
    machine = load_accelerator(overrides=["core.global_buffer=1 GiB"])
    plan = make_plan(training_graph(graph), "mbs2", machine, 32)
    (group,) = plan.groups
    assert needed(graph, replace(plan, groups=(replace(group, sub_batch=2, held=frozenset()),)), machine) == {
        "weight": 2 * graph.parameter_count,
        "optimizer": 8 * graph.parameter_count,
        "activation": 64 * activation,
        "gradient": 0,
        "mask": 64 * mask,
        "weight_gradient": 2 * 4 * graph.parameter_count,
    }


def test_what_the_outside_gives_and_takes_is_there_from_its_coming_to_the_end() -> None:
    """Most in the second data gradient: two values in, two out, the gradients of these, and one for the outside."""
    image, value = Shape(4, 8, 8), 2 * 4 * 8 * 8 * SAMPLES
    net = Network("piece", image)
    net(Outlet(), net(Conv(4), net.input))
    net(Outlet(), net(Conv(4), net(Inlet(image), name="inlet")))
    plan = make_plan(training_graph(net.build()), "baseline", MACHINE, SAMPLES // 2)
    found = needed(net.build(), plan)
    assert (found["activation"], found["gradient"]) == (4 * value, 3 * value)


def test_a_gradient_from_outside_comes_with_backward() -> None:
    """Most is needed before, by the input and two poolings of it, since none of these has a gradient."""
    value = 2 * 4 * 16 * 16 * SAMPLES
    net = Network("pooled", Shape(4, 16, 16))
    pooled = net(AvgPool(3, 1, 1), net(AvgPool(3, 1, 1), net.input))
    net(Outlet(), net(Conv(4), net(AvgPool(8, 8), pooled)))
    plan = make_plan(training_graph(net.build()), "baseline", MACHINE, SAMPLES // 2)
    found = needed(net.build(), plan)
    assert (found["activation"], found["gradient"]) == (3 * value, 0)


RESNET = ["resnet18", "--image", "32"]
NOTE = "note: the step needs 206 MiB of DRAM, and hbm2x2 has 100 MiB: a smaller --batch, or more memory.capacity\n"


def test_a_step_that_needs_more_than_there_is_runs_with_a_note(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--set", "memory.capacity=100 MiB"]
    for words in ([], small):
        assert main(["run", *RESNET, "--engine", "analytic", *words]) == 0
        said = capsys.readouterr()
        assert said.err == (NOTE if words else "")
        assert re.search(r"DRAM capacity +206 MiB +" + ("206.3%" if words else "1.3%"), said.out)
    plan = tmp_path / "plan.toml"
    assert main(["plan", *RESNET, "--toml"]) == 0
    plan.write_text(capsys.readouterr().out)
    for words in ([], small):
        assert main(["check", str(plan), *RESNET[1:], *words]) == 0
        assert capsys.readouterr().err == (NOTE if words else "")


def test_a_memory_need_not_state_its_capacity(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = (PRESETS / "hbm2.toml").read_text().splitlines()
    (tmp_path / "mine.toml").write_text("\n".join(line for line in lines if not line.startswith("capacity")))
    assert load_accelerator(memory=str(tmp_path / "mine.toml")).memory.capacity_bytes is None
    assert main(["run", *RESNET, "--engine", "analytic", "--memory", str(tmp_path / "mine.toml")]) == 0
    assert re.search(r"DRAM capacity +206 MiB *\n", re.sub(r" {2,}(?=\n)", "", capsys.readouterr().out))


@pytest.mark.parametrize("name", NETWORKS)
@given(data=st.data())
def test_between_what_always_stays_and_all_tensors_together(name: str, data: st.DataObject) -> None:
    samples = data.draw(st.integers(1, 9))
    plan = make_plan(training_graph(NETWORKS[name]()), data.draw(st.sampled_from(schedule_names())), MACHINE, samples)
    training = planned_graph(training_graph(NETWORKS[name]()), plan, MACHINE)
    found = dram_capacity(training, plan, MACHINE)
    read = {use.tensor for unit in training.units for op in unit.forward for use in op.reads}
    whole, least = Counter[TensorClass](), Counter[TensorClass]()
    for tensor in training.tensors.values():
        kind, shared = (
            tensor.tensor_class,
            not tensor.batched and tensor.tensor_class is not TensorClass.WEIGHT_GRADIENT,
        )
        nbytes = tensor.nbytes * (1 if shared else 2) * (samples if tensor.batched else 1)
        whole[kind] += nbytes
        if shared or (kind is TensorClass.ACTIVATION and tensor.name in read - training.written):
            least[kind] += nbytes
    for kind in TensorClass:
        assert least[kind] <= found[kind] <= whole[kind]
