"""Structures of several latent variables, against linear-Gaussian models of which everything is known."""

import math

import pytest
import torch
from hydra.utils import instantiate
from parts import leaf, often
from ppca import Affine
from torch import Size
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_cli.errors import ConfigError
from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Cholesky, Diagonal
from vae_cli.inference.annealed import Annealing, annealed
from vae_cli.inference.likelihood import bounds
from vae_cli.inference.means import posterior_means
from vae_cli.objectives.bounds import elbo_terms, log_weights
from vae_cli.priors.standard import Standard
from vae_cli.structures.ladder import _product
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Parts, Real, Spec

SIGMA = 0.5
DATA = Spec(Size((5,)), Real(), size=100)
STRUCTURES = ["hierarchical", "top_down", "ladder", "dlgm"]
MEGABYTE = 10**6


def parts(latent_dim, posterior=Diagonal):
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    return Parts(latent_dim, Affine, Affine, likelihood, posterior, Standard, Affine)


def model_of(structure, latent_dim=(3, 2), posterior=Diagonal, **settings):
    config = leaf("structure", structure)
    config.update(settings)
    if "features" in config.inference:
        config.inference.features = 4
    return instantiate(config)(DATA, parts(latent_dim, posterior)).double().eval()


def linear(model):
    """Scales that do not depend on what lies above: x is then Gaussian."""
    for network in model.generation.networks.values():
        size = network.linear.out_features // 2
        with torch.no_grad():
            network.linear.weight[size:] = 0
    return model


def learn_to_infer(model):
    """Its q alone, on what it generates: a proposal that importance sampling can stand on."""
    adam = torch.optim.Adam(model.inference.parameters(), lr=0.03)
    for _ in range(150):
        with torch.no_grad():
            x = model.generate(100).px.sample()[0]
        adam.zero_grad()
        elbo_terms(model(Batch(x), 4))["elbo"].neg().backward()
        adam.step()


def evidence(model, structure):
    """The distribution of x."""
    decoder, noise = model.generation.decoder.linear, SIGMA**2 * torch.eye(5).double()
    inner = model.generation.networks["z1"].linear
    if structure == "dlgm":
        below, top = (model.generation.noise[name].weight for name in ("z1", "z2"))
        mean, covariance = inner.bias, inner.weight @ top @ top.mT @ inner.weight.mT + below @ below.mT
    else:
        a, log_sigma = inner.weight[:3], 10 * torch.tanh(inner.bias[3:] / 10)
        mean, covariance = inner.bias[:3], a @ a.mT + torch.diag(torch.exp(2 * log_sigma))
    w = decoder.weight
    if structure == "top_down":  # x sees z2 as well
        across = torch.cat([torch.cat([covariance, a], 1), torch.cat([a.mT, torch.eye(2).double()], 1)])
        mean, covariance = torch.cat([mean, torch.zeros(2).double()]), across
    return MultivariateNormal(w @ mean + decoder.bias, w @ covariance @ w.mT + noise)


@pytest.mark.parametrize("structure", often(STRUCTURES, ("top_down", "dlgm")))
def test_bounds_are_below_the_evidence_and_annealing_finds_it(structure):
    model = model_of(structure, posterior=Diagonal if structure == "ladder" else Cholesky)
    if structure != "dlgm":
        linear(model)
    learn_to_infer(model)
    model.requires_grad_(False)
    batch = Batch(model.generate(40).px.sample()[0])
    truth = evidence(model, structure).log_prob(batch.x)
    scored = {k: [bounds(model, batch, k, seed=seed, memory=MEGABYTE) for seed in range(100 // k)] for k in (1, 5)}
    elbo = torch.stack([one.elbo for one in scored[1]]).mean()
    few = torch.stack([one.importance_weighted for one in scored[5]]).mean()
    many = bounds(model, batch, 5000, seed=0, memory=MEGABYTE).importance_weighted
    assert elbo < few < truth.mean()
    assert float((many - truth).mean()) == pytest.approx(0, abs=0.05)
    found = annealed(model, batch, Annealing(chains=16, steps=200, leapfrog=5), seed=0, memory=10 * MEGABYTE)
    assert float((found.log_evidence - truth).mean()) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_what_is_generated_has_the_moments_of_x(structure):
    model = model_of(structure)
    if structure != "dlgm":
        linear(model)
    with torch.no_grad():
        x, p = model.generate(20_000).px.sample()[0], evidence(model, structure)
    error = (x.mean(0) - p.mean).abs() / p.stddev
    assert float(error.max()) < 5 / math.sqrt(20_000)
    torch.testing.assert_close(x.mT.cov(), p.covariance_matrix, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("structure", ["hierarchical", "top_down"])
def test_one_layer_is_the_model_of_one_latent_variable(structure):
    torch.manual_seed(0)
    single = Single(DATA, parts(3)).double()
    deep = model_of(structure, 3)
    encoder = deep.inference.encoder if structure == "hierarchical" else deep.inference.encoders["z1"]
    encoder.load_state_dict(single.encoder.state_dict())
    deep.generation.decoder.load_state_dict(single.decoder.state_dict())
    batch = Batch(torch.randn(7, 5).double())
    torch.manual_seed(1)
    expected = elbo_terms(single(batch, 4))
    torch.manual_seed(1)
    found = elbo_terms(deep(batch, 4))
    for name in ("elbo", "reconstruction", "kl"):
        torch.testing.assert_close(found[name], expected[name])
    assert "kl/z1" in found


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_layer_has_its_kl_and_they_add_up(structure):
    model, batch = model_of(structure), Batch(torch.randn(6, 5).double())
    trace = model(batch, 3)
    terms = elbo_terms(trace)
    by_hand = {}
    for name, site in trace.sites.items():
        q, p = site.q.base_dist, site.p.base_dist
        shift, ratio = (q.loc - p.loc) / p.scale, q.scale / p.scale
        by_hand[name] = 0.5 * (ratio**2 + shift**2 - 1 - 2 * ratio.log()).sum(-1).mean()
        torch.testing.assert_close(terms[f"kl/{name}"], by_hand[name])
    assert by_hand.keys() == {"z1", "z2"}
    torch.testing.assert_close(terms["kl"], sum(by_hand.values()))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_given_values_stand_for_draws(structure):
    model, batch = model_of(structure), Batch(torch.randn(6, 5).double())
    draw = model.passes(batch, model.read(batch))
    trace = draw(4)
    again = draw(4, {name: site.value for name, site in trace.sites.items()})
    torch.testing.assert_close(log_weights(again), log_weights(trace), rtol=0, atol=0)
    half = draw(4, {"z2": trace.sites["z2"].value})
    assert torch.equal(half.sites["z2"].value, trace.sites["z2"].value)
    assert not torch.equal(half.sites["z1"].value, trace.sites["z1"].value)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_what_is_not_given_is_at_the_mean_of_its_prior(structure):
    model = model_of(structure)
    z2 = torch.randn(2, 6, 2).double()
    z1 = model.generation.prior("z1", {"z2": z2}, None, model.infer).mean.expand(2, 6, 3)
    torch.testing.assert_close(model.decode({"z2": z2}).mean, model.decode({"z1": z1, "z2": z2}).mean)


def test_a_layer_depends_on_the_next_one_alone_or_on_all_above():
    z = {name: torch.randn(1, 2, size).double() for name, size in (("z1", 3), ("z2", 2), ("z3", 2))}
    moved = {**z, "z3": z["z3"] + 1}
    for skip in (False, True):
        model = model_of("top_down", (3, 2, 2), skip=skip)
        same = torch.equal(model.decode(z).mean, model.decode(moved).mean)
        priors = [model.generation.prior("z1", values, None, model.infer).mean for values in (z, moved)]
        assert same is not skip
        assert torch.equal(*priors) is not skip


def test_the_noise_of_a_deep_model_enters_at_every_layer():
    """h2 = G2 z2, h1 = T1(h2) + G1 z1, x = T0(h1) (Rezende et al. 2014, eq. 1 to 4)."""
    model = model_of("dlgm")
    z = {"z1": torch.randn(1, 4, 3).double(), "z2": torch.randn(1, 4, 2).double()}
    part = model.generation
    h1 = part.networks["z1"].linear(z["z2"] @ part.noise["z2"].weight.mT) + z["z1"] @ part.noise["z1"].weight.mT
    torch.testing.assert_close(model.decode(z).mean, part.decoder.linear(h1))
    for name in ("z1", "z2"):
        assert part.prior(name, {}, None, model.infer).base_dist.scale.tolist() == [1] * z[name].shape[-1]


def test_the_maps_of_noise_in_a_deep_model_start_as_rotations():
    noise = model_of("dlgm").generation.noise
    for linear in noise.values():
        size = linear.in_features
        torch.testing.assert_close(linear.weight.mT @ linear.weight, torch.eye(size).double(), rtol=0, atol=1e-6)
    off_diagonal = noise["z1"].weight.abs().sum() - noise["z1"].weight.diagonal().abs().sum()
    assert off_diagonal > 1, "a rotation, not the identity"


def test_a_ladder_multiplies_what_is_seen_and_what_is_expected():
    """The product of two densities is proportional to q: their log ratio is the same everywhere."""
    seen, expected = (Diagonal(Spec(Size((3,)), Real()))(torch.randn(4, 6).double()) for _ in range(2))
    q, z = _product(seen, expected), torch.randn(50, 4, 3).double()
    ratio = seen.log_prob(z) + expected.log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    assert (q.stddev < torch.minimum(seen.stddev, expected.stddev)).all()


def test_a_ladder_infers_each_layer_from_its_estimate_and_the_layer_above():
    model, batch = model_of("ladder"), Batch(torch.randn(4, 5).double())
    trace = model(batch, 2)
    estimate = Diagonal(Spec(Size((3,)), Real()))(model.read(batch)["z1"])
    expected = _product(estimate, trace.sites["z1"].p)
    torch.testing.assert_close(trace.sites["z1"].q.mean, expected.mean)
    torch.testing.assert_close(trace.sites["z1"].q.stddev, expected.stddev)


@pytest.mark.parametrize("structure", ["top_down", "ladder", "dlgm"])
def test_the_posterior_of_the_top_is_known_for_priors_that_need_it(structure):
    model, x = model_of(structure), torch.randn(4, 5).double()
    torch.testing.assert_close(model.infer(x).mean, model(Batch(x)).sites["z2"].q.mean)


def test_from_below_the_posterior_of_the_top_is_not_known():
    with pytest.raises(ConfigError, match="use structure=top_down or structure=ladder"):
        model_of("hierarchical").infer(torch.randn(4, 5).double())


def test_means_are_drawn_from_in_order():
    model, batch = model_of("hierarchical"), Batch(torch.randn(4, 5).double())
    found = posterior_means(model, batch)
    z1 = model.inference.heads["z1"](model.read(batch)["z1"]).mean
    torch.testing.assert_close(found["z1"], z1[None])
    z2 = model.inference.heads["z2"](model.inference.networks["z2"](z1)).mean
    torch.testing.assert_close(found["z2"], z2[None])


def test_full_covariances_in_a_hierarchy():
    model, batch = model_of("top_down", posterior=Cholesky), Batch(torch.randn(4, 5).double())
    trace = model(batch, 5000)
    site = trace.sites["z1"]
    q, p = (MultivariateNormal(one.mean, one.covariance_matrix) for one in (site.q, _dense(site.p)))
    torch.testing.assert_close(site.kl(), kl_divergence(q, p))


def _dense(distribution):
    base: Normal = distribution.base_dist
    return MultivariateNormal(base.loc, torch.diag_embed(base.scale**2))


@pytest.mark.parametrize(
    ("structure", "settings", "message"),
    [
        ("hierarchical", {"skip": True}, "q of a layer sees the one below alone: skip=false"),
        ("dlgm", {"skip": True}, "each layer adds to the one above it"),
    ],
)
def test_parts_that_do_not_fit_are_named(structure, settings, message):
    with pytest.raises(ConfigError, match=message):
        model_of(structure, **settings)


def test_a_ladder_needs_gaussians_with_independent_dimensions():
    with pytest.raises(ConfigError, match="this posterior is MultivariateNormal: use posterior=diagonal"):
        model_of("ladder", posterior=Cholesky)(Batch(torch.randn(4, 5).double()))


def test_single_has_one_latent_variable():
    with pytest.raises(ConfigError, match=r"latent_dim=\[3, 2\]: structure=single has one latent variable"):
        Single(DATA, parts((3, 2)))


@pytest.mark.parametrize(("structure", "features"), [("top_down", 0), ("ladder", 0), ("ladder", [4, 4, 4])])
def test_features_are_counted(structure, features):
    config = leaf("structure", structure)
    config.inference.features = features
    with pytest.raises(ConfigError, match=r"structure\.inference\.features"):
        instantiate(config, _convert_="all")(DATA, parts((3, 2)))
