"""The one-dimensional marginals of a Gaussian, for what is reported per latent dimension."""

from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


def normal_marginals(distribution: Distribution) -> Normal | None:
    """N(m_i, s_i^2) for every dimension, batch shape [*batch, d]; None where the marginals are not Gaussian."""
    if isinstance(distribution, MultivariateNormal):
        return Normal(distribution.loc, distribution.stddev, validate_args=False)
    if isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal):
        return distribution.base_dist
    return None
