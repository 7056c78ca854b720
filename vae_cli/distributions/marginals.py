"""A Gaussian dimension by dimension."""

from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_cli.distributions.rank_one_gaussian import RankOneGaussian


def normal_marginals(distribution: Distribution) -> Normal | None:
    """N(m_i, s_i^2) for every dimension, batch shape [*batch, d]; None where the marginals are not Gaussian."""
    if isinstance(distribution, MultivariateNormal | RankOneGaussian):
        return Normal(distribution.loc, distribution.stddev, validate_args=False)
    if isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal):
        return distribution.base_dist
    return None


def factors(distribution: Distribution) -> Distribution | None:
    """The distributions of the dimensions where they are independent, batch shape [*batch, d]; else None."""
    if isinstance(distribution, Independent) and distribution.reinterpreted_batch_ndims == 1:
        return distribution.base_dist
    return None
