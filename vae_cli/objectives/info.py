"""A bound whose KL gives way to the distance of the aggregate posterior from the prior: InfoVAE.

Shape legend: B batch, Z dimensions.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vae_cli.distributions.drawing import drawn
from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import elbo_terms
from vae_cli.objectives.requirements import only_site, prior_has_parameters
from vae_cli.types import Batch, Model, Objective, Spec, Terms


class Info(Objective):
    """E_q[ln p(x | z)] - (1 - alpha) KL - (alpha + lambda - 1) MMD^2(q(z), p(z)) (Zhao et al. 2019).

    The MMD is between the batch's draws of z and as many of the prior, which carry no gradient: a prior learns from
    the KL alone.

    Args:
        alpha: 1 or less; what is taken off the weight of the KL. 1: no KL (MMD-VAE).
        lambda_mmd: lambda, 1 - alpha or more.

    Raises:
        ConfigError: for a number out of range, and where alpha = 1 and the prior has parameters.
    """

    def __init__(self, data: Spec, model: Model, *, alpha: float, lambda_mmd: float) -> None:
        super().__init__()
        if not (-math.inf < alpha <= 1):
            raise ConfigError(f"objective.alpha={alpha}: 1 or less, as 1 - alpha is the weight of the KL")
        if not (1 - alpha <= lambda_mmd < math.inf):
            raise ConfigError(
                f"objective.lambda_mmd={lambda_mmd}: {1 - alpha:g} or more, as the weight of the MMD is alpha + "
                f"lambda_mmd - 1 and objective.alpha={alpha}"
            )
        if alpha == 1 and prior_has_parameters(model):
            raise ConfigError(
                f"objective.alpha={alpha} has no KL and so trains no prior: use prior=standard, or a smaller "
                "objective.alpha"
            )
        self.schedules = {}
        self._kl_weight, self._mmd_weight = 1 - alpha, alpha + lambda_mmd - 1

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = (1 - alpha) kl + (alpha + lambda_mmd - 1) mmd - reconstruction."""
        trace = model(batch)
        terms = elbo_terms(trace)
        site = only_site(trace, "info")
        with torch.no_grad():
            of_prior = drawn(site.p, len(batch.x), temperature=1.0)
        mmd = squared_mmd(site.value[0].flatten(1), of_prior[0].flatten(1))
        penalty = self._kl_weight * terms["kl"] + self._mmd_weight * mmd
        return {"loss": penalty - terms["reconstruction"], **terms, "mmd": mmd}


def squared_mmd(z: Tensor, other: Tensor) -> Tensor:
    """MMD^2 of the distributions that two samples [B, Z] come from, 0-d; 0 for B = 1, which has no pairs.

    The mean over pairs i != j of k(z_i, z_j) + k(z'_i, z'_j) - k(z_i, z'_j) - k(z_j, z'_i) (Gretton et al. 2012,
    lemma 6): unbiased, so that it can fall below 0 and its mean does not depend on the size of the batch. The code of
    Zhao et al. takes the pairs i = j too, which adds up to 2/B.
    """
    each = _kernel(z, z) + _kernel(other, other) - 2 * _kernel(z, other)  # [B, B]
    return (each.sum() - each.diagonal().sum()) / max(1, len(z) * (len(z) - 1))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """K(a, b) = exp(-|a - b|^2 / Z^2), as in the code of Zhao et al.; [B, Z] each -> [B, B]."""
    return (-(a.unsqueeze(1) - b).square().sum(-1) / a.shape[1] ** 2).exp()
