"""Objectives on the aggregate posterior: against the formulas in numpy, closed forms and laws."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ppca import DATA, SIGMA, Affine, diagonal_gaussian, linear_gaussian
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Size
from torch.distributions import Distribution, Independent, Normal

from vae_cli.distributions.covariance import covariance
from vae_cli.errors import ConfigError
from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.objectives.beta_tc import BetaTC, _stratified
from vae_cli.objectives.dip import DIPOfDraws, DIPOfMeans
from vae_cli.objectives.info import Info, squared_mmd
from vae_cli.priors.conditional import Conditional
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Parts, Site, Trace


def correlated():
    """Posterior means of which two dimensions follow each other, and narrow posteriors."""
    model = diagonal_gaussian()
    with torch.no_grad():
        weight, bias = model.encoder.linear.weight, model.encoder.linear.bias
        weight[:4] *= 3
        weight[1] = weight[0] + 0.1 * weight[1]
        bias[4:] -= 1.5
    return model


def same_draws(model, batch):
    """The trace that an objective sees after `torch.manual_seed(1)`."""
    torch.manual_seed(1)
    return model(batch)


def terms_of(objective, model, x, **weights):
    torch.manual_seed(1)
    return objective(model, Batch(x), weights)


def conditional():
    """A prior that the condition moves; x [6, 5] comes with three conditions."""
    data = replace(DATA, condition=Size((3,)))
    prior = lambda latent, spec: Conditional(latent, spec, width=1, depth=0, activation="relu")
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    model = Single(data, Parts(4, Affine, Affine, likelihood, Diagonal, prior, Affine)).double()
    return model, Batch(torch.randn(6, 5).double(), c=torch.eye(3).double().repeat(2, 1))


# ---- beta-TCVAE ----------------------------------------------------------------------------------------------------


def beta_tc(model, examples=100, **changed):
    keys = {"beta": 1.0, "alpha": 1.0, "gamma": 1.0, "estimator": "stratified", **changed}
    return BetaTC(replace(DATA, size=examples), model, **keys)


def densities(model, x):
    """Ln q(z_mj | x_n) in numpy, [B, B, Z], and ln p(z_m), [B]."""
    site = same_draws(model, Batch(x)).sites["z"]
    z, q = site.value[0].detach().numpy(), model.infer(x)
    mean, sigma = q.mean.detach().numpy(), q.stddev.detach().numpy()
    return norm.logpdf(z[:, None], mean, sigma), norm.logpdf(z).sum(1)


def three_parts(log_q, log_p, weights):
    """Of q(z_m) = sum_n weights[m, n] q(z_m | x_n)."""
    mixture = logsumexp(log_q.sum(2), axis=1, b=weights)
    marginals = logsumexp(log_q, axis=1, b=weights[..., None]).sum(1)
    told = np.diagonal(log_q.sum(2))
    return {
        "mutual_information": (told - mixture).mean(),
        "total_correlation": (mixture - marginals).mean(),
        "dimension_wise_kl": (marginals - log_p).mean(),
    }


def assert_parts(terms, expected):
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-9), name


def test_the_whole_data_set_as_one_batch_is_exact():
    """Chen et al. (2018), eq. 2."""
    model, x = correlated(), torch.randn(60, 5).double()
    expected = three_parts(*densities(model, x), np.full((60, 60), 1 / 60))
    assert expected["total_correlation"] > 1
    assert_parts(terms_of(beta_tc(model, examples=60), model, x, beta=1.0), expected)


def test_batches_come_near_the_whole_data_set_where_the_weights_of_the_authors_code_do_not():
    """Total correlation of 1000 examples, from 40 batches of 50."""
    model, x = correlated(), torch.randn(1000, 5).double()
    log_q, log_p = densities(model, x)
    exact = three_parts(log_q, log_p, np.full((1000, 1000), 1 / 1000))["total_correlation"]
    site, q = same_draws(model, Batch(x)).sites["z"], model.infer(x).base_dist
    special = (1000 - 49) / (1000 * 49)
    theirs = np.full((50, 50), 1 / 49)
    theirs[:, 0], theirs[:, 1], theirs[48, 0] = 1 / 1000, special, special
    ours, wrong = [], []
    for _ in range(40):
        rows = torch.randperm(1000)[:50]
        part = Site(site.value[:, rows], normal(q.loc[rows], q.scale[rows]), site.p)
        trace = Trace(Batch(x[rows]), {"z": part}, normal(torch.zeros(1, 50, 5).double(), 1.0))
        ours.append(
            beta_tc(model, examples=1000)(always(trace), trace.batch, {"beta": 1.0})["total_correlation"].item()
        )
        wrong.append(three_parts(log_q[np.ix_(rows, rows)], log_p[rows], theirs)["total_correlation"])
    assert abs(np.mean(ours) - exact) < 0.3 < 0.7 < abs(np.mean(wrong) - exact)


@pytest.mark.parametrize("examples", [60, 1000])
def test_the_example_itself_weighs_one_in_all_training_examples(examples):
    """Whatever the batch: so it is in validation too."""
    model, x = correlated(), torch.randn(7, 5).double()
    weights = np.full((7, 7), (examples - 1) / (examples * 6))
    np.fill_diagonal(weights, 1 / examples)
    assert_parts(
        terms_of(beta_tc(model, examples=examples), model, x, beta=1.0), three_parts(*densities(model, x), weights)
    )


def test_weighted_sampling_against_the_formula():
    model, x = correlated(), torch.randn(7, 5).double()
    expected = three_parts(*densities(model, x), np.full((7, 7), 1 / (1000 * 7)))
    assert_parts(terms_of(beta_tc(model, examples=1000, estimator="weighted"), model, x, beta=1.0), expected)


@pytest.mark.parametrize("batch", [2, 3, 6])
def test_stratified_sampling_is_unbiased(batch):
    """The mean of q(z) over every batch of so many of six examples that the first one is in: 1/6 of all densities."""
    density = torch.rand(6).double()
    estimates = []
    for others in itertools.combinations(range(1, 6), batch - 1):
        each = density[[0, *others]].log().expand(batch, batch)  # a row for every draw
        estimates.append((_stratified(each, 6) + each).exp().sum(1)[0])
    torch.testing.assert_close(torch.stack(estimates).mean(), density.mean())


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
@pytest.mark.parametrize("examples", [1, 7, 1000])
@pytest.mark.parametrize("batch", [1, 7])
def test_the_three_parts_are_the_kl_of_the_same_draws(estimator, examples, batch):
    model, x = correlated(), torch.randn(batch, 5).double()
    terms = terms_of(beta_tc(model, examples=examples, estimator=estimator), model, x, beta=1.0)
    site = same_draws(model, Batch(x)).sites["z"]
    kl = (site.q.log_prob(site.value) - Normal(0.0, 1.0).log_prob(site.value).sum(-1)).mean()
    parts = terms["mutual_information"] + terms["total_correlation"] + terms["dimension_wise_kl"]
    torch.testing.assert_close(parts, kl)
    torch.testing.assert_close(terms["loss"], kl - terms["reconstruction"])


def test_each_part_has_its_weight():
    model, x = correlated(), torch.randn(7, 5).double()
    terms = terms_of(beta_tc(model, beta=6.0, alpha=0.5, gamma=2.0), model, x, beta=6.0)
    penalty = 0.5 * terms["mutual_information"] + 6 * terms["total_correlation"] + 2 * terms["dimension_wise_kl"]
    torch.testing.assert_close(terms["loss"], penalty - terms["reconstruction"])
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


def test_a_batch_of_one_tells_of_each_dimension_alone():
    model, x = correlated(), torch.randn(1, 5).double()
    terms = terms_of(beta_tc(model), model, x, beta=6.0)
    assert terms["mutual_information"].item() == pytest.approx(0, abs=1e-12)
    assert terms["total_correlation"].item() == pytest.approx(0, abs=1e-12)
    terms["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_beta_tc_needs_dimensions_that_are_independent_and_one_prior():
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    with pytest.raises(ConfigError, match=r"MultivariateNormal and Independent are not both.*use posterior=diagonal"):
        terms_of(beta_tc(model), model, x, beta=1.0)
    model, batch = conditional()
    with pytest.raises(ConfigError, match="this prior depends on the condition: use prior=standard"):
        beta_tc(model)(model, batch, {"beta": 1.0})


# ---- DIP-VAE -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [linear_gaussian, correlated])
@pytest.mark.parametrize("objective", [DIPOfMeans, DIPOfDraws])
def test_dip_penalises_the_covariance_over_examples(make, objective):
    """Kumar et al. (2018), eqs. 6 and 7, with the mean over the batch as the expectation."""
    model, x = make(), torch.randn(9, 5).double()
    terms = terms_of(objective(DATA, model, lambda_od=3.0, lambda_d_factor=4.0), model, x)
    q = model.infer(x)
    expected = np.cov(q.mean.detach().numpy(), rowvar=False, bias=True)
    if objective is DIPOfDraws:
        within = q.covariance_matrix if make is linear_gaussian else torch.diag_embed(q.variance)
        expected += within.detach().numpy().mean(0)
    diagonal = ((np.diagonal(expected) - 1) ** 2).sum()
    off_diagonal = (expected**2).sum() - (np.diagonal(expected) ** 2).sum()
    assert terms["squared_covariances"].item() == pytest.approx(off_diagonal)
    assert terms["variances_from_one"].item() == pytest.approx(diagonal)
    torch.testing.assert_close(terms["loss"], 3 * off_diagonal + 12 * diagonal - terms["elbo"])


@pytest.mark.parametrize("make", [linear_gaussian, correlated])
def test_the_second_covariance_is_that_of_draws(make):
    model, x = make(), torch.randn(6, 5).double()
    q = model.infer(x)
    draws = q.sample(Size((50_000,))).flatten(0, 1).numpy()
    found = np.cov(q.mean.detach().numpy(), rowvar=False, bias=True) + covariance(q).detach().numpy().mean(0)
    np.testing.assert_allclose(found, np.cov(draws, rowvar=False), rtol=0.05, atol=0.02)


def test_a_covariance_that_is_the_identity_costs_nothing():
    """Four means at the corners of a square, and posteriors that are points."""
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).double()
    site = Site(corners.unsqueeze(0), normal(corners, 1e-9), normal(torch.zeros(2).double(), 1.0))
    trace = Trace(Batch(torch.zeros(4, 1).double()), {"z": site}, normal(torch.zeros(1, 4, 1).double(), 1.0))
    for objective in (DIPOfMeans, DIPOfDraws):
        terms = objective(DATA, linear_gaussian(), lambda_od=10.0, lambda_d_factor=10.0)(always(trace), trace.batch, {})
        torch.testing.assert_close(terms["loss"], -terms["elbo"])


def test_a_posterior_without_a_known_covariance_has_only_that_of_its_means():
    class Odd(Distribution):
        arg_constraints = {}
        mean = torch.zeros(4, 2).double()

        def log_prob(self, value):
            return value.sum(-1)

    trace = one_latent(Odd(Size((4,)), Size((2,)), validate_args=False))
    DIPOfMeans(DATA, linear_gaussian(), lambda_od=1.0, lambda_d_factor=1.0)(always(trace), trace.batch, {})
    with pytest.raises(ConfigError, match="which Odd does not give: use posterior=diagonal, or objective=dip_i"):
        DIPOfDraws(DATA, linear_gaussian(), lambda_od=1.0, lambda_d_factor=1.0)(always(trace), trace.batch, {})


# ---- InfoVAE -------------------------------------------------------------------------------------------------------


def info(model, data=DATA, **changed):
    return Info(data, model, **{"alpha": 0.5, "lambda_mmd": 10.0, **changed})


def mean_kernel(shift, first, second, dimensions):
    """E exp(-|a - b|^2 / Z^2) of Gaussians with these variances whose means lie `shift` apart in every dimension."""
    width = dimensions**2 + 2 * (first + second)
    return (dimensions**2 / width) ** (dimensions / 2) * math.exp(-dimensions * shift**2 / width)


@pytest.mark.parametrize("batch", [2, 40])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.3)])
def test_mmd_of_two_gaussians_is_that_of_the_closed_form(shift, scale, batch):
    """Whatever the size of the batch; nothing but error where they are the same."""
    trials = 20_000 // batch
    a, b = torch.randn(trials, batch, 3).double(), shift + scale * torch.randn(trials, batch, 3).double()
    found = torch.stack([squared_mmd(*pair) for pair in zip(a, b, strict=True)])
    expected = mean_kernel(0, 1, 1, 3) + mean_kernel(0, scale**2, scale**2, 3) - 2 * mean_kernel(shift, 1, scale**2, 3)
    assert found.mean().item() == pytest.approx(expected, abs=4 * found.std().item() / math.sqrt(trials))
    assert expected == pytest.approx(0, abs=1e-12) if (shift, scale) == (0, 1) else expected > 0.003


def test_mmd_is_the_mean_over_pairs():
    a, b = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    k = lambda u, v: math.exp(-float(((u - v) ** 2).sum()) / 9)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = sum(k(a[i], a[j]) + k(b[i], b[j]) - k(a[i], b[j]) - k(a[j], b[i]) for i, j in pairs) / len(pairs)
    assert squared_mmd(a, b).item() == pytest.approx(expected)


def test_a_batch_of_one_has_no_pairs():
    model, x = diagonal_gaussian(), torch.randn(1, 5).double()
    terms = terms_of(info(model), model, x)
    assert terms["mmd"] == 0
    terms["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(("alpha", "lambda_mmd"), [(0.0, 1.0), (0.5, 10.0), (1.0, 1000.0), (-1.0, 2.0)])
def test_info_weighs_the_kl_and_the_mmd(alpha, lambda_mmd):
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    terms = terms_of(info(model, alpha=alpha, lambda_mmd=lambda_mmd), model, x)
    penalty = (1 - alpha) * terms["kl"] + (alpha + lambda_mmd - 1) * terms["mmd"]
    torch.testing.assert_close(terms["loss"], penalty - terms["reconstruction"])
    assert terms["mmd"] != 0


def test_the_mmd_is_between_the_draws_of_z_and_those_of_the_prior():
    """A prior whose components are points far off: k(z, p) vanishes, and k(p, p) is 1 within a condition."""
    model, batch = conditional()
    with torch.no_grad():
        head = model.prior.network._body.last
        head.weight.zero_()
        head.weight[:4, :] = torch.tensor([100.0, 200.0, 300.0])
        head.bias[4:] = -100.0
    z = same_draws(model, batch).sites["z"].value[0]
    torch.manual_seed(1)
    mmd = info(model)(model, batch, {})["mmd"]
    of_z = torch.exp(-torch.cdist(z, z).square() / 16).sum() - 6
    torch.testing.assert_close(mmd, (of_z + 6) / 30)  # of 30 pairs of 6 examples, 6 have the same condition


def test_a_prior_learns_from_the_kl_alone():
    model, batch = conditional()
    terms = info(model, alpha=0.25)(model, batch, {})
    parameters = list(model.prior.parameters())
    of_loss = torch.autograd.grad(terms["loss"], parameters, retain_graph=True)
    of_kl = torch.autograd.grad(0.75 * terms["kl"], parameters)
    assert all(gradient.abs().sum() > 0 for gradient in of_loss)
    torch.testing.assert_close(of_loss, of_kl)


def test_without_a_kl_there_is_no_prior_to_train():
    with pytest.raises(
        ConfigError, match=r"objective\.alpha=1\.0 has no KL and so trains no prior: use prior=standard"
    ):
        info(conditional()[0], alpha=1.0)


# ---- what all of them ask for ---------------------------------------------------------------------------------------


def normal(mean, sigma):
    return Independent(Normal(mean, sigma), 1)


def one_latent(q):
    x = torch.zeros(4, 1).double()
    site = Site(torch.zeros(1, 4, 2).double(), q, normal(torch.zeros(2).double(), 1.0))
    return Trace(Batch(x), {"z": site}, normal(torch.zeros(1, 4, 1).double(), 1.0))


def always(trace):
    """A model that does the same pass over again."""
    return lambda batch, num_samples=1: trace


OBJECTIVES = {
    "beta_tc": lambda: beta_tc(linear_gaussian()),
    "dip_i": lambda: DIPOfMeans(DATA, linear_gaussian(), lambda_od=1.0, lambda_d_factor=1.0),
    "dip_ii": lambda: DIPOfDraws(DATA, linear_gaussian(), lambda_od=1.0, lambda_d_factor=1.0),
    "info": lambda: info(linear_gaussian()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_several_latent_variables_and_enumerated_classes_are_refused_by_name(name):
    trace = one_latent(normal(torch.zeros(4, 2).double(), 1.0))
    site = trace.sites["z"]
    several = replace(trace, sites={"z1": site, "z2": site})
    enumerated = replace(trace, weights=torch.ones(1, 4).double())
    for wrong, message in (
        (several, rf"objective={name} is for one latent variable, and this structure has 2 \(z1, z2\)"),
        (enumerated, f"objective={name} needs draws of z, but this structure enumerates its classes"),
    ):
        with pytest.raises(ConfigError, match=message):
            OBJECTIVES[name]()(always(wrong), wrong.batch, {"beta": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: beta_tc(model, beta=-1.0), "beta=-1.0: the weight of the total correlation"),
        (lambda model: beta_tc(model, alpha=-1.0), "objective.alpha=-1.0: a weight is a number of 0 or more"),
        (lambda model: beta_tc(model, gamma=math.nan), "objective.gamma=nan"),
        (lambda model: beta_tc(model, estimator="mws"), "estimator=mws: unknown; choose one of stratified, weighted"),
        (lambda model: DIPOfMeans(DATA, model, lambda_od=-1.0, lambda_d_factor=1.0), "objective.lambda_od=-1.0"),
        (lambda model: DIPOfDraws(DATA, model, lambda_od=1.0, lambda_d_factor=math.inf), "lambda_d_factor=inf"),
        (lambda model: info(model, alpha=1.5), "objective.alpha=1.5: 1 or less"),
        (lambda model: info(model, alpha=0.25, lambda_mmd=0.5), "objective.lambda_mmd=0.5: 0.75 or more"),
    ],
)
def test_a_number_out_of_range_is_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make(linear_gaussian())
