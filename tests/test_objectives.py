"""Bounds: against a model whose log p(x) is known, and against the formula written out."""

import math
from dataclasses import replace

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from parts import choices, leaf
from ppca import DATA, SIGMA, Affine, diagonal_gaussian, linear_gaussian, log_evidence, set_exact_posterior
from torch import Size
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from vae_cli import monitors
from vae_cli.errors import ConfigError
from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.monitors import BitsPerDimension, ImportanceWeightedBound
from vae_cli.noise import record, replay
from vae_cli.objectives.bounds import ELBO, elbo_terms, importance_weighted
from vae_cli.objectives.capacity import Capacity
from vae_cli.priors.conditional import Conditional
from vae_cli.schedules import FINAL_STEP
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Parts, Site, Trace


def test_elbo_is_below_the_evidence_and_reaches_it_at_the_exact_posterior():
    model, x = linear_gaussian(), torch.randn(50, 5).double()
    evidence = log_evidence(model, x).mean().detach()
    with torch.no_grad():
        rough = elbo_terms(model(Batch(x), num_samples=2000))["elbo"]
        set_exact_posterior(model)
        exact = elbo_terms(model(Batch(x), num_samples=2000))["elbo"]
    assert rough < evidence - 0.5
    assert float(exact) == pytest.approx(float(evidence), abs=0.02)


def test_elbo_estimated_by_log_ratio_equals_the_evidence_draw_by_draw():
    """At the exact posterior ln p(x, z) - ln q(z | x) = ln p(x) for every z: no Monte Carlo error is left."""
    model, x = linear_gaussian(), torch.randn(50, 5).double()
    set_exact_posterior(model)
    trace = model(Batch(x), num_samples=3)
    bound = trace.px.log_prob(x) - trace.sites["z"].log_ratio()
    torch.testing.assert_close(bound, log_evidence(model, x).expand(3, 50))


def test_terms_against_the_formula():
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    trace = model(Batch(x), num_samples=4)
    z = trace.sites["z"].value
    mean = z @ model.decoder.linear.weight.mT + model.decoder.linear.bias
    reconstruction = (-0.5 * ((x - mean) / SIGMA) ** 2 - math.log(SIGMA) - 0.5 * math.log(2 * math.pi)).sum(-1)
    q = trace.sites["z"].q
    kl = 0.5 * (q.covariance_matrix.diagonal(dim1=-2, dim2=-1).sum(-1) + (q.mean**2).sum(-1) - 2)
    kl = kl - 0.5 * torch.logdet(q.covariance_matrix)
    terms = elbo_terms(trace)
    torch.testing.assert_close(terms["reconstruction"], reconstruction.mean())
    torch.testing.assert_close(terms["kl"], kl.mean())
    torch.testing.assert_close(terms["elbo"], reconstruction.mean() - kl.mean())


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_weighs_the_kl_in_the_loss_alone(beta):
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    objective = elbo(model, beta=beta)
    assert objective.schedules["beta"](0) == objective.schedules["beta"](FINAL_STEP) == beta
    terms = objective(model, Batch(x), {"beta": beta})
    torch.testing.assert_close(terms["loss"], beta * terms["kl"] - terms["reconstruction"])
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


def test_losses_do_not_depend_on_the_batch_size():
    """Duplicate the batch: the same nats per example."""
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    trace = model(Batch(x))
    site = trace.sites["z"]
    twice_q = MultivariateNormal(site.q.loc.repeat(2, 1), scale_tril=site.q.scale_tril.repeat(2, 1, 1))
    twice = Trace(
        Batch(x.repeat(2, 1)),
        {"z": Site(site.value.repeat(1, 2, 1), twice_q, site.p)},
        Independent(Normal(trace.px.mean.repeat(1, 2, 1), SIGMA), 1),
    )
    for name, value in elbo_terms(trace).items():
        torch.testing.assert_close(elbo_terms(twice)[name], value)


def test_iwae_with_one_sample_is_the_elbo_by_log_ratio():
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    trace = model(Batch(x))
    expected = trace.px.log_prob(x) - trace.sites["z"].q.log_prob(trace.sites["z"].value)
    expected = expected + trace.sites["z"].p.log_prob(trace.sites["z"].value)
    torch.testing.assert_close(importance_weighted(trace), expected[0])


def test_iwae_is_the_log_of_the_mean_weight():
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    trace = model(Batch(x), num_samples=4)
    z, q = trace.sites["z"].value, trace.sites["z"].q
    joint = trace.px.log_prob(x) + Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(importance_weighted(trace), (joint - q.log_prob(z)).exp().mean(0).log())


def test_iwae_weighs_the_gradients_by_the_normalised_weights():
    """Burda et al. (2016), eq. 14: the best sample counts most, never least."""
    model, x = linear_gaussian(), torch.randn(1, 5).double()
    trace = model(Batch(x), num_samples=3)
    log_weights = (trace.px.log_prob(x) - trace.sites["z"].log_ratio())[:, 0]
    (by_hand,) = torch.autograd.grad(
        (log_weights.softmax(0).detach() * log_weights).sum(), model.decoder.linear.weight, retain_graph=True
    )
    (found,) = torch.autograd.grad(importance_weighted(trace).sum(), model.decoder.linear.weight)
    torch.testing.assert_close(found, by_hand)


def test_more_samples_tighten_the_bound_towards_the_evidence():
    model, x = linear_gaussian(), torch.randn(50, 5).double()
    evidence = float(log_evidence(model, x).mean().detach())
    with torch.no_grad():
        bounds = [
            float(torch.stack([importance_weighted(model(Batch(x), k)).mean() for _ in range(2000 // k)]).mean())
            for k in (1, 5, 50, 1000)
        ]
    assert bounds[0] < bounds[1] < bounds[2] < bounds[3] < evidence + 0.05
    with torch.no_grad():
        set_exact_posterior(model)
        for k in (1, 7):
            torch.testing.assert_close(importance_weighted(model(Batch(x), k)), log_evidence(model, x))


@pytest.mark.parametrize("choice", choices("objective"))
def test_a_likelihood_is_computed_once_a_step(choice, monkeypatch):
    """It costs as much as the rest of the bound, and some keep count of what they see."""
    calls = []
    original = Independent.log_prob
    monkeypatch.setattr(Independent, "log_prob", lambda self, x: (calls.append(x), original(self, x))[1])
    model, x = diagonal_gaussian(), torch.randn(7, 5).double()
    objective = instantiate(OmegaConf.create({"beta": 1.0, "objective": leaf("objective", choice)}).objective)(
        replace(DATA, condition=Size((3,))), model
    )
    objective(model, Batch(x), {name: schedule(0) for name, schedule in objective.schedules.items()})
    passes = 2 if choice in ("piwae", "hybrid") else 1  # of which it takes a bound each
    assert sum(call is x for call in calls) == passes


def test_iwae_refuses_enumerated_classes():
    px = Independent(Normal(torch.zeros(2, 2, 1), 1.0), 1)
    with pytest.raises(ConfigError, match="enumerates its classes: use objective=elbo"):
        importance_weighted(Trace(Batch(torch.zeros(2, 1)), {}, px, torch.ones(2, 2) / 2))


@pytest.mark.parametrize(("capacity", "step", "value"), [(25.0, 0, 0.0), (25.0, 50, 12.5), (25.0, 100, 25.0)])
def test_capacity_rises_linearly_and_stays(capacity, step, value):
    objective = Capacity(DATA, linear_gaussian(), gamma=1000.0, capacity=capacity, steps=100)
    assert objective.schedules["capacity"](step) == value
    assert objective.schedules["capacity"](FINAL_STEP) == capacity


@pytest.mark.parametrize("capacity", [0.0, 100.0])
def test_capacity_takes_the_absolute_distance_of_the_whole_kl(capacity):
    """Burgess et al. (2018), eq. 8: below and above the capacity alike."""
    model, x = linear_gaussian(), torch.randn(7, 5).double()
    objective = Capacity(DATA, model, gamma=10.0, capacity=capacity, steps=1)
    terms = objective(model, Batch(x), {"capacity": capacity})
    distance = terms["kl"] - capacity if capacity == 0.0 else capacity - terms["kl"]
    assert distance > 0
    torch.testing.assert_close(terms["loss"], 10 * distance - terms["reconstruction"])


def test_weights_take_the_place_of_the_monte_carlo_mean():
    """Two enumerated classes of probabilities 0.3 and 0.7."""
    per_sample = torch.tensor([[1.0, 2.0], [10.0, 20.0]])
    weights = torch.tensor([[0.3, 0.3], [0.7, 0.7]])
    trace = Trace(Batch(torch.zeros(2, 1)), {}, Independent(Normal(torch.zeros(2, 2, 1), 1.0), 1), weights)
    assert trace.average(per_sample).item() == pytest.approx((7.3 + 14.6) / 2)


def test_site_falls_back_to_the_log_ratio():
    """Where no closed form is known, kl is the estimate ln q - ln p."""
    q = Independent(Normal(torch.zeros(4, 2), 1.0), 1)
    p = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(3)), Independent(Normal(torch.randn(3, 2), 1.0), 1)
    )
    site = Site(q.sample(Size((5,))), q, p)
    torch.testing.assert_close(site.kl(), site.log_ratio())
    assert site.kl().shape == (5, 4)


def test_site_uses_the_closed_form():
    q, p = Independent(Normal(torch.randn(4, 2), 0.5), 1), Independent(Normal(torch.zeros(2), 1.0), 1)
    site = Site(q.sample(Size((5,))), q, p)
    torch.testing.assert_close(site.kl(), kl_divergence(q, p).expand(5, 4))
    assert (site.kl() >= 0).all()


@pytest.mark.parametrize("choice", choices("objective"))
def test_every_objective_names_its_loss_and_the_bound(choice):
    config = OmegaConf.create({"beta": 1.0, "objective": leaf("objective", choice)})
    model = diagonal_gaussian()
    objective = instantiate(config.objective)(replace(DATA, condition=Size((3,))), model)
    weights = {name: schedule(0) for name, schedule in objective.schedules.items()}
    terms = objective(model, Batch(torch.randn(7, 5).double()), weights)
    assert all(term.ndim == 0 for term in terms.values())
    terms["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    if choice == "reconstruction":
        assert terms.keys() == {"loss", "reconstruction"}
        torch.testing.assert_close(terms["loss"], -terms["reconstruction"])
    else:
        assert {"loss", "elbo", "reconstruction", "kl", "kl/z"} <= terms.keys()
        torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


def elbo(model, **changed):
    keys = {"beta": 1.0, "warmup_steps": 0, "cycles": 1, "free_bits": 0.0, "num_samples": 1, **changed}
    return ELBO(DATA, model, **keys)


def test_warm_up_rises_linearly_and_stays():
    beta = elbo(linear_gaussian(), beta=4.0, warmup_steps=100).schedules["beta"]
    assert [beta(step) for step in (0, 1, 50, 100, 199, 200, 1000, FINAL_STEP)] == [0, 0.04, 2, 4, 4, 4, 4, 4]


def test_cycles_rise_and_stay_for_as_long():
    """Fu et al. (2019), R = 0.5: with warmup_steps=100 a cycle is 200 steps."""
    beta = elbo(linear_gaussian(), warmup_steps=100, cycles=3).schedules["beta"]
    assert [beta(step) for step in (0, 50, 100, 199, 200, 250, 399, 400, 450)] == [0, 0.5, 1, 1, 0, 0.5, 1, 0, 0.5]
    assert [beta(step) for step in (500, 599, 600, 601, FINAL_STEP)] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("free", [0.001, 0.3, 100.0])
def test_free_bits_charge_each_dimension_at_least_so_much(free):
    model, x = diagonal_gaussian(), torch.randn(7, 5).double()
    terms = elbo(model, free_bits=free, beta=2.0)(model, Batch(x), {"beta": 2.0})
    q = model.infer(x)
    mean, sigma = q.mean, q.stddev
    by_dimension = (0.5 * (sigma**2 + mean**2 - 1) - sigma.log()).mean(0)
    torch.testing.assert_close(terms["loss"], 2 * by_dimension.clamp(min=free).sum() - terms["reconstruction"])
    torch.testing.assert_close(terms["kl"], by_dimension.sum())
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


def test_free_bits_do_not_pull_on_dimensions_that_have_them():
    model, x = diagonal_gaussian(), torch.randn(7, 5).double()
    terms = elbo(model, free_bits=100.0)(model, Batch(x), {"beta": 1.0})
    (terms["loss"] + terms["reconstruction"]).backward()
    assert model.encoder.linear.weight.grad is None or not model.encoder.linear.weight.grad.any()


def test_free_bits_refuse_a_kl_that_is_no_sum():
    model = linear_gaussian()
    with pytest.raises(ConfigError, match="is not a sum over dimensions: use posterior=diagonal"):
        elbo(model, free_bits=0.1)(model, Batch(torch.randn(7, 5).double()), {"beta": 1.0})


def test_conditional_prior_is_the_p_of_the_kl():
    data = replace(DATA, condition=Size((3,)))
    prior = lambda latent, spec: Conditional(latent, spec, width=1, depth=0, activation="relu")
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    model = Single(data, Parts(4, Affine, Affine, likelihood, Diagonal, prior, Affine)).double()
    x, c = torch.randn(6, 5).double(), torch.eye(3).double().repeat(2, 1)
    site = model(Batch(x, c=c), 2).sites["z"]
    head = model.prior.network._body.last
    mean, scale = (c @ head.weight.mT + head.bias).chunk(2, 1)
    scale = torch.exp(10 * torch.tanh(scale / 10))
    q = model.infer(x, c)
    ratio = (q.stddev / scale) ** 2
    expected = 0.5 * (ratio + ((q.mean - mean) / scale) ** 2 - 1 - ratio.log()).sum(1)
    torch.testing.assert_close(site.kl(), expected.expand(2, 6))
    with torch.no_grad():
        head.bias[4:] = -10.0  # nearly a point: samples show whose condition they were drawn under
        samples = torch.stack([model.prior(c, model.infer).sample() for _ in range(3)])
    torch.testing.assert_close(samples, mean.detach().expand(3, 6, 4), rtol=0, atol=0.05)


# ---- monitors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1, 7, 150, 5000])
@pytest.mark.parametrize("examples", [1, 50])
def test_the_importance_weighted_bound_draws_exactly_so_many(num_samples, examples, monkeypatch):
    model, x = linear_gaussian(), torch.randn(examples, 5).double()
    set_exact_posterior(model)
    monkeypatch.setattr(monitors, "_MOST_NUMBERS", 25_000)
    noise = record()
    with noise, torch.no_grad():
        found = ImportanceWeightedBound(num_samples, features=5)(model, Batch(x), {})
    assert sum(draws.shape[0] for draws in noise.draws) == num_samples
    assert all(draws.shape[0] * examples <= max(5000, examples) for draws in noise.draws)
    (name,) = found
    assert name == f"iwae_{num_samples}"
    torch.testing.assert_close(found[name], log_evidence(model, x).mean().detach())


def test_the_importance_weighted_bound_is_that_of_all_draws_at_once(monkeypatch):
    model, x = linear_gaussian(), torch.randn(10, 5).double()
    noise = record()
    with noise:
        at_once = importance_weighted(model(Batch(x), 7)).mean()
    monkeypatch.setattr(monitors, "_MOST_NUMBERS", 100)
    parts = list(noise.draws[0].split(2))
    with replay(parts):
        torch.testing.assert_close(ImportanceWeightedBound(7, features=5)(model, Batch(x), {})["iwae_7"], at_once)


def test_bits_per_dimension():
    """A bound of -8 ln 2 nats on 4 values is 2 bits for each."""
    found = BitsPerDimension()(linear_gaussian(), Batch(torch.zeros(1, 4)), {"elbo": torch.tensor(-8 * math.log(2))})
    assert float(found["bits_per_dimension"]) == pytest.approx(2.0)
