"""Hoyer-Square and Group-HS against their closed forms, scale, and gradients worked out by hand."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wavecore.methods.regularizers import group_hoyer_square, hoyer_square

BOTH = pytest.mark.parametrize("regularizer", [hoyer_square, group_hoyer_square])


@st.composite
def weights(draw: Any) -> Tensor:
    """Weights away from zero, where the regularizers are smooth."""
    shape = draw(st.sampled_from([(3, 4), (1, 5), (4, 2, 3, 3)]))
    value = st.floats(0.1, 2.0) | st.floats(-2.0, -0.1)
    flat = draw(st.lists(value, min_size=math.prod(shape), max_size=math.prod(shape)))
    return torch.tensor(flat, dtype=torch.float64).view(shape)


def test_one_element() -> None:
    one = torch.zeros(4, 6)
    one[2, 3] = -0.7
    assert hoyer_square(one).item() == pytest.approx(1)
    assert group_hoyer_square(one).item() == pytest.approx(2)


@pytest.mark.parametrize("count", [1, 7, 500])
def test_equal_elements(count: int) -> None:
    assert hoyer_square(torch.full((1, count), -0.3)).item() == pytest.approx(count, rel=1e-5)


def test_equal_groups() -> None:
    """Each of 4 inputs has the norm sqrt(n) of the whole over 2, each of 3 rows over sqrt(3)."""
    assert group_hoyer_square(torch.full((3, 4, 5, 5), 0.1)).item() == pytest.approx(3 + 4, rel=1e-5)


@BOTH
def test_zeros_are_no_trouble(regularizer: Any) -> None:
    zeros = torch.zeros(3, 4, requires_grad=True)
    value = regularizer(zeros)
    value.backward()
    assert value.item() == 0 and zeros.grad is not None and bool((zeros.grad == 0).all())


@BOTH
def test_a_group_that_is_zero_has_no_gradient(regularizer: Any) -> None:
    some = torch.ones(3, 4)
    some[1] = 0
    some.requires_grad_()
    regularizer(some).backward()
    assert some.grad is not None and bool(torch.isfinite(some.grad).all())


@BOTH
@given(given_weights=weights(), scale=st.floats(1e-3, 1e3))
def test_scale_does_not_matter(regularizer: Any, given_weights: Tensor, scale: float) -> None:
    whole = regularizer(given_weights).item()
    assert regularizer(scale * given_weights).item() == pytest.approx(whole, rel=1e-9)


@BOTH
@given(given_weights=weights())
def test_the_gradient_is_orthogonal_to_the_weights(regularizer: Any, given_weights: Tensor) -> None:
    """Euler: what does not change with scale has no derivative along it."""
    leaf = given_weights.clone().requires_grad_()
    regularizer(leaf).backward()
    assert leaf.grad is not None
    assert abs((leaf.grad * given_weights).sum().item()) < 1e-8 * given_weights.numel()


@given(given_weights=weights())
def test_hoyer_squares_gradient_is_the_papers(given_weights: Tensor) -> None:
    """dH/dw_j = 2 sign(w_j) S1 / S2^2 (S2 - |w_j| S1), S1 = sum |w|, S2 = sum w^2."""
    leaf = given_weights.clone().requires_grad_()
    hoyer_square(leaf).backward()
    first, second = given_weights.abs().sum(), given_weights.square().sum()
    hand = 2 * given_weights.sign() * first / second**2 * (second - given_weights.abs() * first)
    assert leaf.grad is not None and torch.allclose(leaf.grad, hand, rtol=1e-9, atol=1e-9)


@BOTH
@settings(max_examples=10)
@given(given_weights=weights())
def test_gradients_are_finite_differences(regularizer: Any, given_weights: Tensor) -> None:
    leaf = given_weights.clone().requires_grad_()
    assert torch.autograd.gradcheck(regularizer, (leaf,), eps=1e-6, atol=1e-4)


@given(given_weights=weights())
def test_bounds(given_weights: Tensor) -> None:
    """1 to n of n elements; 2 to rows + columns of groups."""
    assert 1 - 1e-9 <= hoyer_square(given_weights).item() <= given_weights.numel() + 1e-9
    most = given_weights.shape[0] + given_weights.shape[1]
    assert 2 - 1e-9 <= group_hoyer_square(given_weights).item() <= most + 1e-9
