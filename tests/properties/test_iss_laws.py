"""Laws of LSTM groups: scale, additivity over zeros, and slimming of any set of units."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavecore.methods.determinism import deterministic
from wavecore.methods.iss import without_zero_groups
from wavecore.methods.language import LanguageModel, ModelSizes
from wavecore.methods.unitgroups import group_lasso, group_squares, kept_units, select_units

UNITS = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 1 << 16)


def model(hidden: tuple[int, ...], seed: int) -> LanguageModel:
    with deterministic(seed):
        return LanguageModel(ModelSizes(vocabulary=6, embedding=3, hidden=hidden), spread=0.5)


@settings(max_examples=25)
@given(hidden=UNITS, seed=SEEDS, scale=st.floats(0.01, 100))
def test_norms_scale_with_the_weights(hidden: tuple[int, ...], seed: int, scale: float) -> None:
    tensors = model(hidden, seed).state_dict()
    scaled = {name: each * scale for name, each in tensors.items()}
    for before, after in zip(group_squares(tensors), group_squares(scaled), strict=True):
        assert torch.allclose(after, before * scale**2, rtol=1e-4)
    assert group_lasso(scaled, 0.0).item() == pytest.approx(scale * group_lasso(tensors, 0.0).item(), rel=1e-4)


@settings(max_examples=25)
@given(hidden=UNITS, seed=SEEDS, data=st.data())
def test_units_without_weights_leave_and_nothing_else_changes(
    hidden: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    network = model(hidden, seed)
    kept = [
        sorted(data.draw(st.sets(st.integers(0, units - 1), min_size=1), label=f"lstm{layer}"))
        for layer, units in enumerate(hidden, 1)
    ]
    inputs = (None, *kept)
    with torch.no_grad():
        for own, before, left in zip(network.layers, inputs, kept, strict=False):
            units = own.weight.shape[1]
            rows = torch.zeros(4, units).index_fill_(1, torch.tensor(left), 1).view(-1, 1)
            own.input.weight.mul_(rows if before is None else rows * _columns(own.input.in_features, before))
            own.input.bias.mul_(rows.flatten())
            own.weight.mul_(rows * _columns(units, left))
        network.decoder.weight.mul_(_columns(hidden[-1], kept[-1]))
    assert [each.tolist() for each in kept_units(network.state_dict())] == kept
    small = without_zero_groups(network)
    tokens = torch.arange(12).view(4, 3) % 6
    full, less = (each.eval()(tokens, each.state(3))[0] for each in (network, small))
    assert torch.allclose(full, less, atol=1e-5)
    lasso = group_lasso(network.state_dict(), 0.0).item()
    assert group_lasso(small.state_dict(), 0.0).item() == pytest.approx(lasso, rel=1e-4)


@settings(max_examples=25)
@given(hidden=UNITS, seed=SEEDS)
def test_slimming_twice_is_slimming_once(hidden: tuple[int, ...], seed: int) -> None:
    tensors = model(hidden, seed).state_dict()
    first = select_units(tensors, [torch.arange(0, units, 2) for units in hidden])
    again = select_units(first, [torch.arange(-(-units // 2)) for units in hidden])
    assert all(torch.equal(first[name], again[name]) for name in tensors)


def _columns(count: int, kept: list[int]) -> torch.Tensor:
    return torch.zeros(count).index_fill_(0, torch.tensor(kept), 1)
