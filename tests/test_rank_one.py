"""A precision that is diagonal but for one direction, against the same Gaussian written out in full."""

import math

import pytest
import torch
import yaml
from conftest import composed, resumed, trained
from hydra.utils import instantiate
from parts import leaf
from pytorch_lightning import Trainer
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from vae_cli.build import build_data, build_experiment
from vae_cli.distributions.joined import joined
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.distributions.rank_one_gaussian import RankOneGaussian
from vae_cli.loading import load_run
from vae_cli.noise import by_example
from vae_cli.schedules import FINAL_STEP
from vae_cli.types import Real, Spec

B, Z = 5, 6


def pair(size=1.0):
    """The distribution and its D and u in full."""
    mean, direction = torch.randn(2, B, Z, dtype=torch.float64)
    scale = torch.randn(B, Z, dtype=torch.float64).exp()
    u = size * direction / scale
    precision = torch.diag_embed(scale**-2) + u[:, :, None] * u[:, None, :]
    full = MultivariateNormal(mean, precision_matrix=precision)
    return RankOneGaussian(mean, scale, size * direction), full


@pytest.mark.parametrize("size", [0.0, 0.1, 1.0, 10.0])
def test_everything_is_that_of_the_full_precision_matrix(size):
    q, full = pair(size)
    value = full.sample(torch.Size((7,)))
    torch.testing.assert_close(q.log_prob(value), full.log_prob(value))
    torch.testing.assert_close(q.mean, full.mean)
    torch.testing.assert_close(q.variance, full.variance)
    torch.testing.assert_close(q.covariance_matrix, full.covariance_matrix)
    torch.testing.assert_close(q.entropy(), full.entropy())
    torch.testing.assert_close(q.half_log_det, 0.5 * torch.logdet(full.covariance_matrix))


def test_draws_have_the_covariance():
    q, full = pair()
    draws = q.sample(torch.Size((200_000,)))
    for number in range(B):
        found, expected = draws[:, number].T.cov(), full.covariance_matrix[number]
        variance = expected.diagonal()
        error = ((expected**2 + torch.outer(variance, variance)) / len(draws)).sqrt()  # of a covariance (Wishart)
        assert ((found - expected).abs() < 5 * error).all()


def test_kl_to_any_diagonal_gaussian_is_that_of_the_full_one():
    q, full = pair()
    loc, scale = torch.randn(Z).double(), torch.rand(Z).double() + 0.5
    p = Independent(Normal(loc, scale), 1)
    expected = kl_divergence(full, MultivariateNormal(loc, torch.diag(scale**2)))
    torch.testing.assert_close(kl_divergence(q, p), expected)


def test_the_rank_one_part_is_of_the_precision():
    """D + u u^T takes variance away, so that C - D^-1 <= 0; rank one in the covariance, D^-1 + u u^T, would add it."""
    q, _ = pair()
    added = torch.linalg.inv(q.covariance_matrix) - torch.diag_embed(q.scale**-2)
    u = q.direction / q.scale
    torch.testing.assert_close(added, u[:, :, None] * u[:, None, :])
    taken = torch.linalg.eigvalsh(q.covariance_matrix - torch.diag_embed(q.scale**2))
    assert (taken[:, 0] < -1e-3).all()
    torch.testing.assert_close(taken[:, 1:], torch.zeros(B, Z - 1).double(), rtol=0, atol=1e-9)
    assert (q.variance < q.scale**2).all()


def test_without_a_direction_values_and_gradients_are_those_of_independent_dimensions():
    mean, scale = torch.randn(B, Z, dtype=torch.float64), torch.rand(B, Z, dtype=torch.float64) + 0.5
    direction = torch.zeros(B, Z, dtype=torch.float64, requires_grad=True)
    q, value = RankOneGaussian(mean, scale, direction), torch.randn(B, Z).double()
    torch.testing.assert_close(q.log_prob(value), Normal(mean, scale).log_prob(value).sum(-1))
    (q.log_prob(q.rsample()) + q.entropy() + q.variance.sum(-1)).sum().backward()
    torch.testing.assert_close(direction.grad, torch.zeros_like(direction), rtol=0, atol=1e-12)  # even in v
    torch.autograd.gradcheck(lambda *parts: RankOneGaussian(*parts).log_prob(value), (mean, scale, direction))


@pytest.mark.parametrize(("choice", "lost"), [("low_rank", 0.0), ("diagonal", 0.608)])
def test_one_direction_explains_what_independent_dimensions_cannot(choice, lost):
    """KL(q || p(z | x)) at its least, of x = W z + noise whose two columns are nearly the same: precision I + W^T W."""
    w = torch.tensor([[1, 0.95], [0.3, 0.35], [2, 2.1], [0, 0.1]]).double()
    exact = MultivariateNormal(torch.zeros(2).double(), precision_matrix=torch.eye(2).double() + w.mT @ w)
    part = instantiate(leaf("posterior", choice))(Spec(torch.Size((2,)), Real())).double()
    h = torch.randn(part.param_shape, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([h], max_iter=500, line_search_fn="strong_wolfe")

    def divergence():
        q = part(h)
        covariance = q.covariance_matrix if choice == "low_rank" else torch.diag_embed(q.variance)
        return kl_divergence(MultivariateNormal(q.mean, covariance), exact)

    def closure():
        optimizer.zero_grad()
        loss = divergence()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(divergence().detach()) == pytest.approx(lost, abs=0.01)


def test_a_direction_is_held_for_its_steps_and_free_afterwards_and_in_evaluation():
    part = instantiate(leaf("posterior", "low_rank"), held_steps=5)(Spec(torch.Size((Z,)), Real())).double()
    h, value = torch.randn(B, 3 * Z, dtype=torch.float64), torch.randn(B, Z).double()
    free = part(h).log_prob(value)
    scale = torch.exp(10 * torch.tanh(h[:, Z : 2 * Z] / 10))
    for step in (0, 4):
        part.at(step)
        torch.testing.assert_close(part(h).log_prob(value), Normal(h[:, :Z], scale).log_prob(value).sum(-1))
    for step in (5, FINAL_STEP):
        part.at(step)
        assert torch.equal(part(h).log_prob(value), free)


def test_training_holds_what_validation_does_not(small):
    """While it is held, weights that only the direction reads have no gradient; validation uses q as it ends."""
    config = composed([*small, "posterior=low_rank", "posterior.held_steps=1"])
    data = build_data(config)
    experiment = build_experiment(config, data)
    batch = next(iter(data.train))
    experiment.trainer = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    (weight,) = [parameter for parameter in experiment.model.encoder.parameters() if parameter.shape == (9, 8)]
    gradients, done = [], experiment.trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    for step in (0, 1):
        done.total.completed = step
        (gradient,) = torch.autograd.grad(experiment.training_step(batch, 0), weight)
        gradients.append(gradient[6:].abs().max())
    assert gradients[0] == 0 < gradients[1]
    assert not experiment.model.posterior._held


def test_single_precision_is_enough_at_the_largest_directions():
    direction = torch.tensor([10.0] * 5 + [-10.0, 0.0, 1e-3])
    exact = RankOneGaussian(*(part.double() for part in (torch.zeros(8), torch.ones(8), direction)))
    q = RankOneGaussian(torch.zeros(8), torch.ones(8), direction)
    value = exact.sample(torch.Size((1000,)))
    torch.testing.assert_close(q.log_prob(value.float()).double(), exact.log_prob(value), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(q.variance.double(), exact.variance, rtol=1e-4, atol=0)


def test_it_is_a_gaussian_wherever_gaussians_are_asked_for():
    q, full = pair()
    marginals = normal_marginals(q)
    torch.testing.assert_close(marginals.mean, full.mean)
    torch.testing.assert_close(marginals.stddev, full.stddev)
    order = torch.tensor([3, 0, 4, 1, 2])
    parts = [RankOneGaussian(*(part[rows] for part in (q.loc, q.scale, q.direction))) for rows in ([0, 1], [2, 3, 4])]
    value = torch.randn(B, Z).double()
    torch.testing.assert_close(joined(parts, order).log_prob(value), full.log_prob(value[order.argsort()])[order])


def test_noise_by_example_serves_it():
    q, _ = pair()
    with by_example(["a", "b", "c", "d", "e"], 0):
        draws = q.rsample(torch.Size((40_000,)))
    error = (draws.mean(0) - q.mean).abs() / q.stddev
    assert error.max() < 5 / math.sqrt(40_000)


def test_a_run_of_before_holds_no_direction(small, tmp_path):
    trained([*small, "posterior=low_rank", "trainer.max_epochs=1"], tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    content = yaml.safe_load(path.read_text())
    del content["posterior"]["held_steps"], content["trainer"]["threads"]
    path.write_text(yaml.safe_dump(content))
    assert load_run(tmp_path / "run").config.posterior.held_steps == 0
    assert resumed(tmp_path / "run", lambda config: config.trainer.__setattr__("max_epochs", 2)).state == "finished"
