"""A Gaussian that takes its variance from the values that it is asked about."""

from collections.abc import Callable, Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Distribution
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.unchecked import Unchecked

_TINY = 1e-20  # ln 0 has no gradient
_LOWEST = -6.0  # of ln sigma, softly: as in the authors' code


class OptimalGaussian(Unchecked):
    """N(mean, sigma^2 I) with sigma^2 = mean (x - mean)^2 over everything in `log_prob(x)` (Rybkin et al. 2021).

    The largest likelihood that one sigma gives to a whole batch; no density of one x. ln sigma lies softly above -6.

    Args:
        mean: [*batch, *event].
        event_rank: trailing axes of one event.
        sigma: for samples, which have no x to take it from.
        seen: told each variance that was found, as a side effect of `log_prob`, as batch normalisation is.
    """

    def __init__(self, mean: Tensor, event_rank: int, sigma: Tensor, seen: Callable[[Tensor], None]) -> None:
        self._mean, self._rank, self._sigma, self._seen = mean, event_rank, sigma, seen
        split = mean.ndim - event_rank
        super().__init__(mean.shape[:split], mean.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean, [*batch, *event]."""
        return self._mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]; gradients flow through sigma too."""
        log_sigma = 0.5 * (value - self._mean).square().mean().clamp(min=_TINY).log()
        sigma = (_LOWEST + F.softplus(log_sigma - _LOWEST)).exp()
        self._seen(sigma.square())
        return self._with(sigma).log_prob(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """[*sample_shape, *batch, *event]."""
        with torch.no_grad():
            return self._with(self._sigma).sample(Size(sample_shape))

    def _with(self, sigma: Tensor) -> Distribution:
        return independent_gaussian(self._mean, sigma.expand_as(self._mean), self._rank)
