"""p(x | z) for real x: a Gaussian with a fixed, a learned or a predicted standard deviation.

All three are densities with their constants: -D/2 ln(2 pi) - sum ln sigma - |x - mu|^2 / (2 sigma^2), in nats.
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale, unbounded
from vae_cli.heads.coordinates import per_coordinate
from vae_cli.types import Head, Levels, Real, Spec, UnitInterval


class FixedGaussian(Head):
    """N(mu(z), sigma^2) with `sigma` given."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, sigma: float) -> None:
        super().__init__()
        if not (0 < sigma < math.inf):
            raise ConfigError(f"likelihood.sigma={sigma}: a standard deviation is a positive number")
        self.param_shape = self.embed_shape = spec.shape
        self._sigma = sigma

    def forward(self, h: Tensor) -> Distribution:
        """Means [*batch, *X] -> p(x | z)."""
        return _independent(h, torch.full_like(h, self._sigma), len(self.param_shape))


class LearnedGaussian(Head):
    """N(mu(z), sigma^2) with one sigma for all coordinates, learned from `initial_sigma`."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, initial_sigma: float) -> None:
        super().__init__()
        if not (1e-4 <= initial_sigma <= 1e4):
            raise ConfigError(f"likelihood.initial_sigma={initial_sigma}: a number between 0.0001 and 10000")
        self.param_shape = self.embed_shape = spec.shape
        self.log_sigma = nn.Parameter(torch.tensor(unbounded(initial_sigma)))

    def forward(self, h: Tensor) -> Distribution:
        """Means [*batch, *X] -> p(x | z)."""
        return _independent(h, bounded_scale(self.log_sigma).expand_as(h), len(self.param_shape))


class PixelGaussian(Head):
    """N(mu(z), diag sigma(z)^2): the decoder gives every coordinate its mean and its log standard deviation."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.embed_shape = spec.shape
        self.param_shape = per_coordinate(2, spec.shape)

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 2 X_1, ...]: means, then log standard deviations -> p(x | z)."""
        rank = len(self.param_shape)
        mean, log_sigma = h.chunk(2, dim=-rank)
        return _independent(mean, bounded_scale(log_sigma), rank)


def _independent(mean: Tensor, sigma: Tensor, event_rank: int) -> Distribution:
    return Independent(Normal(mean, sigma, validate_args=False), event_rank, validate_args=False)
