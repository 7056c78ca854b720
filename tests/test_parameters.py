"""Densities written out from the parameters that a distribution is known by, as the words say."""

import math

import pytest
import torch
from parts import choices, head
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution
from torch.nn import functional as F

from vae_cli.distributions.parameters import formula_of, parameters_of, posterior_of
from vae_cli.types import Site

LN_2_PI = math.log(2 * math.pi)


def gaussian(x, p):
    return (-0.5 * ((x - p["mean"]) / p["scale"]) ** 2 - p["scale"].log() - 0.5 * LN_2_PI).sum(-1)


def full_gaussian(x, p):
    covariance = p["scale_tril"] @ p["scale_tril"].mT
    distance = x - p["mean"]
    quadratic = torch.einsum("bi,bij,bj->b", distance, torch.linalg.inv(covariance), distance)
    return -0.5 * (quadratic + torch.logdet(covariance) + x.shape[-1] * LN_2_PI)


def low_rank(x, p):
    s = torch.diag_embed(p["scale"].reciprocal())
    v = p["direction"]
    precision = s @ (torch.eye(x.shape[-1]).double() + v[..., None] * v[..., None, :]) @ s
    distance = x - p["mean"]
    quadratic = torch.einsum("bi,bij,bj->b", distance, precision, distance)
    return -0.5 * (quadratic - torch.logdet(precision) + x.shape[-1] * LN_2_PI)


def von_mises_fisher(x, p):
    """Of three dimensions, where the normaliser is kappa / (4 pi sinh kappa)."""
    kappa = p["concentration"].squeeze(-1)
    return kappa * (p["direction"] * x).sum(-1) + kappa.log() - math.log(4 * math.pi) - kappa.sinh().log()


def laplace(x, p):
    return (-(x - p["mean"]).abs() / p["scale"] - (2 * p["scale"]).log()).sum(-1)


def bernoulli(x, p):
    torch.testing.assert_close(p["mean"], torch.sigmoid(p["logits"]))
    return torch.where(x == 1, p["mean"], 1 - p["mean"]).log().sum(-1)


def continuous_bernoulli(x, p):
    grid = (torch.arange(100_000).double() + 0.5) / 100_000
    normalizer = (p["logits"][..., None] * grid).exp().mean(-1)
    return (p["logits"] * x - normalizer.log()).sum(-1)


def logistic_mass(x, p):
    """Of 256 levels."""
    upper, lower = (torch.sigmoid((x + half - p["loc"]) / p["scale"]) for half in (0.5 / 255, -0.5 / 255))
    return torch.where(x == 1, 1, upper) - torch.where(x == 0, 0, lower)


def discretized_logistic(x, p):
    return logistic_mass(x, p).log().sum(-1)


def logistic_mixture(x, p):
    return (torch.softmax(p["logits"], -1) * logistic_mass(x[..., None], p)).sum(-1).log().sum(-1)


def categorical(x, p):
    levels = (255 * x).round().long()[..., None]
    return torch.log_softmax(p["logits"], -1).gather(-1, levels).sum((-2, -1))


DENSITIES = {
    ("posterior", "isotropic"): gaussian,
    ("posterior", "diagonal"): gaussian,
    ("posterior", "cholesky"): full_gaussian,
    ("posterior", "low_rank"): low_rank,
    ("posterior", "von_mises_fisher"): von_mises_fisher,
    ("likelihood", "bernoulli"): bernoulli,
    ("likelihood", "continuous_bernoulli"): continuous_bernoulli,
    ("likelihood", "laplace"): laplace,
    ("likelihood", "discretized_logistic"): discretized_logistic,
    ("likelihood", "logistic_mixture"): logistic_mixture,
    ("likelihood", "categorical"): categorical,
    **{("likelihood", name): gaussian for name in choices("likelihood") if name.startswith("gaussian")},
}
FLOWS = ("iaf", "spline")
WITHOUT_A_DENSITY = ("delta", *FLOWS)  # that follows from numbers of an example alone
KINDS = [
    (group, name) for group in ("posterior", "likelihood") for name in choices(group) if name not in WITHOUT_A_DENSITY
]


@pytest.mark.parametrize(("group", "choice"), KINDS)
def test_the_density_follows_from_the_parameters(group, choice):
    part = head(group, choice, (3,)).double()
    distribution = part(torch.randn(5, *part.param_shape, dtype=torch.float64))
    x = torch.tensor([0.0, 100 / 255, 1.0]).double().expand(5, 3)
    if choice == "bernoulli":
        x = x.round()
    if choice == "von_mises_fisher":
        x = F.normalize(x, dim=-1)
    parameters = parameters_of(distribution)
    expected = DENSITIES[group, choice](x, parameters)
    torch.testing.assert_close(distribution.log_prob(x), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parameters["mean"], distribution.mean)
    words = formula_of(distribution)
    assert all(name in words for name in parameters if name != "mean"), "the formula speaks of them all"


def test_a_point_is_its_mean():
    part = head("posterior", "delta", (3,))
    h = torch.randn(5, 3)
    assert [*parameters_of(part(h))] == ["mean"]
    assert torch.equal(parameters_of(part(h))["mean"], h)


@pytest.mark.parametrize("choice", FLOWS)
def test_a_flow_is_known_by_its_mean(choice):
    part = head("posterior", choice, (3,))
    q = part(torch.randn(5, *part.param_shape))
    assert [*parameters_of(q)] == ["mean"]
    assert torch.equal(parameters_of(q)["mean"], q.mean)
    assert "estimate" in formula_of(q)


def test_another_kind_is_known_by_nothing():
    other = TransformedDistribution(Normal(torch.zeros(2, 3), 1.0), [TanhTransform()])
    assert parameters_of(Independent(other, 1)) == {}
    assert formula_of(other) == ""


def test_a_posterior_below_another_has_its_parameters_by_example():
    mean, scale = torch.randn(1, 5, 3), F.softplus(torch.randn(1, 5, 3))
    q = Independent(Normal(mean, scale), 1)
    found = posterior_of(Site(q.sample(), q, q))
    assert torch.equal(found["mean"], mean[0])
    assert torch.equal(found["scale"], scale[0])
