"""How the dimensions of a distribution vary together."""

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from vae_cli.distributions.marginals import factors
from vae_cli.distributions.rank_one_gaussian import RankOneGaussian


def covariance(distribution: Distribution) -> Tensor | None:
    """[*batch, d, d], event shape [d]; None where no closed form is known."""
    if isinstance(distribution, MultivariateNormal | RankOneGaussian):
        return distribution.covariance_matrix
    independent = factors(distribution)
    return None if independent is None else torch.diag_embed(independent.variance)
