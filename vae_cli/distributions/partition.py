"""What the normalising constant of the von Mises-Fisher distribution is made of.

On the sphere in d dimensions, with w = cos theta the cosine between a point and the direction,

    g(kappa) = ln E[exp(kappa w)] over the uniform distribution,
    g'(kappa) = A(kappa) = E[w] over the von Mises-Fisher distribution,

where theta has the density ~ exp(kappa cos theta) sin^(d - 2) theta. In closed form these are Bessel functions, which
torch does not have for every order: here both are integrals over theta, around its mode, computed on the device of
kappa. Gradients are those of the sums. Good to nine digits for kappa from 1 to 10^4 and d from 2 to 1000; below 1, g is
good to 10^-12 nats.
"""

import math

from torch import Tensor

from vae_cli.distributions.quadrature import fejer

_POINTS = 96
_REACH = 14.0  # standard deviations around the mode, beyond which less than 1e-13 is left


def log_partition(kappa: Tensor, dimensions: int) -> Tensor:
    """Of kappa > 0 of any shape in float64: g, nats."""
    theta, log_weights = _angles(kappa, dimensions)
    log_total = 0.5 * math.log(math.pi) + math.lgamma((dimensions - 1) / 2) - math.lgamma(dimensions / 2)
    return kappa + _tilted(kappa, theta, log_weights).logsumexp(-1) - log_total


def mean_resultant(kappa: Tensor, dimensions: int) -> Tensor:
    """Of kappa > 0 of any shape in float64: A, between 0 and 1."""
    theta, log_weights = _angles(kappa, dimensions)
    return (_tilted(kappa, theta, log_weights).softmax(-1) * theta.cos()).sum(-1)


def _tilted(kappa: Tensor, theta: Tensor, log_weights: Tensor) -> Tensor:
    """Ln of what each node adds, times exp(-kappa): kappa (cos theta - 1), written so that it does not cancel."""
    return log_weights - 2 * kappa.unsqueeze(-1) * (theta / 2).sin().square()


def _angles(kappa: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Nodes theta, and ln of their weights times sin^(d - 2) theta, [*shape, _POINTS]."""
    kappa, n = kappa.detach(), dimensions - 2
    cosine = 2 * kappa / (n + (n * n + 4 * kappa.square()).sqrt())  # at the mode
    curvature = kappa * cosine + (n / (1 - cosine.square()) if n else 0.0)
    mode, reach = cosine.acos(), _REACH / curvature.sqrt()
    start = (mode - reach).clamp(min=0).unsqueeze(-1)
    length = (mode + reach).clamp(max=math.pi).unsqueeze(-1) - start
    nodes, weights = fejer(_POINTS, kappa)
    theta = start + length * nodes
    log_weights = (weights * length).log()
    return theta, log_weights + n * theta.sin().log() if n else log_weights
