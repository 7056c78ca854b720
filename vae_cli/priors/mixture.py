"""p(z) as a mixture of Gaussians that is learned with the model."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_cli.distributions.mixture import GaussianMixture
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale, unbounded
from vae_cli.types import Infer, Prior, Spec

_SPREAD = 0.5  # standard deviation of the means at the start


class Mixture(Prior):
    """Means, standard deviations and weights of every component are learned.

    They start with equal weights, means of N(0, 1/4) and variances of 3/4: apart from each other, and together about as
    wide as N(0, I).

    Args:
        components: how many.
    """

    def __init__(self, latent: Spec, data: Spec, *, components: int) -> None:
        super().__init__()
        check_components(components)
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(_SPREAD * torch.randn(components, *latent.shape))
        self.log_scale = nn.Parameter(torch.full_like(self.mean, unbounded(math.sqrt(1 - _SPREAD**2))))

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """Batch shape []."""
        return GaussianMixture(self.logits.log_softmax(-1), self.mean, bounded_scale(self.log_scale))


def check_components(components: int) -> None:
    """ConfigError for fewer than one."""
    if components < 1:
        raise ConfigError(f"prior.components={components}: a mixture needs at least 1")
