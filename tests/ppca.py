"""Probabilistic PCA: ln p(x) and p(z | x) in closed form, built of our own parts."""

import torch
from torch import Size, nn
from torch.distributions import MultivariateNormal

from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Cholesky, Diagonal
from vae_cli.priors.standard import Standard
from vae_cli.structures.single import Single
from vae_cli.types import Network, Parts, Real, Spec

SIGMA = 0.5
DATA = Spec(Size((5,)), Real(), size=100)


class Affine(Network):
    """One linear layer."""

    def __init__(self, in_shape, out_shape, condition):
        super().__init__()
        self.linear = nn.Linear(in_shape.numel(), out_shape.numel())

    def forward(self, h, c=None):
        return self.linear(h)


def linear_gaussian() -> Single:
    """x = W z + b + sigma noise, z ~ N(0, I): probabilistic PCA, with a closed-form log p(x) and posterior."""
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    return Single(DATA, Parts(2, Affine, Affine, likelihood, Cholesky, Standard, Affine)).double()


def diagonal_gaussian() -> Single:
    """The same with four latent dimensions, and a posterior whose dimensions are independent."""
    likelihood = lambda spec: FixedGaussian(spec, sigma=SIGMA, squash=False)
    return Single(DATA, Parts(4, Affine, Affine, likelihood, Diagonal, Standard, Affine)).double()


def log_evidence(model, x):
    w, b = model.decoder.linear.weight, model.decoder.linear.bias
    covariance = w @ w.mT + SIGMA**2 * torch.eye(5, dtype=w.dtype)
    return MultivariateNormal(b, covariance).log_prob(x)


def set_exact_posterior(model):
    """N(M^-1 W^T (x - b), sigma^2 M^-1) with M = W^T W + sigma^2 I, through the affine encoder."""
    w, b = model.decoder.linear.weight, model.decoder.linear.bias
    precision = w.mT @ w + SIGMA**2 * torch.eye(2, dtype=w.dtype)
    gain = torch.linalg.solve(precision, w.mT)
    tril = torch.linalg.cholesky(SIGMA**2 * torch.linalg.inv(precision))
    with torch.no_grad():
        model.encoder.linear.weight.zero_()
        model.encoder.linear.weight[:2] = gain
        model.encoder.linear.bias[:2] = -gain @ b
        model.encoder.linear.bias[2:4] = 10 * torch.atanh(torch.diagonal(tril).log() / 10)
        model.encoder.linear.bias[4] = tril[1, 0]
