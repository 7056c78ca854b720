"""A mean of numbers that are known by their logarithms."""

import math

from torch import Tensor


def log_mean_exp(logarithms: Tensor, dim: int) -> Tensor:
    """Ln of the mean of exp(logarithms) over an axis, which no large number overflows."""
    return logarithms.logsumexp(dim) - math.log(logarithms.shape[dim])
