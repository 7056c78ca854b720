"""Scales that can neither vanish nor explode."""

import math

from torch import Tensor

_LIMIT = 10.0  # ln sigma stays within (-10, 10): sigma^2 and 1 / sigma^2 stay finite in float32


def softly_limited(h: Tensor) -> Tensor:
    """10 tanh(h / 10): about h for |h| < 3, between -10 and 10 for every h."""
    return _LIMIT * (h / _LIMIT).tanh()


def bounded_scale(h: Tensor) -> Tensor:
    """Exp of a softly limited h: sigma = exp(10 tanh(h / 10)), about exp(h) for |h| < 3, finite for every h."""
    return softly_limited(h).exp()


def unbounded(sigma: float) -> float:
    """The h that `bounded_scale` turns into `sigma`, which lies between e^-10 and e^10."""
    return _LIMIT * math.atanh(math.log(sigma) / _LIMIT)
