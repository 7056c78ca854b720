"""p(x | z) for real x: a Gaussian whose standard deviation is fixed, learned, optimal or predicted.

All are densities with their constants: -D/2 ln(2 pi) - sum ln sigma - |x - mu|^2 / (2 sigma^2), in nats. With
`squash` the mean is the sigmoid of the features, for values in [0, 1] (Kingma & Welling 2014, Frey faces).
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.optimal_gaussian import OptimalGaussian
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale, unbounded
from vae_cli.heads.coordinates import per_coordinate
from vae_cli.types import Head, Levels, Real, Spec, UnitInterval


class FixedGaussian(Head):
    """N(mu(z), sigma^2) with `sigma` given."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, sigma: float, squash: bool) -> None:
        super().__init__()
        if not (0 < sigma < math.inf):
            raise ConfigError(f"likelihood.sigma={sigma}: a standard deviation is a positive number")
        self.param_shape = self.embed_shape = spec.shape
        self._sigma, self._mean = sigma, _mean(spec, squash)

    def forward(self, h: Tensor) -> Distribution:
        """Means (before `squash`), [*batch, *X] -> p(x | z)."""
        return independent_gaussian(self._mean(h), torch.full_like(h, self._sigma), len(self.param_shape))


class LearnedGaussian(Head):
    """N(mu(z), sigma^2) with one sigma for all coordinates, learned from `initial_sigma`."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, initial_sigma: float, squash: bool) -> None:
        super().__init__()
        if not (1e-4 <= initial_sigma <= 1e4):
            raise ConfigError(f"likelihood.initial_sigma={initial_sigma}: a number between 0.0001 and 10000")
        self.param_shape = self.embed_shape = spec.shape
        self._mean = _mean(spec, squash)
        self.log_sigma = nn.Parameter(torch.tensor(unbounded(initial_sigma)))

    def forward(self, h: Tensor) -> Distribution:
        """Means (before `squash`), [*batch, *X] -> p(x | z)."""
        return independent_gaussian(self._mean(h), bounded_scale(self.log_sigma).expand_as(h), len(self.param_shape))


class OptimalGaussianHead(Head):
    """N(mu(z), sigma^2) with sigma^2 the mean squared error of the training batch (Rybkin et al. 2021).

    Validation and test use the moving average of sigma^2 over training, so that p(x | z) is there a density that does
    not know x; the paper takes the optimum of each batch there too. Where several devices share a batch, each takes
    the optimum of its share, and the average is the first one's.

    Args:
        momentum: weight of the latest batch in the moving average; the first ones weigh alike, 1 / their number.
    """

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, momentum: float, squash: bool) -> None:
        super().__init__()
        if not (0 < momentum <= 1):
            raise ConfigError(f"likelihood.momentum={momentum}: a number above 0, at most 1")
        self.param_shape = self.embed_shape = spec.shape
        self._mean, self._momentum = _mean(spec, squash), momentum
        self.register_buffer("variance", torch.tensor(1.0))
        self.variance: Tensor
        self.register_buffer("batches", torch.tensor(0))
        self.batches: Tensor

    def forward(self, h: Tensor) -> Distribution:
        """Means (before `squash`), [*batch, *X] -> p(x | z)."""
        mean = self._mean(h)
        if self.training:
            return OptimalGaussian(mean, len(self.param_shape), self.variance.sqrt(), seen=self._keep)
        return independent_gaussian(mean, self.variance.sqrt().expand_as(mean), len(self.param_shape))

    def _keep(self, variance: Tensor) -> None:
        """Move the average."""
        self.batches += 1
        weight = (1 / self.batches).clamp(min=self._momentum)
        self.variance.lerp_(variance.detach().to(self.variance.dtype), weight.to(self.variance.dtype))


class PixelGaussian(Head):
    """N(mu(z), diag sigma(z)^2): the decoder gives every coordinate its mean and its log standard deviation."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, squash: bool) -> None:
        super().__init__()
        self.embed_shape = spec.shape
        self.param_shape = per_coordinate(2, spec.shape)
        self._mean = _mean(spec, squash)

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 2 X_1, ...]: means (before `squash`), then log standard deviations -> p(x | z)."""
        rank = len(self.param_shape)
        mean, log_sigma = h.chunk(2, dim=-rank)
        return independent_gaussian(self._mean(mean), bounded_scale(log_sigma), rank)


def _mean(spec: Spec, squash: bool) -> nn.Module:
    if squash and isinstance(spec.support, Real):
        raise ConfigError("likelihood.squash=true keeps means in [0, 1], and x holds real numbers: use squash=false")
    return nn.Sigmoid() if squash else nn.Identity()
