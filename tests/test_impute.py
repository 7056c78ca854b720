"""Draws of p(x_m | x_o) against a model of which it is known in closed form."""

import pytest
import torch
from ppca import SIGMA, linear_gaussian, set_exact_posterior

from vae_cli.errors import ConfigError
from vae_cli.inference.impute import Imputing, imputed
from vae_cli.types import Batch

OBSERVED = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]).double()
CHAINS = 2000


def conditional(model, x):
    """Mean and covariance of the last two coordinates given the first three."""
    w, b = model.decoder.linear.weight, model.decoder.linear.bias
    covariance = w @ w.mT + SIGMA**2 * torch.eye(5).double()
    gain = covariance[3:, :3] @ torch.linalg.inv(covariance[:3, :3])
    return b[3:] + gain @ (x[:3] - b[:3]), covariance[3:, 3:] - gain @ covariance[:3, 3:]


def chains(off):
    """Many of one example, and the model; `off`: how far its posterior misses."""
    model = linear_gaussian().eval().requires_grad_(False)
    set_exact_posterior(model)
    model.encoder.linear.bias += off * torch.tensor([1.0, -1.0, 0.5, 0.5, 0.2])
    x = model.generate(1).px.sample()[0, 0]
    return model, x, Batch(x.expand(CHAINS, 5)), OBSERVED.expand(CHAINS, 5)


@pytest.mark.parametrize("off", [0.0, 0.4])
def test_draws_have_the_moments_of_what_is_missing(off):
    model, x, batch, observed = chains(off)
    found = imputed(model, batch, observed, Imputing(steps=60))
    mean, covariance = conditional(model, x)
    assert torch.equal(found.draw[:, :3], batch.x[:, :3])
    missing = found.draw[:, 3:]
    error = covariance.diagonal().sqrt() / CHAINS**0.5
    assert ((missing.mean(0) - mean).abs() < 4 * error).all()
    torch.testing.assert_close(missing.mT.cov(), covariance, rtol=0.15, atol=0.02)
    torch.testing.assert_close(found.mean.mean(0)[3:], mean, rtol=0, atol=0.05)


def test_every_proposal_of_the_exact_posterior_is_taken():
    model, _, batch, observed = chains(0.0)
    assert float(imputed(model, batch, observed, Imputing(steps=4)).acceptance.min()) > 1 - 1e-6
    model, _, batch, observed = chains(0.4)
    assert 0.2 < float(imputed(model, batch, observed, Imputing(steps=40)).acceptance.mean()) < 0.95


def test_what_is_hidden_is_not_looked_at():
    model, _, batch, observed = chains(0.4)
    torch.manual_seed(1)
    before = imputed(model, batch, observed, Imputing(steps=5))
    torch.manual_seed(1)
    other = torch.where(observed.bool(), batch.x, 1e6)
    assert torch.equal(imputed(model, Batch(other), observed, Imputing(steps=5)).draw, before.draw)


def test_a_chain_has_steps():
    with pytest.raises(ConfigError, match=r"impute\.steps=1: 2 to"):
        Imputing(steps=1)
