"""The parts of a training: the data's split, winners, masks, dead groups, rates, the log."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from wavecore.errors import InputError
from wavecore.methods.base import EpochRow, Recorder
from wavecore.methods.deephoyer import prune
from wavecore.methods.determinism import deterministic
from wavecore.methods.digits import digits
from wavecore.methods.folder import log_csv
from wavecore.methods.groups import masks_of, remove_dead, structure
from wavecore.methods.jpnet import RATES, chosen_rate, magnitude_masks
from wavecore.methods.loop import TrainingStage, apply_masks, weights_kept
from wavecore.methods.networks import Net, hidden, network, winners
from wavecore.methods.outcome import densities_left, input_density
from wavecore.network.catalog import workload
from wavecore.network.sparsity import mask_of
from wavecore.sparsity.profile import LayerSparsity, Profile
from wavecore.sparsity.structure import apply_profile, weight_shape


def net(name: str) -> Net:
    with deterministic(0):
        return network(name)


@pytest.mark.parametrize(("hold_out", "sizes"), [(False, (4000, 0, 1000)), (True, (3500, 500, 1000))])
def test_the_split_is_stratified_and_whole(hold_out: bool, sizes: tuple[int, ...]) -> None:
    split = digits(hold_out=hold_out)
    parts = (split.train, split.held, split.test)
    assert tuple(map(len, parts)) == sizes
    for part in parts:
        counts = torch.bincount(part.labels, minlength=10)
        assert bool((counts == len(part) // 10).all())
    rows = torch.cat([part.images for part in parts]).flatten(1)
    assert len(rows) == 5000
    assert (rows.min().item(), rows.max().item()) == (0, 1)


def test_the_test_set_is_the_same_whatever_is_trained_on() -> None:
    assert torch.equal(digits().test.labels, digits(100, hold_out=True).test.labels)
    assert len(digits(100).train) == 100


@pytest.mark.parametrize("samples", [5, 15, 4010])
def test_an_uneven_number_of_samples(samples: int) -> None:
    with pytest.raises(InputError, match=f"{samples} is not an available number of images, equally many of each digit"):
        digits(samples)


def test_winners_are_the_largest_of_each_sample_and_so_is_their_gradient() -> None:
    values = torch.tensor([[3.0, -4.0, 1.0, 2.0], [0.0, -1.0, 5.0, 0.0]], requires_grad=True)
    kept = winners(values, 0.5)
    assert kept.tolist() == [[3, -4, 0, 0], [0, -1, 5, 0]]
    kept.sum().backward()
    assert values.grad is not None and values.grad.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0]]


def test_winners_of_an_image_are_over_all_its_channels() -> None:
    values = torch.arange(16.0).view(2, 2, 2, 2)
    assert torch.count_nonzero(winners(values, 0.25)[1]) == 2
    assert torch.equal(winners(values, 1.0), values)
    assert torch.count_nonzero(winners(values + 1, 0.001).flatten(1)[0]) == 1


@pytest.mark.parametrize("name", ["lenet5", "lenet300"])
def test_the_module_is_the_workload(name: str) -> None:
    module = net(name)
    assert {key: tuple(each.shape) for key, each in module.state_dict().items() if key.endswith("weight")} == {
        f"{layer}.weight": weight_shape(module.graph, layer) for layer in module.weighted
    }
    assert module(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    assert hidden(module) == module.weighted[:-1]


def test_pruning_cuts_below_the_deviation() -> None:
    module = net("lenet300")
    before = module.weight("fc1").detach().clone()
    prune(module, 0.8)
    small = before.abs() < 0.8 * before.std(correction=0)
    assert torch.equal(module.weight("fc1") == 0, small)


@pytest.mark.parametrize("kept", [0.1, 0.63])
def test_magnitude_masks_leave_the_share_and_never_bring_a_weight_back(kept: float) -> None:
    module = net("lenet300")
    first = magnitude_masks(module, 0.7)
    apply_masks(module, first)
    assert weights_kept(module) == pytest.approx(0.7, abs=1e-5)
    masks = magnitude_masks(module, kept)
    apply_masks(module, masks)
    assert weights_kept(module) == pytest.approx(kept, abs=1e-5)
    assert all(bool((masks[layer] <= first[layer]).all()) for layer in masks)


def test_dead_outputs_go_with_what_reads_them() -> None:
    """Of lenet5: a channel without weights, one that nothing reads, and a feature whose only weight goes with it."""
    module = net("lenet5")
    with torch.no_grad():
        module.weight("conv2")[3] = 0  # makes a constant
        module.weight("fc1")[:, 16 * 7 : 16 * 8] = 0  # channel 7 is not read
        module.weight("fc1")[9] = 0
        module.weight("fc1")[9, 16 * 3] = 1.0  # reads only the constant
        module.weight("fc2")[4] = 0  # a class stays, whatever it reads
    remove_dead(module)
    said = structure(module)
    assert said["conv2"].kept_outputs == tuple(each for each in range(50) if each not in (3, 7))
    assert said["fc1"].kept_outputs == tuple(each for each in range(500) if each != 9)
    assert set(said) == {"conv2", "fc1"}
    assert not module.weight("conv2")[7].any() and not module.get_parameter("conv2.bias")[[3, 7]].any()
    assert not module.weight("fc2")[:, 9].any()


def test_removing_what_nothing_reads_changes_nothing() -> None:
    module = net("lenet5")
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        module.weight("conv1")[:, :, :, :] *= (torch.arange(20) % 3 > 0).view(-1, 1, 1, 1)
        module.get_parameter("conv1.bias")[::3] = 0
        module.weight("fc2")[:, ::2] = 0
        before = module(images)
        remove_dead(module)
        assert torch.allclose(module(images), before, atol=1e-6)
    assert len(structure(module)["fc1"].kept_outputs or ()) == 250  # type: ignore[arg-type]


def test_what_is_left_fits_the_simulators_network() -> None:
    module = net("lenet300")
    with torch.no_grad():
        module.weight("fc1")[:, :700] = 0
        module.weight("fc2")[10:] = 0
    remove_dead(module)
    masks = {layer: mask_of(mask.numpy()) for layer, mask in masks_of(module).items()}
    profile = Profile(name="p", source="s", workload="lenet300", layers=structure(module), masks=masks)
    pruned = apply_profile(module.graph, profile)
    assert weight_shape(pruned, "fc1") == (300, 84) and weight_shape(pruned, "fc3") == (10, 10)
    assert sum(facts.mask.nonzeros for _, facts in pruned.sparsity.weights if facts.mask) == sum(  # type: ignore[union-attr]
        mask.nonzeros for mask in masks.values()
    )


def test_densities_are_of_the_outputs_that_are_left() -> None:
    structure = {"conv1": LayerSparsity(kept_outputs=(0, 3, 5, 6, 7)), "fc1": LayerSparsity(kept_outputs=250)}
    seen = {"conv1": 0.1, "pool1": 0.2, "conv2": 0.3, "fc1": 0.4}
    left = densities_left(workload("lenet5"), structure, seen)
    assert left == pytest.approx({"conv1": 0.4, "pool1": 0.8, "conv2": 0.3, "fc1": 0.8})


def test_the_inputs_density_is_of_the_pixels_that_are_read() -> None:
    images = torch.zeros(2, 1, 28, 28)
    images[:, 0, 0, 1] = 1
    structure = {"fc1": LayerSparsity(kept_inputs=(0, 1, 700, 783))}
    assert input_density(net("lenet300"), structure, images) == 0.25
    assert input_density(net("lenet5"), {}, images) == pytest.approx(1 / 784)


def test_nothing_left_is_said() -> None:
    module = net("lenet300")
    with torch.no_grad():
        module.weight("fc2").zero_()
    with pytest.raises(InputError, match="the pruning leaves nothing of layer 'fc1'"):
        remove_dead(module)


@pytest.mark.parametrize(
    ("tried", "rate"),
    [
        ({1.0: 0.9, 0.5: 0.9, 0.1: 0.9}, 0.1),
        ({1.0: 0.9, 0.5: 0.896, 0.1: 0.8}, 0.5),
        ({1.0: 0.9, 0.5: 0.8}, 1.0),
    ],
)
def test_the_rate_is_the_last_before_accuracy_is_lost(tried: Mapping[float, float], rate: float) -> None:
    assert chosen_rate(tried) == rate
    assert tuple(sorted(RATES, reverse=True)) == RATES


def test_a_stage_that_settles() -> None:
    stage = TrainingStage(name="s", epochs=4, learning_rate=2.0, settle=True)
    assert [stage.rate(epoch) for epoch in (1, 3)] == pytest.approx([2.0, 1.0])
    assert 0 < stage.rate(4) < stage.rate(3)
    assert replace(stage, settle=False).rate(4) == 2.0


def test_the_recorder_tells_how_far_it_is() -> None:
    told: list[float] = []
    recorder = Recorder(share=told.append)
    recorder.plan(4)
    recorder.begin("dense")
    recorder.within(0.5)
    row = EpochRow(stage="dense", epoch=1, loss=0.25, score=0.5, weights_kept=1.0)
    recorder.row(row)
    recorder.row(replace(row, epoch=2, activations_kept=0.125))
    assert told == [0, 0.125, 0.25, 0.5]
    assert log_csv(recorder.rows, "accuracy").splitlines() == [
        "stage,epoch,loss,accuracy,weights_kept,activations_kept",
        "dense,1,0.25,0.5,1,",
        "dense,2,0.25,0.5,1,0.125",
    ]


def test_pytorchs_state_is_put_back() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    with deterministic(0):
        assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
        first = torch.rand(1)
    assert torch.get_num_threads() == threads and not torch.are_deterministic_algorithms_enabled()
    with deterministic(0):
        assert torch.equal(torch.rand(1), first)
