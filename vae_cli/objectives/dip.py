"""A bound and a penalty that leads the covariance of z over the data to the identity: DIP-VAE."""

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_cli.distributions.covariance import covariance
from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import elbo_terms
from vae_cli.objectives.requirements import only_site
from vae_cli.types import Batch, Model, Objective, Spec, Terms


class _DIP(Objective):
    """ELBO - lambda_od sum_{i != j} C_ij^2 - lambda_d sum_i (C_ii - 1)^2, with C a covariance of z over the batch.

    Args:
        lambda_od: weight of the squared covariances of two dimensions, 0 or more.
        lambda_d_factor: times lambda_od it is lambda_d, the weight of the squared distances of variances from 1.
    """

    _name: str  # as users type it

    def __init__(self, data: Spec, model: Model, *, lambda_od: float, lambda_d_factor: float) -> None:
        super().__init__()
        for name, value in (("lambda_od", lambda_od), ("lambda_d_factor", lambda_d_factor)):
            if not (0 <= value < math.inf):
                raise ConfigError(f"objective.{name}={value}: a number of 0 or more")
        self.schedules = {}
        self._lambda_od, self._lambda_d = lambda_od, lambda_d_factor * lambda_od

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = lambda_od squared_covariances + lambda_d variances_from_one - elbo."""
        trace = model(batch)
        terms = elbo_terms(trace)
        found = self._covariance(only_site(trace, self._name).q)  # [Z, Z]
        variances = found.diagonal()
        off_diagonal = (found - torch.diag(variances)).square().sum()
        diagonal = (variances - 1).square().sum()
        penalty = self._lambda_od * off_diagonal + self._lambda_d * diagonal
        return {
            "loss": penalty - terms["elbo"],
            **terms,
            "squared_covariances": off_diagonal,
            "variances_from_one": diagonal,
        }

    @abstractmethod
    def _covariance(self, q: Distribution) -> Tensor:
        """Q of batch shape [B] -> [Z, Z]."""


class DIPOfMeans(_DIP):
    """DIP-VAE-I: the covariance of the posterior means over the examples (Kumar et al. 2018, eq. 6)."""

    _name = "dip_i"

    def _covariance(self, q: Distribution) -> Tensor:
        return _over_examples(q.mean)


class DIPOfDraws(_DIP):
    """DIP-VAE-II: that of draws, Cov E[z | x] + E Cov[z | x] (Kumar et al. 2018, eq. 7)."""

    _name = "dip_ii"

    def _covariance(self, q: Distribution) -> Tensor:
        within = covariance(q)  # [B, Z, Z]
        if within is None:
            raise ConfigError(
                f"objective=dip_ii needs the covariance of q(z | x), which {type(q).__name__} does not give: use "
                "posterior=diagonal, or objective=dip_i"
            )
        return _over_examples(q.mean) + within.mean(0)


def _over_examples(means: Tensor) -> Tensor:
    """Covariance of the columns of [B, Z], [Z, Z]; divided by B, as an expectation over the batch."""
    centred = means - means.mean(0)
    return centred.mT @ centred / len(means)
