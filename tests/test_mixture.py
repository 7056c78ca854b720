"""Mixtures of Gaussians by products of matrices, against torch's and against the definition."""

import math

import pytest
import torch
from hydra.utils import instantiate
from parts import leaf
from torch import Size
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae_cli.distributions.mixture import GaussianMixture
from vae_cli.noise import by_example
from vae_cli.types import Real, Spec

K, Z = 4, 3


def pair(*batch, dtype=torch.float64):
    """Ours and torch's."""
    logits, mean = torch.randn(*batch, K, dtype=dtype), 2 * torch.randn(*batch, K, Z, dtype=dtype)
    scale = torch.rand(*batch, K, Z, dtype=dtype) + 0.2
    expected = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(mean, scale), 1))
    return GaussianMixture(logits.log_softmax(-1), mean, scale), expected


@pytest.mark.parametrize("batch", [(), (5,)])
def test_densities_and_moments_are_those_of_torch(batch):
    mixture, expected = pair(*batch)
    value = 3 * torch.randn(7, 5, Z, dtype=torch.float64)
    torch.testing.assert_close(mixture.log_prob(value), expected.log_prob(value))
    torch.testing.assert_close(mixture.mean, expected.mean)
    torch.testing.assert_close(mixture.variance, expected.variance)
    wider = mixture.expand(Size((6, *batch)))
    assert (wider.batch_shape, wider.event_shape) == ((6, *batch), (Z,))
    torch.testing.assert_close(wider.log_prob(value[:6, :1] if batch else value[0, 0]).shape, Size((6, *batch)))


def test_gradients_are_those_of_torch():
    value, logits, mean = torch.randn(6, Z).double(), torch.randn(K).double(), torch.randn(K, Z).double()
    scale = torch.rand(K, Z).double() + 0.2
    inputs = [part.requires_grad_() for part in (value, logits, mean, scale)]
    ours = GaussianMixture(logits.log_softmax(-1), mean, scale).log_prob(value)
    theirs = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(mean, scale), 1)).log_prob(value)
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(theirs.sum(), inputs))


def test_terms_that_cancel_lose_nothing():
    """z^2 / s^2 = 2.5e7 for z = 5 and s = 0.001, and what is left of it are a few nats."""
    mean = torch.tensor([[5.0, -5.0], [4.999, -5.001], [0.0, 0.0]])
    scale, value = torch.full((3, 2), 1e-3), mean[0] + 1e-3 * torch.randn(100, 2)
    found = GaussianMixture(torch.full((3,), 1 / 3).log(), mean, scale).log_prob(value)
    z = (value[:, None].double() - mean.double()) / scale.double()
    direct = -0.5 * z.square().sum(-1) - 2 * math.log(1e-3) - math.log(2 * math.pi)
    direct = direct.clamp(min=-1e6).logsumexp(-1) - math.log(3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), direct, rtol=0, atol=1e-4)


@pytest.mark.parametrize("by_examples", [False, True])
def test_draws_come_from_components_by_their_weights(by_examples):
    weights = torch.tensor([0.5, 0.0, 0.2, 0.3])
    mean = torch.tensor([[-30.0, 0.0], [-10.0, 0.0], [10.0, 0.0], [30.0, 0.0]])
    scale = torch.tensor([[1.0, 2.0], [1.0, 1.0], [0.5, 1.0], [2.0, 0.1]])
    mixture = GaussianMixture(weights.log(), mean, scale).expand(Size((2,)))
    with by_example(["a", "b"], 0) if by_examples else torch.no_grad():
        draws = mixture.sample(Size((40_000,)))
    component = ((draws[..., 0] + 40) / 20).floor().long()
    for example in (0, 1):
        shares = torch.bincount(component[:, example], minlength=4) / 40_000
        torch.testing.assert_close(shares, weights, rtol=0, atol=5 * 0.5 / math.sqrt(40_000))
        for number in (0, 2, 3):
            within = draws[component[:, example] == number, example]
            torch.testing.assert_close(within.std(0), scale[number], rtol=0.05, atol=0)
            torch.testing.assert_close(within.mean(0), mean[number], rtol=0, atol=0.1)
    assert not torch.equal(draws[:, 0], draws[:, 1])


def test_batches_have_mixtures_of_their_own():
    mixture, expected = pair(5)
    draws = mixture.sample(Size((40_000,)))
    error = (draws.mean(0) - expected.mean).abs() / expected.stddev
    assert error.max() < 5 / math.sqrt(40_000)
    torch.testing.assert_close(draws.var(0), expected.variance, rtol=0.1, atol=0)


# ---- as priors -----------------------------------------------------------------------------------------------------


def prior(choice, condition=None, **changed):
    latent, data = Spec(Size((Z,)), Real()), Spec(Size((9,)), Real(), condition=condition)
    return instantiate(leaf("prior", choice), **changed)(latent, data)


def test_a_mixture_starts_about_as_wide_as_the_standard_normal_with_components_apart():
    part = prior("mixture", components=2000)
    p = part(None, None)
    torch.testing.assert_close(p.mean, torch.zeros(Z), rtol=0, atol=0.06)
    torch.testing.assert_close(p.variance, torch.ones(Z), rtol=0.05, atol=0)
    torch.testing.assert_close(p.log_weights.exp(), torch.full((2000,), 1 / 2000))
    assert len(part.mean.unique(dim=0)) == 2000
    torch.testing.assert_close(part.mean.std(), torch.tensor(0.5), rtol=0.05, atol=0)


def test_a_mixture_finds_the_clusters_of_its_values():
    torch.manual_seed(0)
    part = prior("mixture", components=3)
    centres = torch.tensor([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    values = centres[torch.arange(600) % 3] + 0.2 * torch.randn(600, Z)
    optimizer = torch.optim.Adam(part.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-part(None, None).log_prob(values).mean()).backward()
        optimizer.step()
    found = part(None, None)
    nearest = torch.cdist(centres, found.component_mean.detach()).min(1)
    assert nearest.values.max() < 0.1
    assert nearest.indices.unique().numel() == 3
    torch.testing.assert_close(found.component_scale, torch.full((3, Z), 0.2), rtol=0.2, atol=0)


def test_a_conditional_mixture_reads_its_parts_off_the_condition():
    part = prior("conditional_mixture", Size((2,)), components=4)
    c = torch.eye(2)
    p, parts = part(c, None), part.network(c)
    logits, mean, log_scale = parts[..., 0], parts[..., 1 : 1 + Z], parts[..., 1 + Z :]
    scale = torch.exp(10 * torch.tanh(log_scale / 10))
    expected = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(mean, scale), 1))
    value = torch.randn(7, 2, Z)
    torch.testing.assert_close(p.log_prob(value), expected.log_prob(value))
    assert not torch.allclose(p.mean[0], p.mean[1])
