"""A model with two latent dimensions and a curved decoder, against sums over a fine grid of z."""

import functools
import math

import pytest
import torch
from torch import Size

from vae_cli.heads.bernoulli import BernoulliHead
from vae_cli.heads.gaussian_posterior import Cholesky
from vae_cli.inference.impute import Imputing, imputed
from vae_cli.inference.likelihood import bounds
from vae_cli.networks.mlp import MLP
from vae_cli.priors.standard import Standard
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Binary, Parts, Spec

POINTS, END = 700, 6.0
OBSERVED = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])


@pytest.fixture
def model():
    net = functools.partial(MLP, width=8, depth=1, activation="tanh")
    data = Spec(Size((6,)), Binary(), size=100)
    likelihood = functools.partial(BernoulliHead, from_mean=False)
    model = Single(data, Parts(2, net, net, likelihood, Cholesky, Standard, net)).double().eval().requires_grad_(False)
    for parameter in model.decoder.parameters():
        parameter *= 3
    return model


def over_grid(model, x, observed):
    """Ln p(x_o, z) dz at every point for each example, [G, B]; and p(x_m = 1 | z), [G, X]."""
    axis = torch.linspace(-END, END, POINTS).double()
    z = torch.cartesian_prod(axis, axis)[:, None]  # [G, 1, 2]
    px = model.decode({"z": z}).base_dist
    log_px = torch.stack([(px.log_prob(one)[:, 0] * observed).sum(-1) for one in x], -1)
    log_pz = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
    return log_px + log_pz + 2 * math.log(axis[1] - axis[0]), px.mean[:, 0]


def test_the_importance_weighted_bound_comes_to_the_evidence(model):
    x = torch.bernoulli(torch.full((3, 6), 0.5)).double()
    log_joint, _ = over_grid(model, x, torch.ones(6))
    found = bounds(model, Batch(x), 50_000, seed=0, memory=10**9)
    expected = log_joint.logsumexp(0)
    assert (found.importance_weighted - expected).abs().max() < 0.02
    assert (found.importance_weighted - expected).mean().abs() < 0.01
    assert (found.elbo < expected).all()


def test_imputations_are_draws_of_the_posterior(model):
    """The mean of what is missing over many chains of one example."""
    x, chains = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]).double(), 3000
    log_joint, mean = over_grid(model, x[None], OBSERVED)
    expected = (log_joint.softmax(0) * mean).sum(0)[4:]
    found = imputed(model, Batch(x.expand(chains, 6)), OBSERVED.double().expand(chains, 6), Imputing(steps=80)).draw
    error = (expected * (1 - expected) / chains).sqrt()
    assert ((found[:, 4:].mean(0) - expected).abs() < 3 * error).all()
