"""MIWAE, CIWAE, PIWAE and DReG: values by hand, and gradients of theta and phi from every sample's own."""

import copy
import math

import pytest
import torch
from conftest import composed
from ppca import DATA, SIGMA, linear_gaussian, set_exact_posterior
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_cli.build import build_data, build_experiment
from vae_cli.errors import ConfigError
from vae_cli.noise import record
from vae_cli.objectives.bounds import IWAE, elbo_terms, importance_weighted, log_weights
from vae_cli.objectives.dreg import DReG
from vae_cli.objectives.miwae import CIWAE, MIWAE, PIWAE
from vae_cli.objectives.routing import with_generation_fixed, with_inference_fixed
from vae_cli.precision import lower_networks
from vae_cli.types import Batch, Site, Trace

THETA = ["decoder.linear.weight", "decoder.linear.bias"]
PHI = ["encoder.linear.weight", "encoder.linear.bias"]


def data(examples=3):
    return torch.randn(examples, 5).double()


def log_w_of(model, x, draws):
    """As an objective sees them after `torch.manual_seed(1)`."""
    torch.manual_seed(1)
    return log_weights(model(Batch(x), draws)).detach()


def terms_of(objective, model, x):
    torch.manual_seed(1)
    return objective(model, Batch(x), {})


# ---- values --------------------------------------------------------------------------------------------------------


def test_miwae_is_the_mean_over_groups_of_the_log_of_the_mean_over_draws():
    """Not the other way round: three groups of two."""
    model, x = linear_gaussian(), data()
    w = log_w_of(model, x, 6).exp()
    by_hand = sum(((w[2 * m] + w[2 * m + 1]) / 2).log() for m in range(3)) / 3
    bound = terms_of(MIWAE(DATA, model, groups=3, num_samples=2), model, x)["bound"]
    torch.testing.assert_close(bound, by_hand.mean())
    swapped = terms_of(MIWAE(DATA, model, groups=2, num_samples=3), model, x)["bound"]
    assert abs(bound - swapped) > 0.01


def test_one_group_is_iwae_and_one_draw_in_each_the_elbo():
    model, x = linear_gaussian(), data()
    iwae = terms_of(IWAE(DATA, model, num_samples=6), model, x)
    assert terms_of(MIWAE(DATA, model, groups=1, num_samples=6), model, x) == iwae
    elbo = terms_of(MIWAE(DATA, model, groups=6, num_samples=1), model, x)["bound"]
    torch.testing.assert_close(elbo, log_w_of(model, x, 6).mean())


def test_more_draws_in_fewer_groups_tighten_the_bound_on_the_same_draws():
    """Jensen's inequality, draw by draw."""
    model, x = linear_gaussian(), data()
    bounds = [terms_of(MIWAE(DATA, model, groups=m, num_samples=12 // m), model, x)["bound"] for m in (12, 4, 2, 1)]
    assert bounds == sorted(bounds)
    assert len(set(bounds)) == 4


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_ciwae_is_between_the_elbo_and_iwae(weight):
    model, x = linear_gaussian(), data()
    terms = terms_of(CIWAE(DATA, model, weight_of_elbo=weight, num_samples=4), model, x)
    iwae = log_w_of(model, x, 4).exp().mean(0).log().mean()
    torch.testing.assert_close(terms["bound"], weight * terms["elbo"] + (1 - weight) * iwae)
    torch.testing.assert_close(terms["loss"], -terms["bound"])


def test_piwae_reports_the_tight_bound_and_minimises_both():
    model, x = linear_gaussian(), data()
    torch.manual_seed(1)
    with torch.no_grad():
        first, second = model(Batch(x), 6), model(Batch(x), 6)
    terms = terms_of(PIWAE(DATA, model, groups=3, num_samples=2), model, x)
    torch.testing.assert_close(terms["bound"], importance_weighted(first).mean())
    w = log_weights(second).exp()
    miwae = (w.unflatten(0, (3, 2)).mean(1)).log().mean()
    torch.testing.assert_close(terms["loss"], -terms["bound"] - miwae)
    for name, value in elbo_terms(first).items():
        torch.testing.assert_close(terms[name], value)


def test_dreg_reports_the_bound_of_iwae():
    model, x = linear_gaussian(), data()
    found, iwae = (terms_of(kind(DATA, model, num_samples=4), model, x) for kind in (DReG, IWAE))
    assert found.keys() == iwae.keys()
    for name, value in iwae.items():
        torch.testing.assert_close(found[name], value)


MAKE = {
    "miwae": lambda model: MIWAE(DATA, model, groups=2, num_samples=2),
    "piwae": lambda model: PIWAE(DATA, model, groups=2, num_samples=2),
    "ciwae": lambda model: CIWAE(DATA, model, weight_of_elbo=0.5, num_samples=4),
    "dreg": lambda model: DReG(DATA, model, num_samples=4),
}


@pytest.mark.parametrize("name", MAKE)
def test_values_need_no_gradients(name):
    """Validation and test report what training does."""
    model, x = linear_gaussian(), data()
    trained_on = terms_of(MAKE[name](model), model, x)
    with torch.no_grad():
        validated = terms_of(MAKE[name](model), model, x)
    assert trained_on == validated


# ---- gradients, from those of every sample of every example ---------------------------------------------------------


def parameters(model, names):
    return [dict(model.named_parameters())[name] for name in names]


def gradients(loss, model, names):
    return torch.autograd.grad(loss, parameters(model, names), retain_graph=True)


def fixed(values):
    return [value.detach() for value in values]


class ByHand:
    """The linear-Gaussian model in plain torch, from parameters and standard noise [S, B, 2]."""

    def __init__(self, x, noise):
        self.x, self.noise = x, noise

    def posterior(self, phi):
        weight, bias = phi
        h = self.x @ weight.mT + bias
        scale = (10 * torch.tanh(h[:, 2:4] / 10)).exp()
        tril = torch.diag_embed(scale) + h[:, 4, None, None] * torch.tensor([[0.0, 0.0], [1.0, 0.0]]).double()
        return h[:, :2], tril

    def draw(self, phi):
        mean, tril = self.posterior(phi)
        return mean + (tril @ self.noise.unsqueeze(-1)).squeeze(-1)

    def log_w(self, z, theta, phi):
        weight, bias = theta
        log_px = Normal(z @ weight.mT + bias, SIGMA).log_prob(self.x).sum(-1)
        mean, tril = self.posterior(phi)
        log_q = MultivariateNormal(mean, scale_tril=tril).log_prob(z)
        return log_px + Normal(0.0, 1.0).log_prob(z).sum(-1) - log_q  # [S, B]


def weighed(values, weights, wrt):
    """Mean over examples b of sum_s weights[s, b] d values[s, b] / d wrt, one sample at a time."""
    total = [torch.zeros_like(one) for one in wrt]
    for s in range(values.shape[0]):
        for b in range(values.shape[1]):
            each = torch.autograd.grad(values[s, b], wrt, retain_graph=True)
            total = [so_far + weights[s, b] * one for so_far, one in zip(total, each, strict=True)]
    return [one / values.shape[1] for one in total]


def assert_is_minus(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, -other)
        assert other.abs().sum() > 0


def test_piwae_gives_each_parameter_the_gradient_of_its_own_bound():
    model, x = linear_gaussian(), data()
    with record() as noise:
        loss = PIWAE(DATA, model, groups=2, num_samples=3)(model, Batch(x), {})["loss"]
    theta, phi = parameters(model, THETA), parameters(model, PHI)
    first, second = (ByHand(x, draws) for draws in noise.draws)
    log_w = first.log_w(first.draw(phi), theta, phi)
    normalised = (log_w - log_w.logsumexp(0)).exp().detach()
    assert_is_minus(gradients(loss, model, THETA), weighed(log_w, normalised, theta))
    log_w = second.log_w(second.draw(phi), theta, phi)
    normalised = torch.cat([group.softmax(0) / 2 for group in log_w.detach().split(3)])
    assert_is_minus(gradients(loss, model, PHI), weighed(log_w, normalised, phi))


def test_dreg_weighs_draws_twice_for_phi_and_once_for_theta():
    """Tucker et al. (2019): sum_s v_s^2 (d ln w_s / d z_s) (d z_s / d phi), with v the normalised weights."""
    model, x = linear_gaussian(), data()
    with record() as noise:
        loss = DReG(DATA, model, num_samples=4)(model, Batch(x), {})["loss"]
    theta, phi = parameters(model, THETA), parameters(model, PHI)
    by_hand = ByHand(x, noise.draws[0])
    log_w = by_hand.log_w(by_hand.draw(phi), theta, fixed(phi))  # phi moves the draws alone
    normalised = log_w.softmax(0).detach()
    assert_is_minus(gradients(loss, model, THETA), weighed(log_w, normalised, theta))
    assert_is_minus(gradients(loss, model, PHI), weighed(log_w, normalised**2, phi))


def test_dreg_has_the_gradient_of_iwae_in_expectation():
    """Over 40 batches of 500 draws of the bound."""
    model, x = linear_gaussian(), data(1).expand(500, 5)
    mean, error = {}, {}
    for kind in (IWAE, DReG):
        objective = kind(DATA, model, num_samples=3)
        each = [gradients(objective(model, Batch(x), {})["loss"], model, PHI) for _ in range(40)]
        flat = torch.stack([torch.cat([part.flatten() for part in one]) for one in each])
        mean[kind], error[kind] = flat.mean(0), flat.std(0) / math.sqrt(40)
    assert ((mean[DReG] - mean[IWAE]).abs() < 4.5 * (error[DReG] ** 2 + error[IWAE] ** 2).sqrt()).all()
    assert (mean[IWAE].abs() > 10 * error[IWAE]).any(), "there is a gradient to compare"


def test_dreg_has_no_noise_at_the_exact_posterior_where_iwae_has():
    model, x = linear_gaussian(), data()
    set_exact_posterior(model)
    for kind, vanishes in ((DReG, True), (IWAE, False)):
        loss = kind(DATA, model, num_samples=4)(model, Batch(x), {})["loss"]
        largest = max(gradient.abs().max() for gradient in gradients(loss, model, PHI))
        assert (largest < 1e-10) == vanishes


@pytest.mark.parametrize(
    ("hold", "moved", "held"), [(with_inference_fixed, THETA, PHI), (with_generation_fixed, PHI, THETA)]
)
def test_fixed_parameters_are_constants_for_all_that_is_computed(hold, moved, held):
    """Whenever it asks for them; afterwards all is as before."""
    model, x = linear_gaussian(), data()
    before = dict(model.named_parameters())

    def compute(inner):
        asked = {"decoder.linear.weight": inner.decoder.linear.weight, "encoder.linear.bias": inner.encoder.linear.bias}
        assert {name for name, tensor in asked.items() if not tensor.requires_grad} == asked.keys() & set(held)
        return elbo_terms(inner(Batch(x)))["elbo"]

    hold(model, compute).backward()
    assert {name for name, parameter in before.items() if parameter.grad is not None} == set(moved)
    assert all(before[name] is parameter for name, parameter in model.named_parameters())


@pytest.mark.parametrize("name", ["piwae", "dreg"])
def test_a_prior_with_parameters_belongs_to_theta(small, name):
    config = composed([*small, f"objective={name}", "condition=label", "prior=conditional"])
    loaded = build_data(config)
    experiment = build_experiment(config, loaded)
    batch = next(iter(loaded.train))
    terms_of_batch(experiment, batch)["loss"].backward()
    model = copy.deepcopy(experiment.model)
    model.zero_grad()
    torch.manual_seed(1)
    draws = 64 if name == "piwae" else 5
    (-importance_weighted(model(batch, draws)).mean()).backward()
    for one, other in zip(experiment.model.prior.parameters(), model.prior.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("name", ["piwae", "dreg"])
def test_mixed_precision_moves_the_bound_little_and_no_gradient_is_lost(small, name):
    config = composed([*small, f"objective={name}"])
    loaded = build_data(config)
    experiment, batch = build_experiment(config, loaded), next(iter(loaded.train))
    exact = terms_of_batch(experiment, batch)["bound"].item()
    lower_networks(experiment, "cpu", torch.bfloat16)
    terms = terms_of_batch(experiment, batch)
    assert terms["bound"].item() == pytest.approx(exact, abs=0.2)
    assert terms["bound"].item() != exact
    terms["loss"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in experiment.model.parameters())


def terms_of_batch(experiment, batch):
    torch.manual_seed(1)
    return experiment.objective(experiment.model, batch, {})


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_dreg_is_for_one_latent_variable():
    site = Site(torch.zeros(2, 4, 2), Independent(Normal(torch.zeros(4, 2), 1.0), 1), None)
    px = Independent(Normal(torch.zeros(2, 4, 1), 1.0), 1)
    trace = Trace(Batch(torch.zeros(4, 1)), {"z1": site, "z2": site}, px)
    with pytest.raises(
        ConfigError, match=r"objective=dreg is for one latent variable.*\(z1, z2\): use structure=single"
    ):
        DReG(DATA, linear_gaussian(), num_samples=2)(lambda batch, num_samples: trace, trace.batch, {})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: MIWAE(DATA, model, groups=0, num_samples=2), "objective.groups=0: at least 1 group"),
        (lambda model: MIWAE(DATA, model, groups=2, num_samples=0), "objective.num_samples=0: at least 1 draw"),
        (lambda model: PIWAE(DATA, model, groups=0, num_samples=2), "objective.groups=0: at least 1 group"),
        (lambda model: PIWAE(DATA, model, groups=2, num_samples=0), "objective.num_samples=0: at least 1 draw"),
        (lambda model: CIWAE(DATA, model, weight_of_elbo=1.5, num_samples=2), "weight_of_elbo=1.5: a number between"),
        (lambda model: CIWAE(DATA, model, weight_of_elbo=0.5, num_samples=0), "objective.num_samples=0: at least 1"),
        (lambda model: DReG(DATA, model, num_samples=0), "objective.num_samples=0: at least 1 draw"),
    ],
)
def test_a_number_out_of_range_is_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make(linear_gaussian())
