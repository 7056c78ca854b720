"""The mixture of posteriors, against closed forms and numerical integrals."""

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_cli.distributions.marginals import normal_marginals
from vae_cli.metrics.active import active_units
from vae_cli.metrics.aggregate import aggregate
from vae_cli.progress import silent

PLENTY = 2**30


def diagonal(means, sigmas):
    return Independent(Normal(torch.as_tensor(means).double(), torch.as_tensor(sigmas).double()), 1)


def standard(dimensions):
    return diagonal(torch.zeros(dimensions), torch.ones(dimensions))


def estimates(q, p, draws, memory=PLENTY):
    """From so many draws of each component."""
    components = torch.arange(q.batch_shape[0]).repeat(draws)
    z = q.sample(torch.Size((draws,))).flatten(0, 1)
    return aggregate(q, normal_marginals(q), p, z, components, memory, silent)


def mean(values):
    return pytest.approx(float(values.mean()), abs=5 * float(values.std()) / math.sqrt(len(values)) + 1e-9)


def test_both_sums_hold_exactly():
    q = diagonal(torch.randn(50, 3), torch.rand(50, 3) + 0.1)
    found = estimates(q, standard(3), 2)
    assert torch.allclose(found.mutual_information + found.kl_to_prior, found.kl)
    assert torch.allclose(found.total_correlation + found.dimension_wise_kl, found.kl_to_prior)


def test_one_example_tells_nothing():
    """N = 1: q(z) = q(z | x), whose dimensions are independent."""
    q = diagonal([[0.3, -2.0]], [[0.5, 1.5]])
    found = estimates(q, standard(2), 20_000)
    assert torch.allclose(found.mutual_information, torch.zeros(20_000).double())
    assert torch.allclose(found.total_correlation, torch.zeros(20_000).double())
    kl = sum(-math.log(s) + (s**2 + m**2 - 1) / 2 for m, s in ((0.3, 0.5), (-2.0, 1.5)))
    assert kl == mean(found.kl_to_prior)
    assert kl == mean(found.dimension_wise_kl)


def test_examples_far_apart_are_told_completely_and_no_more_than_that():
    """Four corners of a square, all but points: I = ln 4, the dimensions are independent; two corners: TC = ln 2."""
    square = diagonal([[-9.0, -9.0], [-9.0, 9.0], [9.0, -9.0], [9.0, 9.0]], torch.full((4, 2), 0.1))
    found = estimates(square, standard(2), 50)
    assert torch.allclose(found.mutual_information, torch.tensor(math.log(4)).double())
    assert torch.allclose(found.total_correlation, torch.zeros(200).double(), atol=1e-6)
    ends = diagonal([[-9.0, -9.0], [9.0, 9.0]], torch.full((2, 2), 0.1))
    found = estimates(ends, standard(2), 50)
    assert torch.allclose(found.mutual_information, torch.tensor(math.log(2)).double())
    assert torch.allclose(found.total_correlation, torch.tensor(math.log(2)).double())


def test_no_draw_tells_more_than_which_example_it_is():
    q = diagonal(torch.randn(30, 4), torch.rand(30, 4) * 0.3 + 0.01)
    assert estimates(q, standard(4), 10).mutual_information.max() <= math.log(30) + 1e-9


def test_a_collapsed_posterior():
    """q(z | x) = p(z): all is 0."""
    found = estimates(diagonal(torch.zeros(20, 3), torch.ones(20, 3)), standard(3), 1)
    for values in vars(found).values():
        assert torch.allclose(values, torch.zeros(20).double(), atol=1e-9)


def test_one_dimension_against_numerical_integration():
    means, sigmas = torch.tensor([-1.0, 0.4, 2.0]).double(), torch.tensor([0.5, 1.0, 0.2]).double()
    grid = torch.linspace(-12, 12, 200_001).double()
    each = torch.exp(-((grid[:, None] - means) ** 2) / (2 * sigmas**2)) / (sigmas * math.sqrt(2 * math.pi))
    mixture, prior = each.mean(1), torch.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    entropy = -torch.trapezoid(torch.xlogy(mixture, mixture), grid)
    conditional = (0.5 + 0.5 * math.log(2 * math.pi) + sigmas.log()).mean()
    kl_to_prior = -entropy - torch.trapezoid(mixture * prior.log(), grid)
    found = estimates(diagonal(means[:, None], sigmas[:, None]), standard(1), 20_000)
    assert float(entropy - conditional) == mean(found.mutual_information)
    assert float(kl_to_prior) == mean(found.kl_to_prior)
    assert torch.allclose(found.total_correlation, torch.zeros(60_000).double(), atol=1e-9)


def test_a_full_covariance():
    """One component: TC = -1/2 ln det of the correlation; the sums hold with marginals that are no product."""
    correlation = 0.8
    covariance = torch.tensor([[[4.0, 2 * correlation], [2 * correlation, 1.0]]]).double()
    q = MultivariateNormal(torch.tensor([[1.0, -1.0]]).double(), covariance)
    found = estimates(q, standard(2), 20_000)
    assert -0.5 * math.log(1 - correlation**2) == mean(found.total_correlation)
    assert torch.allclose(found.total_correlation + found.dimension_wise_kl, found.kl_to_prior)


def test_a_prior_whose_dimensions_depend_has_no_kl_of_each():
    prior = MultivariateNormal(torch.zeros(2).double(), torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double())
    found = estimates(diagonal(torch.randn(5, 2), torch.ones(5, 2)), prior, 3)
    assert found.total_correlation is None
    assert found.dimension_wise_kl is None
    assert torch.allclose(found.mutual_information + found.kl_to_prior, found.kl)


def test_memory_changes_no_estimate():
    q = diagonal(torch.randn(40, 3), torch.rand(40, 3) + 0.1)
    found = []
    for memory in (1, 50_000, PLENTY):
        torch.manual_seed(0)
        found.append(estimates(q, standard(3), 2, memory))
    for name in vars(found[0]):
        values = [getattr(one, name) for one in found]
        assert torch.equal(values[0], values[2])
        assert torch.equal(values[1], values[2])


def test_active_units_are_those_whose_mean_moves():
    means = torch.tensor([[0.0, 1.0, 0.0, -0.11], [0.0, 1.0, 0.18, 0.11]])  # variances 0, 0, 0.0081, 0.0121
    assert active_units(means).tolist() == [False, False, False, True]
