"""Contracts of every head in `conf/`, and the densities of each against the definition."""

import math

import pytest
import torch
from hydra.utils import instantiate
from parts import GAUSSIANS, HEADS, POSTERIORS, a_prior_over, choices, head, leaf
from torch.distributions import Normal, kl_divergence

from vae_cli.distributions.masked import Masked
from vae_cli.errors import ConfigError
from vae_cli.noise import record, replay
from vae_cli.types import Binary, Real, Site, Spec, UnitInterval

S, B = 3, 4


def features(part, *batch):
    return torch.randn(*batch, *part.param_shape)


@pytest.mark.parametrize(("group", "choice"), HEADS)
def test_broadcasts_over_samples_and_batch(group, choice):
    part = head(group, choice, (3,))
    h = features(part, S, B)
    distribution = part(h)
    draw = distribution.sample()
    assert (*distribution.batch_shape, *distribution.event_shape) == (S, B, 3)
    log_prob = distribution.log_prob(draw)
    one_by_one = torch.stack([torch.stack([part(h[s, b]).log_prob(draw[s, b]) for b in range(B)]) for s in range(S)])
    torch.testing.assert_close(log_prob, one_by_one)
    assert distribution.mean.shape == (S, B, 3)
    assert part.embed(draw).shape == (S, B, *part.embed_shape)


@pytest.mark.parametrize(("group", "choice"), HEADS)
def test_every_parameter_and_feature_gets_a_gradient(group, choice):
    part = head(group, choice, (3,))
    h = features(part, B).requires_grad_()
    distribution = part(h)
    distribution.log_prob(torch.rand(B, 3).round() if group == "likelihood" else torch.randn(B, 3)).sum().backward()
    assert h.grad is not None
    assert (h.grad != 0).all()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in part.parameters())


@pytest.mark.parametrize(("group", "choice"), HEADS)
def test_sample_mean_is_the_mean(group, choice):
    part = head(group, choice, (3,))
    distribution = part(0.5 * features(part))
    draws = distribution.sample(torch.Size((40_000,)))
    error = (draws.mean(0) - distribution.mean).abs() / draws.std(0)
    assert error.max() < 5 / math.sqrt(40_000)


@pytest.mark.parametrize(("group", "choice"), HEADS)
def test_replay_is_the_original_alone_and_under_vmap(group, choice):
    """Noise can be handed in: the law that many runs at once stand on."""
    part = head(group, choice, (3,))
    h = features(part, S, B)

    def draw(one):
        distribution = part(one)
        value = distribution.rsample() if distribution.has_rsample else distribution.sample()
        return value, distribution.log_prob(value)

    noise = record()
    with noise:
        value, log_prob = draw(h)
    with replay(noise.draws):
        torch.testing.assert_close(draw(h), (value, log_prob), rtol=0, atol=0)

    def with_noise(one, drawn):
        with replay(drawn):
            return draw(one)

    # torch.multinomial folds the batch axes into one: here they are taken apart again, sample by sample
    draws = [drawn if len(drawn) == S else drawn.unflatten(0, (S, -1)) for drawn in noise.draws]
    vmapped = torch.func.vmap(with_noise, in_dims=(0, 0), randomness="error")(h, draws)
    torch.testing.assert_close(vmapped, (value, log_prob))


@pytest.mark.parametrize("choice", choices("likelihood"))
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_features_give_finite_likelihoods(choice, extreme):
    part = head("likelihood", choice, (3,))
    distribution = part(torch.full((B, *part.param_shape), extreme))
    assert distribution.log_prob(torch.ones(B, 3)).isfinite().all()
    assert distribution.sample().isfinite().all()


@pytest.mark.parametrize("choice", POSTERIORS)
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_features_give_finite_divergences(choice, extreme):
    part = head("posterior", choice, (3,))
    q = part(torch.full((B, *part.param_shape), extreme))
    value = q.rsample(torch.Size((S,)))
    assert q.log_prob(value).isfinite().all()
    assert q.log_prob(value.detach().clone()).isfinite().all()
    assert Site(value, q, a_prior_over(part)).kl().isfinite().all()


def test_bernoulli_is_the_cross_entropy_summed():
    part = head("likelihood", "bernoulli", (1, 2, 2))
    logits, x = torch.randn(B, 1, 2, 2, dtype=torch.float64), torch.rand(B, 1, 2, 2).round().double()
    p = 1 / (1 + torch.exp(-logits))
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))
    torch.testing.assert_close(part(logits).log_prob(x), expected)


@pytest.mark.parametrize("choice", [name for name in choices("likelihood") if name.startswith("gaussian")])
def test_gaussians_keep_their_constants(choice):
    """-D/2 ln(2 pi) - sum ln sigma - |x - mu|^2 / (2 sigma^2), sigma = 0.1 where it is shared (1 before training)."""
    part = head("likelihood", choice, (2, 2, 2)).double()
    h, x = torch.randn(B, *part.param_shape, dtype=torch.float64), torch.randn(B, 2, 2, 2, dtype=torch.float64)
    mean = h[:, :2]
    log_sigma = 10 * torch.tanh(h[:, 2:] / 10) if choice == "gaussian_pixel" else shared(choice, mean)
    squares = (x - mean) ** 2 / (2 * (2 * log_sigma).exp())
    expected = (-0.5 * math.log(2 * math.pi) - log_sigma - squares).sum((1, 2, 3))
    torch.testing.assert_close(part(h).log_prob(x), expected, rtol=1e-6, atol=1e-6)


def shared(choice, mean):
    return torch.full_like(mean, math.log(1.0 if choice == "gaussian_optimal" else 0.1))


def gaussian(choice, support, **changed):
    return instantiate(leaf("likelihood", choice), **changed)(Spec(torch.Size((3,)), support))


@pytest.mark.parametrize("choice", [name for name in choices("likelihood") if name.startswith("gaussian")])
def test_squashed_means_are_sigmoids(choice):
    part = gaussian(choice, UnitInterval(), squash=True).eval()
    h = features(part, B)
    torch.testing.assert_close(part(h).mean, 1 / (1 + torch.exp(-h[:, :3])))
    with pytest.raises(ConfigError, match="x holds real numbers: use squash=false"):
        gaussian(choice, Real(), squash=True)


def test_optimal_sigma_is_the_root_mean_squared_error_of_the_batch():
    """In training ln p = -D/2 ln(2 pi e sigma^2) summed over the batch, with sigma^2 the mean squared error."""
    part = gaussian("gaussian_optimal", Real(), momentum=0.25).train()
    h, x = torch.randn(2, B, 3, requires_grad=True), torch.randn(B, 3)
    variance = (x - h).square().mean()
    found = part(h).log_prob(x).sum()
    expected = -0.5 * 2 * B * 3 * torch.log(2 * math.pi * math.e * variance)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)  # ln sigma is softly above -6
    (gradient,) = torch.autograd.grad(found, h, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, h)[0], rtol=1e-2, atol=1e-6)


def test_optimal_sigma_is_averaged_for_evaluation():
    """The first batches weigh alike, then the latest has the weight of the momentum: the average forgets the start."""
    part = gaussian("gaussian_optimal", Real(), momentum=0.4).train()
    expected = 0.0
    for scale, weight in ((9.0, 1.0), (2.0, 0.5), (4.0, 0.4), (1.0, 0.4)):
        part(torch.zeros(1, 1000, 3)).log_prob(torch.full((1000, 3), scale))
        expected += weight * (scale**2 - expected)
    sigma = float(part.eval()(torch.zeros(1, 3)).base_dist.scale[0, 0])
    assert sigma**2 == pytest.approx(expected, rel=1e-2)
    before = part.variance.clone()
    one, other = part(torch.zeros(2, 3)).log_prob(torch.tensor([[1.0] * 3, [9.0] * 3]))
    torch.testing.assert_close(one, part(torch.zeros(1, 3)).log_prob(torch.ones(1, 3))[0])
    assert other < one
    assert torch.equal(part.variance, before), "evaluation learns nothing"


def test_optimal_sigma_of_a_perfect_fit_has_a_gradient():
    part = gaussian("gaussian_optimal", Real()).train()
    h = torch.randn(1, B, 3, requires_grad=True)
    part(h).log_prob(h[0].detach()).sum().backward()
    assert h.grad.isfinite().all()


def test_bernoulli_may_start_at_the_mean_example():
    mean = torch.tensor([0.0, 0.3, 1.0])
    for from_mean, start in ((True, mean.clamp(0.001, 0.999)), (False, torch.full((3,), 0.5))):
        part = instantiate(leaf("likelihood", "bernoulli"), from_mean=from_mean)(Spec(mean.shape, Binary(), mean=mean))
        torch.testing.assert_close(part(torch.zeros(B, 3)).mean, start.expand(B, 3))


def test_delta_is_its_features():
    part = head("posterior", "delta", (3,))
    h = torch.randn(B, 3, requires_grad=True)
    q = part(h)
    assert (*q.batch_shape, *q.event_shape) == (B, 3)
    z = q.rsample(torch.Size((S,)))
    assert torch.equal(z, h.expand(S, B, 3))
    assert torch.equal(q.mean, h)
    z.sum().backward()
    assert (h.grad == S).all()
    with pytest.raises(ConfigError, match="use objective=reconstruction"):
        q.log_prob(z)


MASSES = ["categorical", "discretized_logistic", "logistic_mixture"]


@pytest.mark.parametrize("choice", MASSES)
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_probabilities_of_levels_add_up_to_one(choice, size):
    part = head("likelihood", choice, (2, 1, 2))
    levels = torch.linspace(0, 1, 256, dtype=torch.float64)[:, None, None, None, None].expand(-1, B, 2, 1, 2)
    values = part(size * features(part, B).double()).base_dist
    probabilities = values.log_prob(levels).exp()
    torch.testing.assert_close(probabilities.sum(0), torch.ones(B, 2, 1, 2).double(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(values.mean, (probabilities * levels).sum(0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("choice", MASSES)
def test_samples_are_levels_with_their_probabilities(choice):
    part = head("likelihood", choice, (2,))
    values = part(features(part)).base_dist
    draws = values.sample(torch.Size((100_000,))) * 255
    torch.testing.assert_close(draws, draws.round(), rtol=0, atol=1e-4)
    levels = torch.linspace(0, 1, 256)[:, None].expand(-1, 2)
    expected = values.log_prob(levels).exp()
    frequencies = torch.stack([(draws.round() == level).float().mean(0) for level in range(256)])
    assert ((frequencies - expected).abs() <= 5 * (expected / 100_000).sqrt() + 1e-4).all()


def test_discretized_logistic_is_the_difference_of_two_sigmoids():
    """sigma((x + 1/2 step - mu) / s) - sigma((x - 1/2 step - mu) / s), written out at moderate arguments."""
    part = head("likelihood", "discretized_logistic", (3,))
    h = torch.randn(B, 6, dtype=torch.float64)
    mean, scale = h[:, :3], torch.exp(10 * torch.tanh(h[:, 3:] / 10))
    x = torch.tensor([0.0, 100 / 255, 1.0]).double().expand(B, 3)
    upper = torch.sigmoid((x + 0.5 / 255 - mean) / scale)
    lower = torch.sigmoid((x - 0.5 / 255 - mean) / scale)
    upper[:, 2], lower[:, 0] = 1.0, 0.0
    torch.testing.assert_close(part(h).log_prob(x), (upper - lower).log().sum(1))


def test_laplace_keeps_its_constant():
    part = head("likelihood", "laplace", (3,))
    h, x = torch.randn(B, 3), torch.randn(B, 3)
    expected = (-math.log(2 * 0.1) - (x - h).abs() / 0.1).sum(1)
    torch.testing.assert_close(part(h).log_prob(x), expected)


def test_learned_sigma_finds_the_standard_deviation():
    part = head("likelihood", "gaussian_learned", (5,))
    x = 0.7 * torch.randn(2000, 5)
    optimizer = torch.optim.Adam(part.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-part(torch.zeros(2000, 5)).log_prob(x).mean()).backward()
        optimizer.step()
    learned = part(torch.zeros(1, 5)).base_dist.scale[0, 0].detach()
    assert float(learned) == pytest.approx(float(x.std()), rel=0.02)


@pytest.mark.parametrize("choice", GAUSSIANS)
def test_posterior_is_mu_plus_l_eps(choice):
    """z = mu + L eps, and ln q(z) = ln q0(eps) - ln |det L|, literally."""
    part = head("posterior", choice, (4,)).double()
    h = torch.randn(B, *part.param_shape, dtype=torch.float64)
    noise = record()
    with noise:
        q = part(h)
        z = q.rsample(torch.Size((S,)))
    (eps,) = noise.draws
    mu, tril = h[:, :4], written_out(choice, h)
    torch.testing.assert_close(z, mu + torch.einsum("bij,sbj->sbi", tril, eps))
    log_q0 = (-0.5 * eps**2 - 0.5 * math.log(2 * math.pi)).sum(-1)
    torch.testing.assert_close(q.log_prob(z), log_q0 - torch.linalg.det(tril).abs().log())


@pytest.mark.parametrize("choice", GAUSSIANS)
def test_kl_to_the_prior_in_closed_form(choice):
    """1/2 (tr(L L^T) + |mu|^2 - d) - ln |det L|; zero for q = p; the Monte Carlo mean of ln q - ln p."""
    part = head("posterior", choice, (4,)).double()
    h = torch.randn(B, *part.param_shape, dtype=torch.float64)
    mu, tril = h[:, :4], written_out(choice, h)
    p = a_prior_over(part)
    covariance = tril @ tril.mT
    expected = 0.5 * (torch.einsum("bii->b", covariance) + (mu**2).sum(1) - 4) - torch.linalg.det(tril).abs().log()
    q = part(h)
    torch.testing.assert_close(kl_divergence(q, p), expected)
    torch.testing.assert_close(kl_divergence(part(torch.zeros_like(h)), p), torch.zeros(B).double())
    z = q.sample(torch.Size((200_000,)))
    ratio = q.log_prob(z) - p.log_prob(z)
    assert ((ratio.mean(0) - expected).abs() < 5 * ratio.std(0) / math.sqrt(200_000)).all()


def test_kl_to_a_diagonal_gaussian_in_closed_form():
    part = head("posterior", "cholesky", (4,)).double()
    h = torch.randn(B, *part.param_shape, dtype=torch.float64)
    loc, scale = torch.randn(4).double(), torch.rand(4).double() + 0.5
    p = torch.distributions.Independent(Normal(loc, scale), 1)
    as_full = torch.distributions.MultivariateNormal(loc, scale_tril=torch.diag(scale))
    torch.testing.assert_close(kl_divergence(part(h), p), kl_divergence(part(h), as_full))


def test_masked_leaves_out_what_is_not_counted():
    base = head("likelihood", "bernoulli", (2, 2))(torch.randn(B, 2, 2))
    x, mask = torch.rand(B, 2, 2).round(), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    counted = base.base_dist.log_prob(x)[:, mask.bool()].sum(1)
    missing = torch.where(mask.bool(), x, torch.nan)
    torch.testing.assert_close(Masked(base, mask).log_prob(missing), counted)
    torch.testing.assert_close(Masked(base, torch.ones(2, 2)).log_prob(x), base.log_prob(x))


def test_masked_refuses_what_does_not_factorise():
    full = head("posterior", "cholesky", (3,))(torch.randn(B, 9))
    with pytest.raises(ConfigError, match="MultivariateNormal is not"):
        Masked(full, torch.ones(3))


def written_out(choice, h):
    """L of a posterior over four dimensions, entry by entry; for low_rank the R of the paper's appendix."""
    tril = torch.zeros(len(h), 4, 4, dtype=h.dtype)
    scale = torch.exp(10 * torch.tanh(h[:, 4:] / 10))
    if choice == "low_rank":
        rows = zip(scale[:, :4], 10 * torch.tanh(h[:, 8:] / 10), strict=True)
        return torch.stack([factor(torch.diag(s), v / s) for s, v in rows])
    lower = iter(range(8, 14))
    for row in range(4):
        tril[:, row, row] = scale[:, 0 if choice == "isotropic" else row]
        for column in range(row if choice == "cholesky" else 0):
            tril[:, row, column] = h[:, next(lower)]
    return tril


def factor(s, u):
    """R = D^-1/2 - (1 - sqrt(eta)) / (u^T D^-1 u) D^-1 u u^T D^-1/2 (Rezende et al. 2014), s = D^-1/2."""
    size = u @ s @ s @ u
    return s - (1 - (1 / (1 + size)).sqrt()) / size * torch.outer(s @ s @ u, u) @ s
