"""Draws from a prior, as it was trained or more or less boldly."""

from torch import Size, Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.mixture import GaussianMixture
from vae_cli.errors import ConfigError


def drawn(prior: Distribution, num: int, temperature: float, samples: int = 1) -> Tensor:
    """Draws [samples, num, *Z] of a prior of batch shape [], [num] or [samples, num]. ConfigError as of `tempered`."""
    wide, shape = tempered(prior, temperature), Size((samples, num))
    if wide.batch_shape:
        wide, shape = wide.expand(shape), Size()
    return wide.rsample(shape) if wide.has_rsample else wide.sample(shape)


def tempered(prior: Distribution, temperature: float) -> Distribution:
    """The prior with the standard deviations of Gaussians, those of a mixture too, multiplied by the temperature.

    Raises:
        ConfigError: where it is none of these, and the temperature is not 1.

    """
    if temperature == 1:
        return prior
    if isinstance(prior, Independent) and isinstance(prior.base_dist, Normal):
        return independent_gaussian(
            prior.base_dist.loc, temperature * prior.base_dist.scale, prior.reinterpreted_batch_ndims
        )
    if isinstance(prior, MultivariateNormal):
        return MultivariateNormal(prior.loc, scale_tril=temperature * prior.scale_tril, validate_args=False)
    if isinstance(prior, GaussianMixture):
        return GaussianMixture(prior.log_weights, prior.component_mean, temperature * prior.component_scale)
    if isinstance(prior, MixtureSameFamily):
        components = tempered(prior.component_distribution, temperature)
        return MixtureSameFamily(prior.mixture_distribution, components, validate_args=False)
    raise ConfigError(
        f"temperature={temperature}: {type(prior).__name__} has no standard deviations; use temperature=1"
    )
