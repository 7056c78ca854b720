"""Every head is a density, or adds up to one, over the whole range of features that a network can give it."""

import itertools
import math

import pytest
import torch
from parts import POSTERIORS, choices, head
from torch import Size

from vae_cli.noise import record, replay
from vae_cli.types import Real, UnitInterval, UnitSphere

FEATURES = (-100.0, -60.0, -20.0, -5.0, -0.3, -0.02, 0.0, 1e-4, 0.24, 0.26, 5.0, 16.0, 40.0, 90.0, 100.0)
MASSES = [
    name for name in choices("likelihood") if not {Real, UnitInterval} & set(head("likelihood", name, (1,)).models)
]
DENSITIES = [name for name in choices("likelihood") if name not in MASSES]


def over_features(group, choice):
    """One coordinate's distribution, [N], for every combination of extreme and mild features of a head."""
    part = head(group, choice, (1,)).double()
    num = part.param_shape.numel()
    axes = FEATURES if num < 3 else (-100.0, -0.3, 100.0)
    if num <= 5:
        rows = torch.tensor(list(itertools.product(axes, repeat=num)))
    else:
        rows = torch.tensor(axes)[torch.randint(len(axes), (200, num))]
    return part(rows.double().view(-1, *part.param_shape)).base_dist, rows


def grid_over(choice, density):
    """[G, N, 1] over all of its values, dense near both ends of an interval or near the mean."""
    if Real in head("likelihood", choice, (1,)).models:
        side = torch.logspace(-9, 7, 20_000).double()
        return density.mean + torch.cat([-side.flip(0), torch.zeros(1), side])[:, None, None]
    half = torch.cat([torch.zeros(1), torch.logspace(-9, 0, 4000)]).double() / 2
    return torch.cat([half, 1 - half.flip(0)])[:, None, None].expand(-1, *density.batch_shape)


@pytest.mark.parametrize("choice", DENSITIES)
def test_a_density_integrates_to_one_and_its_mean_is_its_mean(choice):
    density, _ = over_features("likelihood", choice)
    x = grid_over(choice, density)
    p = density.log_prob(x).exp()
    torch.testing.assert_close(torch.trapezoid(p, x, dim=0), torch.ones_like(p[0]), rtol=0, atol=1e-5)
    scale = density.stddev
    error = (torch.trapezoid(p * (x - density.mean), x, dim=0) / scale).abs()
    assert error.max() < 1e-4


@pytest.mark.parametrize("choice", MASSES)
def test_probabilities_add_up_to_one_and_their_mean_is_the_mean(choice):
    values, _ = over_features("likelihood", choice)
    count = 2 if choice == "bernoulli" else 256
    levels = torch.linspace(0, 1, count, dtype=torch.float64)[:, None, None].expand(-1, *values.batch_shape)
    p = values.log_prob(levels).exp()
    torch.testing.assert_close(p.sum(0), torch.ones_like(p[0]), rtol=0, atol=1e-9)
    torch.testing.assert_close((p * levels).sum(0), values.mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize("choice", [*DENSITIES, *MASSES])
def test_draws_have_the_mean(choice):
    """Within six standard errors and, where a value of probability 1 / 1000 may be missing, 1 / 600 of an interval."""
    values, rows = over_features("likelihood", choice)
    draws = values.sample(Size((4000,)))
    rare = 0 if Real in head("likelihood", choice, (1,)).models else 1 / 600
    excess = (draws.mean(0) - values.mean).abs() / (draws.std(0) / math.sqrt(4000) + rare / 6 + 1e-6)
    assert excess.max() < 6, rows[excess.argmax()]


@pytest.mark.parametrize(("logit", "mean"), [(-60, 0.016667), (-20, 0.05), (12, 0.916673), (-0.01, 0.499167)], ids=str)
def test_means_of_the_continuous_bernoulli(logit, mean):
    part = head("likelihood", "continuous_bernoulli", (1,))
    assert float(part(torch.tensor([float(logit)])).mean) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_where_terms_cancel(dtype):
    """ln p(0) = ln(l / (e^l - 1)), its derivative and its mean are smooth across the end of their series."""
    part = head("likelihood", "continuous_bernoulli", (1,))
    for logit in (-60.0, -0.251, -0.249, -1e-3, 0.0, 0.249, 0.251, 40.0):
        exact = torch.tensor([logit], dtype=torch.float64).where(torch.tensor(logit != 0), torch.tensor(1e-12).double())
        h = torch.tensor([logit], dtype=dtype, requires_grad=True)
        log_prob = part(h).log_prob(torch.zeros(1, dtype=dtype))
        (gradient,) = torch.autograd.grad(log_prob, h)
        expected = (exact / torch.expm1(exact)).log()
        mean = 1 / -torch.expm1(-exact) - 1 / exact if logit else torch.tensor([0.5]).double()
        tolerance = 2e-6 if dtype == torch.float32 else 1e-9
        torch.testing.assert_close(log_prob.double(), expected[0], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(gradient.double(), -mean, rtol=tolerance, atol=tolerance)  # d ln p(0) / dl = -E[x]
    assert float(part(torch.tensor([-60.0])).log_prob(torch.zeros(1))) == pytest.approx(4.0943, abs=1e-4)


@pytest.mark.parametrize(
    "choice", [name for name in POSTERIORS if UnitSphere not in head("posterior", name, (3,)).models]
)
@pytest.mark.parametrize("size", [0.1, 3.0, 30.0, 100.0])
def test_a_posterior_is_the_density_of_its_draws(choice, size):
    """ln q(z) = ln N(eps; 0, I) - ln |det dz / d eps|, whatever the features."""
    part = head("posterior", choice, (3,)).double()
    for features in size * torch.randn(4, 1, *part.param_shape).double():
        noise = record()
        with noise:
            q = part(features)
            z = q.rsample()
        (eps,) = noise.draws

        def draw(eps, features=features):
            with replay([eps]):
                return part(features).rsample()

        jacobian = torch.autograd.functional.jacobian(draw, eps).view(3, 3)
        expected = (-0.5 * eps**2 - 0.5 * math.log(2 * math.pi)).sum() - torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(q.log_prob(z)[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("choice", [name for name in POSTERIORS if UnitSphere in head("posterior", name, (3,)).models])
def test_a_density_on_the_sphere_integrates_to_one(choice):
    """Over the cosine to its direction, whatever the features; rings of the sphere in three dimensions are alike."""
    part = head("posterior", choice, (3,)).double()
    features = torch.tensor(FEATURES).double()
    q = part(torch.stack([torch.zeros_like(features), features.abs() + 1, torch.zeros_like(features), features], -1))
    below = torch.cat([torch.zeros(1), torch.logspace(-12, math.log10(2), 20_000)]).double().clamp(max=2)
    cosine = 1 - below[:, None].expand(-1, len(features))
    z = torch.stack([(1 - cosine**2).clamp(min=0).sqrt(), cosine, torch.zeros_like(cosine)], -1)
    p = 2 * math.pi * q.log_prob(z).exp()
    torch.testing.assert_close(-torch.trapezoid(p, cosine, dim=0), torch.ones_like(features), rtol=0, atol=1e-5)
    torch.testing.assert_close(-torch.trapezoid(p * cosine, cosine, dim=0), q.mean[:, 1], rtol=0, atol=1e-5)
