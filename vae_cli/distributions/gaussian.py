"""A Gaussian with independent coordinates."""

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal


def independent_gaussian(mean: Tensor, sigma: Tensor, event_rank: int) -> Distribution:
    """N(mean, diag sigma^2), its last `event_rank` axes one event; mean and sigma [*batch, *event]."""
    return Independent(Normal(mean, sigma, validate_args=False), event_rank, validate_args=False)
