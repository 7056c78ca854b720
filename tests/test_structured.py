"""Pictures of which a part is given: what counts, bounds on ln p(x_rest | x_given), and the networks without z."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import command, composed, small_overrides, trained
from parts import choices, leaf
from ppca import DATA, SIGMA, Affine, linear_gaussian
from torch import Size
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from vae_cli.build import build_data, build_experiment
from vae_cli.conditions.quadrant import Quadrant
from vae_cli.errors import ConfigError
from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.inference.likelihood import bounds, from_the_prior
from vae_cli.loading import load_run
from vae_cli.monitors import BitsPerDimension, ImportanceWeightedBound
from vae_cli.noise import record, replay
from vae_cli.objectives.bounds import elbo_terms, importance_weighted
from vae_cli.objectives.hybrid import Hybrid
from vae_cli.priors.conditional import Conditional
from vae_cli.priors.mixture import Mixture
from vae_cli.structures.density import Density
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Binary, Parts, Spec

MEGABYTE = 10**6
PICTURE = Spec(Size((1, 4, 6)), Binary(), size=10)


# ---- what is given -----------------------------------------------------------------------------------------------


def conditioned(given, shape=(1, 4, 6), number=3):
    x = torch.rand(number, *shape).round()
    return Quadrant(replace(PICTURE, shape=Size(shape)), given=given)(Batch(x))


@pytest.mark.parametrize(
    ("given", "unknown"),
    [
        (1, ["111111", "111111", "000111", "000111"]),
        (2, ["000111", "000111", "000111", "000111"]),
        (3, ["000000", "000000", "000111", "000111"]),
    ],
)
def test_quadrants_are_given_bottom_left_then_top_left_then_top_right(given, unknown):
    batch = conditioned(given)
    expected = torch.tensor([[float(pixel) for pixel in row] for row in unknown]).expand_as(batch.x)
    assert torch.equal(batch.mask, expected)
    assert torch.equal(batch.c, torch.where(expected == 1, 0.5, batch.x))
    assert batch.c.shape[1:] == Quadrant(PICTURE, given=given).size == batch.x.shape[1:]


def test_the_middle_line_of_an_odd_side_is_lower_and_right():
    assert conditioned(1, (3, 5)).mask[0].tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]


def test_all_channels_of_a_pixel_are_given_together():
    mask = conditioned(3, (3, 4, 4)).mask
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert mask[0].sum() == 3 * 4


def test_completed_keeps_what_is_given():
    batch = conditioned(2)
    made = torch.full((5, *batch.x.shape), 7.0)
    assert torch.equal(batch.completed(made), torch.where(batch.mask.bool(), 7.0, batch.x).expand_as(made))
    assert torch.equal(Batch(batch.x).completed(made), made)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["condition=quadrant", "condition.given=4"], "condition.given=4: 1, 2 or 3 quadrants"),
        (["condition=quadrant", "condition.given=0"], "condition.given=0: 1, 2 or 3 quadrants"),
        (["condition=quadrant", "condition.given=left"], "condition.given=left: a whole number is needed"),
        (
            ["condition=quadrant", "dataset.path=FLAT"],
            r"needs pictures of at least 2 x 2 pixels, and x has shape \[9\]",
        ),
        (["condition=quadrant", "likelihood=gaussian_optimal"], "a mask needs a likelihood that is a product"),
        (["structure=density"], "structure=density needs a condition.*choose condition=quadrant"),
        (["objective=hybrid"], "objective=hybrid needs a condition.*choose condition=quadrant"),
        (["objective=hybrid", "objective.alpha=1.5"], "objective.alpha=1.5: the weight of the ELBO"),
        (["objective=hybrid", "objective.num_samples=0"], "objective.num_samples=0: at least 1 draw"),
        (["model=hybrid_cvae", "structure=density"], "draws latent variables, and this structure has none"),
        (["model=hybrid_cvae", "prior=mixture"], "GaussianMixture carry no gradient: use prior=conditional_mlp"),
        (["model=cvae", "structure=density", "objective=reconstruction"], "trains a code, and this structure has none"),
        (["model=cvae", "structure=density", "objective=mmd"], "one latent variable, and this structure has none"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(small, tmp_path, words, message):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "flat.npz", x=rng.integers(0, 2, (60, 9)).astype(bool))
    words = [word.replace("FLAT", str(tmp_path / "flat.npz")) for word in words]
    with pytest.raises(ConfigError, match=message):
        trained([*small, *words], tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.*"))


# ---- what counts -------------------------------------------------------------------------------------------------


def built(words):
    """A model and five of its validation examples."""
    config = composed([*words, "model=structured_cvae"])
    data = build_data(config)
    return build_experiment(config, data).model, data.val.peek(torch.arange(5))


@pytest.fixture
def model_and_batch(small):
    return built([*small, "prior.width=8"])


def test_the_likelihood_counts_the_unknown_pixels_alone(model_and_batch):
    model, batch = model_and_batch
    trace = model(batch, 3)
    logits = model.likelihood(model.decoder(trace.sites["z"].value[1], batch.c)).base_dist.logits
    each = Bernoulli(logits=logits).log_prob(batch.x)
    height, width = (side // 2 for side in batch.x.shape[-2:])
    left_out = each[..., height:, :width].flatten(1).sum(1)
    torch.testing.assert_close(trace.log_px[1], each.flatten(1).sum(1) - left_out)


def test_a_bound_does_not_depend_on_given_pixels_of_the_likelihood(model_and_batch):
    """The encoder sees them, so its features are kept; all that they could change is ln p(x | z)."""
    model, batch = model_and_batch
    features = model.read(batch)
    other = batch._replace(x=torch.where(batch.mask.bool(), batch.x, 1 - batch.x))
    noise = record()
    with noise:
        kept = elbo_terms(model.passes(batch, features)(4))
    with replay(noise.draws):
        changed = elbo_terms(model.passes(other, features)(4))
    assert all(torch.equal(kept[name], changed[name]) for name in kept)
    assert not torch.equal(model.read(other)["z"], features["z"]), "q(z | x, c) reads the whole of x"


def test_bits_are_of_the_unknown_numbers():
    batch = conditioned(3)  # 6 unknown pixels
    found = BitsPerDimension()(linear_gaussian(), batch, {"elbo": torch.tensor(-12 * math.log(2))})
    assert float(found["bits_per_dimension"]) == pytest.approx(2.0)


@pytest.mark.parametrize("architecture", ["conv", "mlp"])
def test_a_picture_stands_beside_x_where_the_network_convolves(small, architecture):
    small = [word for word in small if not word.startswith("architecture")]
    config = composed([*small, "model=structured_cvae", f"architecture={architecture}", "prior.width=8"])
    data = build_data(config)
    encoder = build_experiment(config, data).model.encoder
    first = next(encoder.parameters())
    assert first.shape[1] == (2 if architecture == "conv" else 2 * 256)


# ---- objectives --------------------------------------------------------------------------------------------------

CONDITIONED = replace(DATA, condition=Size((3,)))


def affine(depth=0):
    """x = W z + b + noise with z ~ N(mu(c), diag), float64, and data with conditions."""
    prior = lambda latent, spec: Conditional(latent, spec, width=4, depth=depth, activation="tanh")
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    torch.manual_seed(0)
    model = Single(CONDITIONED, Parts(2, Affine, Affine, likelihood, Diagonal, prior, Affine)).double()
    return model, Batch(torch.randn(6, 5).double(), c=torch.eye(3).double().repeat(2, 1))


def log_evidence(model, batch):
    """Ln p(x | c) of the affine model, in closed form."""
    p = model.prior(batch.c, model.infer)
    w, b = model.decoder.linear.weight, model.decoder.linear.bias
    covariance = w @ torch.diag_embed(p.variance) @ w.mT + SIGMA**2 * torch.eye(5, dtype=w.dtype)
    return MultivariateNormal(p.mean @ w.mT + b, covariance).log_prob(batch.x)


def hybrid(model, alpha, num_samples=1):
    return Hybrid(CONDITIONED, model, alpha=alpha, num_samples=num_samples)


def test_hybrid_is_both_bounds_weighed():
    """Sohn et al. (2015), eq. 7 and 8, by the same noise."""
    model, batch = affine()
    noise = record()
    with noise:
        terms = hybrid(model, 0.3, 3)(model, batch, {})
    of_q, of_prior = noise.draws
    p = model.prior(batch.c, model.infer)
    with replay([of_q]):
        elbo = elbo_terms(model(batch, 3))["elbo"]
    z = p.mean + p.stddev * of_prior
    gsnn = Normal(model.decoder.linear(z), SIGMA).log_prob(batch.x).sum(-1).mean()
    torch.testing.assert_close(terms["gsnn"], gsnn)
    torch.testing.assert_close(terms["elbo"], elbo)
    torch.testing.assert_close(terms["loss"], -(0.3 * elbo + 0.7 * gsnn))


@pytest.mark.parametrize(("alpha", "name"), [(1.0, "elbo"), (0.0, "gsnn")])
def test_hybrid_ends_at_each_of_them(alpha, name):
    model, batch = affine()
    terms = hybrid(model, alpha)(model, batch, {})
    assert torch.equal(terms["loss"], -terms[name])
    terms["loss"].backward()
    moved = {part for part in ("encoder", "prior", "decoder") if any_gradient(getattr(model, part))}
    assert moved == ({"encoder", "prior", "decoder"} if alpha else {"prior", "decoder"})


def any_gradient(part):
    return any(one.grad is not None and bool(one.grad.any()) for one in part.parameters())


def test_both_bounds_are_below_the_evidence():
    model, batch = affine()
    terms = hybrid(model, 0.5, 2000)(model, batch, {})
    evidence = float(log_evidence(model, batch).mean().detach())
    assert terms["elbo"] < evidence
    assert terms["gsnn"] < evidence


# ---- ln p(x | c) by draws of the prior ---------------------------------------------------------------------------


def test_draws_of_the_prior_estimate_the_evidence_from_below():
    model, batch = affine(depth=1)
    model.eval().requires_grad_(False)
    evidence = log_evidence(model, batch)
    found = {k: from_the_prior(model, batch, k, seed=0, memory=MEGABYTE) for k in (1, 10, 100_000)}
    torch.testing.assert_close(found[100_000], evidence, rtol=0, atol=0.1)
    means = [
        torch.stack([from_the_prior(model, batch, k, seed=seed, memory=MEGABYTE) for seed in range(100)]).mean()
        for k in (1, 10, 50)
    ]
    assert means[0] < means[1] < means[2] < evidence.mean() + 0.05


def test_draws_of_the_prior_by_hand():
    """Ln 1/K sum_k p(x | z_k, c), with the noise that was drawn."""
    model, batch = affine()
    noise = record()
    with noise:
        drawn = model.generate(6, batch.c, samples=4)
    p = model.prior(batch.c, model.infer)
    torch.testing.assert_close(drawn.values["z"], p.mean + p.stddev * noise.draws[0])
    log_px = Normal(model.decoder.linear(drawn.values["z"]), SIGMA).log_prob(batch.x).sum(-1)
    torch.testing.assert_close(drawn.px.log_prob(batch.x), log_px)
    point = {"z": p.mean[None]}
    with torch.no_grad():
        for parameter in model.prior.network._body.last.parameters():
            parameter[2:] = -50.0 if parameter.ndim == 1 else 0.0  # no spread: every draw is the mean
    expected = model.decode(point, batch.c).log_prob(batch.x)[0]
    torch.testing.assert_close(from_the_prior(model, batch, 7, seed=0, memory=MEGABYTE), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("memory", [3000, MEGABYTE])
def test_draws_depend_on_example_and_seed_alone(memory):
    model, batch = affine()
    whole = from_the_prior(model, batch, 50, seed=0, memory=10 * MEGABYTE)
    order = torch.tensor([4, 0, 3])
    torch.testing.assert_close(from_the_prior(model, batch.part(order), 50, seed=0, memory=memory), whole[order])
    assert not torch.equal(from_the_prior(model, batch, 50, seed=1, memory=memory), whole)


@pytest.mark.parametrize("structure", ["hierarchical", "top_down", "dlgm"])
def test_draws_go_from_the_top_down(small, structure):
    """From many draws of the prior and from many of q, the same ln p(x | c)."""
    small = [word for word in small if not word.startswith("latent_dim")]
    words = ["model=cvae", f"structure={structure}", "latent_dim=[2,1]", "likelihood=gaussian", "likelihood.sigma=4"]
    config = composed([*small, *words])
    data = build_data(config)
    model = build_experiment(config, data).model.eval().requires_grad_(False)
    batch = data.val.peek(torch.arange(3))
    found = from_the_prior(model, batch, 4000, seed=0, memory=10 * MEGABYTE)
    other = bounds(model, batch, 4000, seed=0, memory=10 * MEGABYTE).importance_weighted
    torch.testing.assert_close(found, other, rtol=0, atol=0.05)


# ---- no latent variables -----------------------------------------------------------------------------------------


@pytest.fixture
def density(small):
    return built([*small, "structure=density"])


def test_a_density_is_the_likelihood_of_a_network(density):
    model, batch = density
    each = Bernoulli(logits=model.decoder(batch.c)).log_prob(batch.x)
    expected = (batch.mask * each).flatten(1).sum(1)
    trace = model(batch, 3)
    assert not trace.sites
    torch.testing.assert_close(trace.log_px, expected.expand(3, 5))
    torch.testing.assert_close(model.decode({}, batch.c).mean[0], model.decoder(batch.c).sigmoid())
    torch.testing.assert_close(model.generate(5, batch.c, samples=2).px.mean[1], model.decoder(batch.c).sigmoid())
    with pytest.raises(ConfigError, match="structure=density has no prior; use temperature=1"):
        model.generate(5, batch.c, temperature=0.5)


def test_every_bound_of_a_density_is_the_likelihood_itself(density):
    model, batch = density
    exact = model(batch).log_px[0]
    torch.testing.assert_close(importance_weighted(model(batch, 7)), exact)
    found = bounds(model, batch, 7, seed=0, memory=MEGABYTE)
    torch.testing.assert_close(found.importance_weighted, exact.double())
    torch.testing.assert_close(found.elbo, exact.double())
    assert not found.kl.any()
    monitored = ImportanceWeightedBound(7, features=256)(model, batch, {})["iwae_7"]
    torch.testing.assert_close(monitored, exact.mean(), check_dtype=False)


def test_a_density_takes_a_label():
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    model = Density(CONDITIONED, Parts(2, Affine, Affine, likelihood, Diagonal, Mixture, Affine)).double()
    batch = affine()[1]
    expected = Normal(model.decoder.linear(batch.c), SIGMA).log_prob(batch.x).sum(-1)
    torch.testing.assert_close(model(batch).log_px[0], expected)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"decoder"}
    assert model.inference_parts() == []


OF_ONE_LATENT = ("beta_tc", "dip_i", "dip_ii", "dreg", "info", "mmd")


@pytest.mark.parametrize("objective", [one for one in choices("objective") if one not in (*OF_ONE_LATENT, "hybrid")])
def test_other_bounds_train_a_density(small, objective):
    config = composed([*small, "model=structured_cvae", "structure=density", f"objective={objective}"])
    data = build_data(config)
    if objective == "reconstruction":
        with pytest.raises(ConfigError, match="trains a code"):
            build_experiment(config, data)
        return
    experiment = build_experiment(config, data)
    batch = data.val.peek(torch.arange(5))
    terms = experiment.objective(experiment.model, batch, experiment.schedule_values(100))
    terms["loss"].backward()
    torch.testing.assert_close(terms["elbo"], experiment.model(batch).log_px.mean())
    assert all(parameter.grad.any() for parameter in experiment.model.parameters())


# ---- as it is typed ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(small_npz, tmp_path_factory):
    """A CVAE, and the network without latent variables, in one folder."""
    folder = tmp_path_factory.mktemp("structured")
    words = [*small_overrides(small_npz), "model=structured_cvae", "prior.width=8", "latent_dim=2"]
    trained([*words, "logging.importance_samples=3"], folder / "cvae")
    network = [*[word for word in words if "prior" not in word], "structure=density"]
    trained(network, folder / "network")
    trained([*network, "likelihood=discretized_logistic", "condition.given=3"], folder / "levels")
    return folder


def test_a_run_needs_the_pictures_that_it_completes(runs, small_npz):
    run = load_run(runs / "cvae")
    x = np.load(small_npz)["x"][:4] / 255 > 0.5
    sample, px = run.sample(4, x=x, seed=1), run.generate(4, x=x, seed=1).px
    assert torch.equal(sample[..., 8:, :8], torch.as_tensor(x[..., 8:, :8]).float())
    assert px.mean.shape == (1, 4, 1, 16, 16)
    z = run.encode(x)["z"].mean[None]
    torch.testing.assert_close(run.decode(z, x=x).mean, run.model.decode({"z": z}, run.batch(x).c).mean)
    for made in (lambda: run.sample(4), lambda: run.decode(z)):
        with pytest.raises(ConfigError, match="x is needed, of which what is given counts"):
            made()
    with pytest.raises(ConfigError, match="3 examples have 4 rows of x"):
        run.sample(3, x=x)
    network = load_run(runs / "network")
    assert network.encode(x) == {}
    torch.testing.assert_close(network.log_prob(x, samples=2), network.log_prob(x, samples=1))
    with pytest.raises(ConfigError, match="no latent variables, so nothing to decode"):
        network.decode(z, x=x)


def evaluated(runs, name):
    done = command("eval", f"run={name}", "likelihood.samples=20", "likelihood.subset=0", cwd=runs)
    assert (done.status, done.stderr) == (0, "")
    return done.stdout, json.loads((runs / name / "metrics.json").read_text())


def test_evaluation_tells_importance_sampling_from_draws_of_the_prior(runs):
    told, metrics = evaluated(runs, "cvae")
    figures = {one["name"]: one for one in metrics["evaluation"]["likelihood"]["findings"]}
    assert list(figures) == ["elbo", "reconstruction", "kl", "iwae_20", "monte_carlo_20"]
    assert figures["monte_carlo_20"]["error"] > 0
    assert figures["elbo"]["value"] < figures["iwae_20"]["value"]
    assert metrics["test"].keys() >= {"test/elbo", "test/iwae_3"}
    assert "z: no mutual information, as p depends on the condition" in told


def test_evaluation_of_a_density_is_exact_and_nothing_else(runs):
    told, metrics = evaluated(runs, "network")
    (figure,) = metrics["evaluation"]["likelihood"]["findings"]
    assert figure["name"] == "log_likelihood"
    assert figure["value"] == pytest.approx(metrics["test"]["test/elbo"], rel=1e-6)
    assert figure["error"] > 0
    for group in ("latents", "clustering", "probes", "disentanglement"):
        assert f"{group}: skipped: this model has no latent variables" in told


def test_bits_of_a_run_are_of_the_unknown_numbers(runs):
    """A quarter of 16 x 16 pixels."""
    _, metrics = evaluated(runs, "levels")
    figures = {one["name"]: one["value"] for one in metrics["evaluation"]["likelihood"]["findings"]}
    bits = -figures["log_likelihood"] / (64 * math.log(2))
    assert figures["bits_per_dimension"] == pytest.approx(bits, rel=1e-6)
    assert metrics["test"]["test/bits_per_dimension"] == pytest.approx(bits, rel=1e-6)


def sampled(runs, name, *words):
    done = command("sample", f"run={name}", *words, cwd=runs)
    assert (done.status, done.stderr) == (0, "")
    what = words[0].removeprefix("what=")
    return np.load(runs / name / "samples" / f"{what}.npz")


@pytest.mark.parametrize("name", ["cvae", "network"])
@pytest.mark.parametrize("what", ["samples", "reconstructions"])
def test_pictures_are_completed(runs, name, what):
    found = sampled(runs, name, f"what={what}", "n=9")
    x = load_run(runs / name)
    truth = build_data(x.config).test.peek(torch.as_tensor(found["index"]))
    given = truth.mask == 0
    for key in ("x", "mean"):
        assert torch.equal(torch.as_tensor(found[key])[given], truth.x[given])
    assert not torch.equal(torch.as_tensor(found["mean"]), truth.x)


@pytest.mark.parametrize("what", ["traversals", "interpolations", "manifold"])
def test_walks_keep_what_is_given(runs, what):
    mean = sampled(runs, "cvae", f"what={what}", "n=2")["mean"].reshape(-1, 16, 16)
    assert len(mean) > 2
    given = mean[:, 8:, :8].reshape(len(mean), -1)
    if what != "interpolations":
        assert len(np.unique(given, axis=0)) <= 2
        assert set(np.unique(given)) <= {0, 1}
    assert len(np.unique(mean.reshape(len(mean), -1), axis=0)) > 2


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("sample", "run=network what=traversals", "what=traversals needs latent variables, and this model has none"),
        ("sample", "run=network what=interpolations", "what=interpolations needs latent variables"),
        ("sample", "run=network what=manifold", "what=manifold needs latent variables"),
        ("sample", "run=network what=impute", "what=impute needs latent variables"),
        ("sample", "run=network temperature=0.5", "temperature=0.5: structure=density has no prior"),
        ("sample", "run=cvae what=impute", "what=samples completes x"),
        ("sample", "run=cvae what=class_grid", "what=class_grid needs a run that was trained with condition=label"),
        ("encode", "run=network", "this model has no latent variables, so there are no codes"),
        ("export", "run=network", "structure=density cannot be exported"),
    ],
)
def test_what_a_model_cannot_give_is_one_line(runs, name, line, message):
    done = command(name, *line.split(), cwd=runs)
    assert done.status == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_codes_and_programs_of_a_cvae(runs):
    assert command("encode", "run=cvae", "out=codes.npz", cwd=runs).status == 0
    assert np.load(runs / "codes.npz")["z_mean"].shape == (75, 2)
    done = command("export", "run=cvae", cwd=runs)
    assert done.status == 0, done.stderr
    assert "c [examples, 1, 16, 16]" in done.stdout
    words = json.loads((runs / "cvae" / "export" / "export.json").read_text())["c"]
    assert words == "x where it is given (bottom left quadrant), 0.5 elsewhere"


def test_the_recipe_is_the_example_of_pyro():
    config = composed(["experiment=sohn2015_mnist", "condition.given=3"])
    assert (config.latent_dim, config.prior.width, config.prior.depth) == (200, 500, 2)
    assert (config.condition.given, config.trainer.patience) == (3, 3)
    assert leaf("prior", "conditional_mlp")._target_ == leaf("prior", "conditional")._target_
