"""Estimates of ln p(x) against a model of which it is known."""

import math
from functools import partial

import pytest
import torch
from conftest import small_overrides, trained
from omegaconf import OmegaConf
from ppca import DATA, linear_gaussian, log_evidence, set_exact_posterior
from torch import Size
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_cli.errors import ConfigError
from vae_cli.evaluation.likelihood import likelihood
from vae_cli.evaluation.subject import Subject
from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.inference import fit_q
from vae_cli.inference.annealed import Annealed, Annealing, annealed
from vae_cli.inference.fit_q import Fitting, fitted
from vae_cli.inference.likelihood import bounds
from vae_cli.inference.memory import draws_within, parts
from vae_cli.loading import load_run
from vae_cli.networks.mlp import MLP
from vae_cli.noise import _pairs, by_example, digests
from vae_cli.precision import lower_networks
from vae_cli.priors.standard import Standard
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Parts, Real, Spec

MEGABYTE = 10**6


def examples(number=20):
    """A model whose posterior is a little off, and data that it generates."""
    model = linear_gaussian().eval().requires_grad_(False)
    set_exact_posterior(model)
    model.encoder.linear.bias += torch.tensor([0.3, -0.3, 0.2, 0.2, 0.1])
    return model, Batch(model.generate(number).px.sample()[0])


# ---- noise by example ----------------------------------------------------------------------------------------------


def noise_of(batch, samples, *, first=0, rest=(3,), dtype=torch.float64):
    with by_example(digests(batch), 0, first=first):
        return torch.empty(samples, len(batch.x), *rest, dtype=dtype).normal_()


def test_noise_depends_on_the_example_and_not_on_its_batch():
    batch = Batch(torch.randn(6, 4))
    whole, order = noise_of(batch, 10), torch.tensor([3, 0, 5])
    assert torch.equal(noise_of(Batch(batch.x[order]), 10), whole[:, order])
    assert not torch.equal(whole[:, 0], whole[:, 1])


def test_the_generator_is_splitmix64():
    """Its first numbers from 1234567, as published with its reference code."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    low, high = _pairs(torch.tensor([1234567]), 0, 1, 5, torch.float64)
    halves = zip(low.flatten().tolist(), high.flatten().tolist(), strict=True)
    assert [(a * 2**31 - 0.5, b * 2**31 - 0.5) for a, b in halves] == [(n % 2**31, (n >> 32) % 2**31) for n in known]


def test_noise_depends_on_the_condition():
    x = torch.randn(4).expand(2, 4)
    noise = noise_of(Batch(x, c=torch.eye(2)), 10)
    assert not torch.equal(noise[:, 0], noise[:, 1])


def test_noise_is_the_same_in_any_parts():
    batch = Batch(torch.randn(2, 4))
    in_parts = torch.cat([noise_of(batch, 3), noise_of(batch, 1, first=3), noise_of(batch, 6, first=4)])
    assert torch.equal(in_parts, noise_of(batch, 10))


def test_every_draw_of_a_pass_and_every_seed_has_noise_of_its_own():
    examples = digests(Batch(torch.randn(2, 4)))
    draws = []
    for seed in (0, 1):
        with by_example(examples, seed):
            draws += [torch.empty(5, 2).normal_(), torch.empty(5, 2).normal_()]
    assert len(torch.stack(draws).unique()) == 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_has_the_moments_of_the_normal(dtype):
    noise = noise_of(Batch(torch.randn(50, 4)), 2000, rest=(7,), dtype=dtype).double()  # 700,000 numbers
    moments = [float((noise**power).mean()) for power in (1, 2, 3, 4, 6)]
    assert moments == pytest.approx([0, 1, 0, 3, 15], abs=0.25)
    assert moments[:2] == pytest.approx([0, 1], abs=0.005)
    within = torch.tensor([-2.0, -1, 0, 1, 2, 4]).double()
    shares = torch.stack([(noise < edge).double().mean() for edge in within])
    torch.testing.assert_close(shares, Normal(0.0, 1.0).cdf(within), rtol=0, atol=0.002)


@pytest.mark.parametrize("dims", [(0, 1), (0, 2), (1, 2)])
def test_noise_is_independent_along_every_axis(dims):
    noise = noise_of(Batch(torch.randn(40, 4)), 100, rest=(30,))
    other = ({0, 1, 2} - set(dims)).pop()
    rows = noise.movedim(other, 0).flatten(1)  # each index along that axis is one variable
    off = torch.corrcoef(rows).fill_diagonal_(0)
    assert float(off.abs().max()) < 6 / math.sqrt(rows.shape[1])


def test_uniform_noise_fills_the_interval():
    with by_example(digests(Batch(torch.randn(10, 4)))):
        noise = torch.empty(5000, 10).uniform_()
    assert 0 < float(noise.min()) < 1e-3
    assert 1 - 1e-3 < float(noise.max()) <= 1
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(noise.var()) == pytest.approx(1 / 12, abs=0.002)


def test_noise_that_has_no_examples_is_refused():
    with by_example(["a"]), pytest.raises(AssertionError, match="no randn by example"):
        torch.randn(3)


# ---- bounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1, 7, 150, 5000])
@pytest.mark.parametrize("memory", [10_000, 10 * MEGABYTE])
def test_exactly_so_many_draws_are_made(num_samples, memory):
    model, batch = examples(3)
    draws = []

    def counting(*arguments):
        draw = passes(*arguments)
        return lambda number: draws.append((number, len(arguments[0].x))) or draw(number)

    passes, model.passes = model.passes, counting
    allowed = draws_within(memory, model, batch)
    draws.clear()
    bounds(model, batch, num_samples, seed=0, memory=memory)
    del draws[:2]  # those that measure
    assert sum(number * size for number, size in draws) == 3 * num_samples
    assert max(number * size for number, size in draws) <= allowed


def test_parts():
    assert parts(10, 4) == [4, 3, 3]
    assert parts(10, 20) == [10]
    assert all(sum(parts(n, most)) == n and max(parts(n, most)) <= most for n in range(1, 30) for most in range(1, 30))


def test_every_draw_is_within_memory():
    model, batch = examples(3)
    few = [draws_within(memory, model, batch) for memory in (1, 10**5, 10**6)]
    assert few[0] == 1
    assert few[2] == pytest.approx(10 * few[1], rel=0.01)
    assert 10**6 / few[2] > 8 * (2 + 5)  # bytes of z and of the mean of x


def test_lower_precision_in_networks_changes_figures_little_and_the_size_of_a_pass_hardly():
    wide = partial(MLP, width=300, depth=1, activation="relu")
    model = Single(
        DATA, Parts(2, wide, wide, partial(FixedGaussian, sigma=0.5, squash=False), Diagonal, Standard, wide)
    )
    model, batch = model.eval().requires_grad_(False), Batch(torch.randn(3, 5))
    before = draws_within(MEGABYTE, model, batch)
    exact = bounds(model, batch, 150, seed=0, memory=MEGABYTE)
    lower_networks(model, "cpu", torch.bfloat16)
    assert before <= draws_within(MEGABYTE, model, batch) <= 2.2 * before
    lower = bounds(model, batch, 150, seed=0, memory=MEGABYTE)
    assert not torch.equal(lower.importance_weighted, exact.importance_weighted)
    torch.testing.assert_close(lower.importance_weighted, exact.importance_weighted, rtol=0, atol=0.2)


def test_figures_depend_neither_on_batches_nor_on_order_nor_on_memory():
    model, batch = examples(20)
    whole = bounds(model, batch, 40, seed=0, memory=MEGABYTE)
    order = torch.randperm(20)
    for memory in (1, 20_000, 100 * MEGABYTE):
        found = bounds(model, Batch(batch.x[order]), 40, seed=0, memory=memory)
        torch.testing.assert_close(found.importance_weighted, whole.importance_weighted[order], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.elbo, whole.elbo[order], rtol=1e-12, atol=1e-12)


def test_figures_are_the_same_twice_and_follow_the_seed():
    model, batch = examples()
    first, second, other = (bounds(model, batch, 50, seed=seed, memory=MEGABYTE) for seed in (0, 0, 1))
    assert torch.equal(first.importance_weighted, second.importance_weighted)
    assert torch.equal(first.elbo, second.elbo)
    assert not torch.equal(first.importance_weighted, other.importance_weighted)


def test_bounds_are_ordered_and_tighten():
    model, batch = examples(200)
    truth = log_evidence(model, batch.x).mean()
    found = [bounds(model, batch, k, seed=0, memory=10 * MEGABYTE) for k in (1, 5, 5000)]
    means = [float(one.importance_weighted.mean()) for one in found]
    assert means == sorted(means)
    assert float(found[-1].elbo.mean()) < means[1] - 0.05
    assert means[-1] == pytest.approx(float(truth), abs=0.05)


def test_elbo_is_that_of_the_closed_forms():
    """E_q[ln p(x | z)] of a linear-Gaussian model: at the mean, less the trace of the covariance seen through W."""
    model, batch = examples()
    found = bounds(model, batch, 20_000, seed=0, memory=10 * MEGABYTE)
    q, w = model.infer(batch.x), model.decoder.linear.weight
    spread = (w.mT @ w @ q.covariance_matrix).diagonal(dim1=-2, dim2=-1).sum(-1)
    at_mean = model.decode({"z": q.mean[None]}).log_prob(batch.x)[0]
    torch.testing.assert_close(found.reconstruction, at_mean - spread / (2 * 0.5**2), rtol=0.02, atol=0.1)
    kl = 0.5 * (q.variance.sum(-1) + q.mean.square().sum(-1) - 2 - torch.logdet(q.covariance_matrix))
    torch.testing.assert_close(found.kl, kl)


@pytest.mark.parametrize("num_samples", [1, 7, 150])
def test_every_bound_is_the_truth_at_the_exact_posterior(num_samples):
    model, batch = examples()
    set_exact_posterior(model)
    found = bounds(model, batch, num_samples, seed=0, memory=10_000)
    torch.testing.assert_close(found.importance_weighted, log_evidence(model, batch.x))


def test_random_numbers_elsewhere_stay_as_they_were():
    model, batch = examples()
    before = torch.get_rng_state()
    bounds(model, batch, 7, seed=0, memory=MEGABYTE)
    assert torch.equal(torch.get_rng_state(), before)


def test_features_that_are_handed_over_take_the_place_of_the_encoders():
    model, batch = examples()
    said = model.read(Batch(batch.x + 1))
    found = bounds(model, batch, 7, seed=0, memory=20_000, features=said)
    model.read = None
    q = model.posterior(said["z"])
    torch.testing.assert_close(found.kl, kl_divergence(q, MultivariateNormal(q.mean * 0, torch.eye(2).double())))


# ---- annealed importance sampling ----------------------------------------------------------------------------------


def test_annealing_gives_the_truth():
    model, batch = examples(100)
    found = annealed(model, batch, Annealing(chains=16, steps=300, leapfrog=5), seed=0, memory=10 * MEGABYTE)
    error = found.log_evidence - log_evidence(model, batch.x)
    assert float(error.mean().abs()) < 0.03
    assert float(error.abs().max()) < 0.5
    assert float(found.acceptance.mean()) == pytest.approx(0.65, abs=0.1)


def test_the_error_of_annealing_is_how_far_other_chains_scatter():
    model, batch = examples(100)
    how = Annealing(chains=6, steps=20, leapfrog=3)
    found = [annealed(model, batch, how, seed=seed, memory=10 * MEGABYTE) for seed in range(20)]
    scatter = torch.stack([one.log_evidence for one in found]).var(0).mean().sqrt()
    told = torch.stack([one.error for one in found]).square().mean().sqrt()
    assert float(told) == pytest.approx(float(scatter), rel=0.2)


def test_many_chains_and_steps_are_exact():
    model, batch = examples(6)
    found = annealed(model, batch, Annealing(chains=300, steps=300, leapfrog=3), seed=0, memory=100 * MEGABYTE)
    assert (found.log_evidence - log_evidence(model, batch.x)).abs().max() < 0.05
    assert found.error.max() < 0.05


def test_annealing_does_not_look_at_the_encoder():
    model, batch = examples()
    how = Annealing(chains=2, steps=20, leapfrog=2)
    before = annealed(model, batch, how, seed=0, memory=MEGABYTE).log_evidence
    model.encoder.linear.weight.normal_()
    torch.testing.assert_close(annealed(model, batch, how, seed=0, memory=MEGABYTE).log_evidence, before)


def test_annealing_in_one_step_is_the_mean_over_the_prior():
    """With one step the weight is p(x | z) at a draw of the prior."""
    model, batch = examples(30)
    found = annealed(model, batch, Annealing(chains=5, steps=1, leapfrog=1), seed=0, memory=MEGABYTE)
    with by_example(digests(batch), 0, "prior"):
        z = torch.empty(5, 30, 2).double().normal_()
    expected = model.decode({"z": z}).log_prob(batch.x).logsumexp(0) - math.log(5)
    torch.testing.assert_close(found.log_evidence, expected)


def test_annealing_is_a_lower_bound_that_more_steps_tighten():
    model, batch = examples(100)
    truth = log_evidence(model, batch.x)
    errors = []
    for steps in (1, 10, 100):
        found = annealed(model, batch, Annealing(chains=2, steps=steps, leapfrog=3), seed=0, memory=10 * MEGABYTE)
        errors.append(float((found.log_evidence - truth).mean()))
    assert errors == sorted(errors)
    assert errors[0] < -0.5
    assert -0.2 < errors[-1] < 0.02


def test_annealing_depends_neither_on_batches_nor_on_order():
    model, batch = examples(12)
    how, order = Annealing(chains=3, steps=30, leapfrog=3), torch.randperm(12)
    whole = annealed(model, batch, how, seed=0, memory=10 * MEGABYTE).log_evidence
    found = annealed(model, Batch(batch.x[order]), how, seed=0, memory=10_000).log_evidence
    torch.testing.assert_close(found, whole[order], rtol=1e-9, atol=1e-9)
    assert not torch.equal(annealed(model, batch, how, seed=1, memory=10 * MEGABYTE).log_evidence, whole)


def test_annealing_conditions_and_masks_as_the_model_does():
    """A mask leaves coordinates out: their values change nothing."""
    model, batch = examples(5)
    mask = torch.ones(5, 5).double()
    mask[:, 3:] = 0
    how = Annealing(chains=16, steps=200, leapfrog=5)
    found = annealed(model, batch._replace(mask=mask), how, seed=0, memory=MEGABYTE).log_evidence
    w, b = model.decoder.linear.weight[:3], model.decoder.linear.bias[:3]
    truth = MultivariateNormal(b, w @ w.mT + 0.25 * torch.eye(3).double()).log_prob(batch.x[:, :3])
    torch.testing.assert_close(found, truth, rtol=0, atol=0.3)
    assert float((found - truth).mean()) == pytest.approx(0, abs=0.1)


# ---- q for every example -------------------------------------------------------------------------------------------

FITTING = Fitting(steps=1000, samples=8, lr=0.03)


def gaps(model, batch):
    """Of approximation, of amortisation: means over the examples."""
    best = fitted(model, batch, FITTING, seed=0, memory=10 * MEGABYTE)
    reached = bounds(model, batch, 5000, seed=0, memory=10 * MEGABYTE, features=best).elbo
    own = bounds(model, batch, 5000, seed=0, memory=10 * MEGABYTE).elbo
    return float((log_evidence(model, batch.x) - reached).mean()), float((reached - own).mean())


def test_every_gap_is_zero_at_the_exact_posterior():
    model, batch = examples()
    set_exact_posterior(model)
    assert gaps(model, batch) == pytest.approx((0, 0), abs=0.02)


def test_what_an_encoder_loses_is_found_again():
    model, batch = examples()
    approximation, amortisation = gaps(model, batch)
    q, exact = model.infer(batch.x), linear_gaussian().requires_grad_(False)
    exact.load_state_dict(model.state_dict())
    set_exact_posterior(exact)
    lost = float(kl_divergence(q, exact.infer(batch.x)).mean())
    assert amortisation == pytest.approx(lost, abs=0.03)
    assert approximation == pytest.approx(0, abs=0.02)
    assert lost > 0.3


def test_what_a_family_loses_stays():
    """The best q of independent dimensions has the precisions of the exact posterior (Bishop 2006, section 10.1.2)."""
    model, batch = examples()
    set_exact_posterior(model)
    precision = torch.linalg.inv(model.infer(batch.x[:1]).covariance_matrix[0])
    lost = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    model.posterior = Diagonal(Spec(Size((2,)), Real()))
    model.encoder.linear = torch.nn.Linear(5, 4).double().requires_grad_(False)
    approximation, amortisation = gaps(model, batch)
    assert approximation == pytest.approx(float(lost), abs=0.03)
    assert amortisation > 1


def test_a_fit_depends_neither_on_batches_nor_on_order(monkeypatch):
    monkeypatch.setattr(fit_q, "_WINDOW", 10)
    monkeypatch.setattr(fit_q, "_BETTER", 0.1)  # some examples are done before others, and before they are best
    model, batch = examples(6)
    how, order = Fitting(steps=300, samples=3, lr=0.03), torch.randperm(6)
    whole = fitted(model, batch, how, seed=0, memory=10 * MEGABYTE)["z"]
    found = fitted(model, Batch(batch.x[order]), how, seed=0, memory=200_000)["z"]
    torch.testing.assert_close(found, whole[order], rtol=1e-7, atol=1e-7)
    assert not torch.equal(whole, model.read(batch)["z"])


def test_a_fit_without_steps_is_the_encoder():
    model, batch = examples()
    how = Fitting(steps=0, samples=3, lr=0.03)
    assert torch.equal(fitted(model, batch, how, seed=0, memory=MEGABYTE)["z"], model.read(batch)["z"])


# ---- the group of figures ------------------------------------------------------------------------------------------

SETTINGS = {
    "samples": 20,
    "subset": 5,
    "ais": {"chains": 2, "steps": 10, "leapfrog": 2},
    "gaps": {"steps": 60, "samples": 2, "lr": 0.02},
}


@pytest.fixture(scope="module")
def path(small_npz, tmp_path_factory):
    path = tmp_path_factory.mktemp("likelihood") / "run"
    trained([*small_overrides(small_npz), "likelihood=discretized_logistic"], path)
    return path


def report(path, **changes):
    return likelihood(Subject(load_run(path, accelerator="cpu")), OmegaConf.create({**SETTINGS, **changes}))


def figures(report):
    return {finding.name: finding for finding in report.findings}


def test_the_group_reports_means_and_their_standard_errors(path):
    found = figures(report(path))
    subject = Subject(load_run(path, accelerator="cpu"))
    (batch,) = subject.batches(100)
    log_p = subject.run.log_prob(batch.x, samples=20)
    assert found["iwae_20"].value == pytest.approx(float(log_p.mean()))
    assert found["iwae_20"].error == pytest.approx(float(log_p.numpy().std(ddof=1) / math.sqrt(11)))
    assert found["bits_per_dimension"].value == pytest.approx(-float(log_p.mean()) / 256 / math.log(2))
    assert found["elbo"].value == pytest.approx(found["reconstruction"].value - found["kl"].value)
    assert found["iwae_20"].value > found["elbo"].value
    few = subject.some(5)
    assert found["iwae_20_subset"].value == pytest.approx(float(subject.run.log_prob(few.x, samples=20).mean()))


def test_the_gaps_add_up_to_what_the_elbo_lacks(path):
    found = figures(report(path, ais={**SETTINGS["ais"], "chains": 0}))
    subject = Subject(load_run(path, accelerator="cpu"))
    few = bounds(subject.model, subject.some(5), 20, seed=0, memory=10**9)
    lacking = float((few.importance_weighted - few.elbo).mean())
    assert found["approximation_gap"].value + found["amortisation_gap"].value == pytest.approx(lacking, rel=1e-4)
    assert found["approximation_gap"].note == "5 examples, ln p(x) by iwae_20"
    assert found["amortisation_gap"].value > 0


def test_the_larger_estimate_stands_for_the_truth(path, monkeypatch):
    all_seven = lambda batch: torch.full((len(batch.x),), 7.0).double()
    seven = lambda _model, batch, _how, **_: Annealed(all_seven(batch), 0 * all_seven(batch), torch.ones(1))
    monkeypatch.setattr("vae_cli.evaluation.likelihood.annealed", seven)
    found = report(path)
    assert figures(found)["approximation_gap"].note == "5 examples, ln p(x) by ais"
    assert "nats above iwae_20: the posterior misses" in found.remarks[0]
    assert found.details == {"ais_acceptance": 1.0, "ais": [7.0] * 5}


def test_the_group_leaves_out_what_is_switched_off(path):
    bare = ["elbo", "reconstruction", "kl", "iwae_20", "bits_per_dimension"]
    assert list(figures(report(path, subset=0))) == bare
    off = {"ais": {**SETTINGS["ais"], "chains": 0}, "gaps": {**SETTINGS["gaps"], "steps": 0}}
    assert list(figures(report(path, **off))) == bare


JUDGED = ["posterior=low_rank", "posterior=iaf", "posterior=spline", "prior=mixture", "prior=conditional_mixture"]


@pytest.mark.parametrize("word", JUDGED)
def test_every_posterior_and_prior_is_judged_whole(small_npz, tmp_path, word):
    trained([*small_overrides(small_npz), word, "condition=label", "trainer.max_epochs=1"], tmp_path / "run")
    found = figures(report(tmp_path / "run"))
    assert {"iwae_20", "ais", "approximation_gap", "amortisation_gap"} <= set(found)
    assert all(math.isfinite(finding.value) for finding in found.values())
    assert found["iwae_20"].value > found["elbo"].value


def test_nothing_is_annealed_on_a_sphere(small_npz, tmp_path):
    trained([*small_overrides(small_npz), "model=hyperspherical_vae", "trainer.max_epochs=1"], tmp_path / "run")
    found = report(tmp_path / "run")
    assert found.remarks == [
        "ais: skipped: it needs latent variables that are continuous, on no sphere, and a prior of Gaussians"
    ]
    assert {"iwae_20", "approximation_gap"} <= set(figures(found))
    assert "ais" not in figures(found)
    assert figures(found)["iwae_20"].value > figures(found)["elbo"].value


def test_the_number_of_draws_follows_the_device(path):
    assert "iwae_500" in figures(report(path, samples="auto", subset=0))


def test_densities_have_no_bits(small_npz, tmp_path):
    trained([*small_overrides(small_npz), "likelihood=gaussian", "trainer.max_epochs=1"], tmp_path / "run")
    assert "bits_per_dimension" not in figures(report(tmp_path / "run", subset=0))


BAD = {
    "likelihood.samples=0": {"samples": 0},
    "likelihood.samples=many": {"samples": "many"},
    "likelihood.samples=1000000000": {"samples": 10**9},
    "likelihood.subset=-1": {"subset": -1},
    "likelihood.subset=None": {"subset": None},
    "likelihood.ais.steps=0": {"ais": {**SETTINGS["ais"], "steps": 0}},
    "likelihood.ais.steps=1.5": {"ais": {**SETTINGS["ais"], "steps": 1.5}},
    "likelihood.ais.chains=-1": {"ais": {**SETTINGS["ais"], "chains": -1}},
    "likelihood.ais=3": {"ais": 3},
    "likelihood.gaps.lr=0": {"gaps": {**SETTINGS["gaps"], "lr": 0}},
    "likelihood.gaps.steps=-1": {"gaps": {**SETTINGS["gaps"], "steps": -1}},
    "likelihood.gaps.samples=0": {"gaps": {**SETTINGS["gaps"], "samples": 0}},
}


@pytest.mark.parametrize("message", BAD)
def test_settings_out_of_range_are_named_before_anything_is_computed(path, message, monkeypatch):
    monkeypatch.setattr("vae_cli.evaluation.likelihood.bounds", None)
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        report(path, **BAD[message])
