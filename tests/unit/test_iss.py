"""Groups of an LSTM's unit: norms in closed form, zeros that may leave, and what is left computing the same."""

from dataclasses import replace

import pytest
import torch

from wavecore.errors import InputError
from wavecore.methods.determinism import deterministic
from wavecore.methods.iss import EPOCHS, STEPS, recipe_of, strength, without_zero_groups
from wavecore.methods.language import LanguageModel, ModelSizes, Recurrent, perplexity
from wavecore.methods.unitgroups import group_lasso, group_squares, kept_units, parts, select_units, zero_small
from wavecore.network.graph import Network
from wavecore.network.layers import LSTM, CrossEntropy, Embedding, Linear
from wavecore.network.shapes import Shape
from wavecore.sparsity.measure.recurrent import without_zero_units
from wavecore.sparsity.measure.weights import match

SIZES = ModelSizes(vocabulary=11, embedding=5, hidden=(6, 4))


def model(sizes: ModelSizes = SIZES, seed: int = 0) -> LanguageModel:
    with deterministic(seed):
        return LanguageModel(sizes)


def remove(network: LanguageModel, layer: int, unit: int) -> None:
    """Zero a group, by the paper's words and not by our table."""
    own = network.layers[layer - 1]
    units = own.weight.shape[1]
    reader = network.layers[layer].input if layer < len(network.layers) else network.decoder
    with torch.no_grad():
        for gate in range(4):
            for values in (own.input.weight, own.input.bias, own.weight):
                values[gate * units + unit] = 0
        own.weight[:, unit] = 0
        reader.weight[:, unit] = 0


@pytest.mark.parametrize(
    ("hidden", "millions", "ratio"), [((1500, 1500), 66.0, 1.0), ((373, 315), 21.8, 7.48), ((381, 535), 25.2, 5.01)]
)
def test_the_published_counts(hidden: tuple[int, ...], millions: float, ratio: float) -> None:
    """Table 1 of arXiv 1709.05027."""
    dense = ModelSizes(vocabulary=10000, embedding=1500, hidden=(1500, 1500))
    pruned = replace(dense, hidden=hidden)
    assert round(pruned.weights / 1e6, 1) == millions
    assert round(dense.multiply_adds / pruned.multiply_adds, 2) == ratio


def test_the_counts_are_those_of_the_module() -> None:
    network = model()
    assert SIZES.weights == sum(each.numel() for each in network.parameters())
    assert {f"{name}.weight": shape for name, shape in SIZES.shapes.items()} == {
        name: tuple(each.shape) for name, each in network.named_parameters() if each.ndim > 1
    }


def test_the_recurrent_layer_is_pytorchs() -> None:
    own = Recurrent(5, 6)
    torch.nn.init.uniform_(own.weight, -1, 1)
    theirs = torch.nn.LSTM(5, 6)
    weights = {"weight_ih_l0": own.input.weight, "weight_hh_l0": own.weight, "bias_ih_l0": own.input.bias}
    theirs.load_state_dict({**weights, "bias_hh_l0": torch.zeros(24)})
    values, state = torch.randn(7, 3, 5), (torch.randn(1, 3, 6), torch.randn(1, 3, 6))
    assert torch.equal(own(values, state)[0], theirs(values, state)[0])


@pytest.mark.parametrize(("layer", "size"), [(1, 4 * (5 + 1 + 6) + 20 + 16), (2, 4 * (6 + 1 + 4) + 12 + 11)])
def test_a_group_counts_every_weight_once(layer: int, size: int) -> None:
    """Gates' rows of inputs + bias + units, the rest of the recurrent column, the reader's column."""
    ones = {name: torch.ones_like(each) for name, each in model().named_parameters()}
    squares = group_squares(ones)[layer - 1]
    assert squares.tolist() == [size] * SIZES.hidden[layer - 1]


@pytest.mark.parametrize(("layer", "unit"), [(1, 0), (1, 5), (2, 3)])
def test_a_groups_norm_is_what_its_removal_takes(layer: int, unit: int) -> None:
    network = model()
    tensors = dict(network.named_parameters())
    norm = group_squares(tensors)[layer - 1][unit].item()
    before = sum(each.square().sum().item() for each in network.parameters())
    remove(network, layer, unit)
    assert before - sum(each.square().sum().item() for each in network.parameters()) == pytest.approx(norm, rel=1e-5)
    assert group_squares(tensors)[layer - 1][unit].item() == pytest.approx(0, abs=1e-7)


def test_the_lasso_is_the_sum_of_norms() -> None:
    tensors = {name: each.detach() for name, each in model().named_parameters()}
    norms = sum(float((squares + 1e-8).sqrt().sum()) for squares in group_squares(tensors))
    assert group_lasso(tensors).item() == pytest.approx(norms)
    zeros = {name: torch.zeros_like(each) for name, each in tensors.items()}
    assert group_lasso(zeros).item() == pytest.approx(10 * 1e-4)


def test_the_lassos_slope_is_each_weight_by_its_norms() -> None:
    network = model()
    tensors = dict(network.named_parameters())
    group_lasso(tensors).backward()  # type: ignore[no-untyped-call]
    first, second = (squares.detach().sqrt() for squares in group_squares(tensors))
    weight, gradient = network.decoder.weight, network.decoder.weight.grad
    assert gradient is not None and torch.allclose(gradient, weight / second, rtol=1e-4)
    recurrent = network.layers[0].weight
    rows = first.repeat(4).view(-1, 1)
    shared = recurrent / rows + recurrent / first - (torch.eye(6).repeat(4, 1) > 0) * recurrent / first
    assert recurrent.grad is not None and torch.allclose(recurrent.grad, shared, rtol=1e-4, atol=1e-6)
    assert network.embedding.weight.grad is None and network.decoder.bias.grad is None


def test_the_slope_at_zero_is_zero() -> None:
    network = model()
    torch.nn.init.zeros_(network.layers[0].weight)
    remove(network, 1, 2)
    group_lasso(dict(network.named_parameters())).backward()  # type: ignore[no-untyped-call]
    assert all(bool(each.grad.isfinite().all()) for each in network.parameters() if each.grad is not None)


def test_what_is_left_computes_the_same() -> None:
    network = model(seed=1)
    for layer, unit in ((1, 0), (1, 3), (2, 2)):
        remove(network, layer, unit)
    small = without_zero_groups(network)
    assert small.sizes.hidden == (4, 3)
    assert [kept.tolist() for kept in kept_units(network.state_dict())] == [[1, 2, 4, 5], [0, 1, 3]]
    tokens = torch.randint(0, 11, (9, 3), generator=torch.Generator().manual_seed(2))
    before, after = (each.eval()(tokens, each.state(3))[0] for each in (network, small))
    assert torch.allclose(before, after, atol=1e-6) and before.std() > 1e-3
    text = tokens.flatten().numpy()
    assert perplexity(network, text) == pytest.approx(perplexity(small, text), rel=1e-6)


def test_any_weight_keeps_its_unit() -> None:
    for part in parts(1, 2):
        network = model()
        remove(network, 1, 2)
        with torch.no_grad():
            values = network.get_parameter(part.tensor)
            values.select(part.axis, 2 + (part.blocks - 1) * 6).fill_(1e-3)
        kept = [0, 1, 3] if part.tensor.endswith(".bias") else [0, 1, 2]
        assert kept_units(network.state_dict())[0].tolist()[:3] == kept, part


def test_training_and_profile_agree_on_the_units_that_are_gone() -> None:
    """A bias alone keeps no unit: nothing reads it."""
    network = model()
    remove(network, 1, 2)
    with torch.no_grad():
        network.get_parameter("lstm1.input.bias")[2] = 0.5
    tensors = network.state_dict()
    kept = [len(units) for units in kept_units(tensors)]
    weights = {name: values.numpy() != 0 for name, values in tensors.items() if values.ndim > 1}
    sizes = network.sizes
    net = Network("lstm", Shape(1, 4))
    value = net(Embedding(sizes.vocabulary, sizes.embedding), net.input, name="embedding")
    for number, hidden in enumerate(sizes.hidden, 1):
        sums = net(Linear(4 * hidden), value, name=f"lstm{number}.input")
        value = net(LSTM(hidden), sums, name=f"lstm{number}")
    net(CrossEntropy(), net(Linear(sizes.vocabulary), value, name="decoder"), name="loss")
    left = without_zero_units("w", net.build(), match("w", weights, net.build()))
    assert [left[f"lstm{number}"].shape[1] for number in (1, 2)] == kept == [5, 4]


def test_small_weights_become_zero_and_others_stay() -> None:
    network = model()
    tensors = network.state_dict()
    before = {name: each.clone() for name, each in tensors.items()}
    zero_small(tensors, 0.05)
    for name, values in before.items():
        untouched = name.startswith("embedding") or name == "decoder.bias"
        kept = values if untouched else torch.where(values.abs() < 0.05, 0, values)
        assert torch.equal(tensors[name], kept), name


def test_nothing_left_is_said() -> None:
    network = model()
    for unit in range(4):
        remove(network, 2, unit)
    with pytest.raises(InputError, match="train iss: the pruning leaves no unit of lstm2; try: fewer --epochs"):
        without_zero_groups(network)


def test_keeping_all_keeps_the_tensors() -> None:
    tensors = model().state_dict()
    same = select_units(tensors, [torch.arange(6), torch.arange(4)])
    assert all(torch.equal(same[name], values) for name, values in tensors.items())


def test_the_schedule_is_the_papers_stretched() -> None:
    """A rate of 1 for 14 of 55 epochs, then 1.15 times smaller with each; the same at half the epochs.

    The authors' code divides by 1.15 to the power of max(i + 1 - 14, 0) in epoch i, counted from 0.
    """
    full, half = recipe_of(EPOCHS), recipe_of(EPOCHS // 2 + 1)
    assert [full.rate_at(epoch) for epoch in range(EPOCHS)] == pytest.approx(
        [1.15 ** -max(epoch + 1 - 14, 0) for epoch in range(EPOCHS)]
    )
    assert full.rate_at(54) == pytest.approx(1.15**-41)
    assert half.rate_at(20) == pytest.approx(full.rate_at(40), rel=0.1)


def test_the_penalty_goes_with_steps_and_noise() -> None:
    """The published weight for windows of 35 steps of the Penn Treebank; of a quarter of the words, twice as much."""
    assert strength(929_589) == pytest.approx(0.00245 * STEPS / 35)
    assert strength(10_000) == pytest.approx(2 * strength(40_000))
    assert strength(48_225) == pytest.approx(0.00615, abs=1e-5)


def test_a_uniform_model_has_the_vocabulary_as_perplexity() -> None:
    network = model()
    torch.nn.init.zeros_(network.decoder.weight)
    torch.nn.init.zeros_(network.decoder.bias)
    assert perplexity(network, torch.arange(11).repeat(60).numpy()) == pytest.approx(11)
