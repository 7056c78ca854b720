"""A run of the command line of which everything is known: ten numbers, three latent dimensions, linear."""

import math

import numpy as np
import pytest
import torch
from conftest import trained
from omegaconf import OmegaConf
from parts import CONF, often
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_cli.evaluation.likelihood import likelihood
from vae_cli.evaluation.subject import Subject
from vae_cli.loading import load_run

SIGMA = 0.5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 10)) + SIGMA * rng.normal(size=(400, 10))
    path = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(path, x.astype("float32"))
    return path


def judged(data, folder, posterior):
    """Exact quantities of the test examples [N], and what `vae-eval` reports."""
    words = ["dataset=arrays", f"dataset.path={data}", "architecture.depth=0", "latent_dim=3", "likelihood=gaussian"]
    words += [
        f"likelihood.sigma={SIGMA}",
        "likelihood.squash=false",
        f"posterior={posterior}",
        "optimizer.lr=0.01",
        "dataset.batch_size=20",
    ]
    trained([*words, "trainer.max_epochs=30", "trainer.accelerator=cpu", "logging.pictures_every_n_epochs=0"], folder)
    run = load_run(folder, accelerator="cpu")
    subject = Subject(run)
    settings = OmegaConf.load(CONF / "eval.yaml").likelihood
    settings.merge_with({"samples": 1000, "ais": {"chains": 0}, "gaps": {"steps": 1000}})
    found = {finding.name: finding for finding in likelihood(subject, settings).findings}
    x = torch.cat([batch.x for batch in subject.batches(100)]).double()
    decoder = run.model.decoder._body.last
    w, b = decoder.weight.double(), decoder.bias.double()
    log_p = MultivariateNormal(b, w @ w.mT + SIGMA**2 * torch.eye(10).double()).log_prob(x)
    precision = torch.eye(3).double() + w.mT @ w / SIGMA**2
    q = run.encode(x.float())["z"]
    mean, covariance = (
        q.mean.double(),
        q.covariance_matrix.double() if posterior == "cholesky" else torch.diag_embed(q.variance.double()),
    )
    expected = Normal(mean @ w.mT + b, SIGMA).log_prob(x).sum(-1)
    expected = expected - torch.einsum("ij,nij->n", w.mT @ w, covariance) / (2 * SIGMA**2)
    prior = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    elbo = expected - kl_divergence(MultivariateNormal(mean, covariance), prior)
    return found, log_p, elbo, precision


@pytest.mark.parametrize("posterior", often(["cholesky", "diagonal"], ["diagonal"]))
def test_gaps_are_those_of_the_closed_forms(data, tmp_path, posterior):
    """The best diagonal q loses 1/2 (sum_i ln P_ii - ln det P), P the posterior's precision; a full one nothing."""
    found, log_p, elbo, precision = judged(data, tmp_path / "run", posterior)
    lost = 0.5 * float(precision.diagonal().log().sum() - torch.logdet(precision)) if posterior == "diagonal" else 0.0
    assert found["iwae_1000"].value == pytest.approx(float(log_p.mean()), abs=0.02)
    assert found["elbo"].value == pytest.approx(float(elbo.mean()), abs=0.1)
    assert found["approximation_gap"].value == pytest.approx(lost, abs=0.05)
    assert found["amortisation_gap"].value == pytest.approx(float((log_p - elbo).mean()) - lost, abs=0.1)
    assert lost > 0.1 or posterior == "cholesky"
    assert math.isfinite(found["elbo"].error)
