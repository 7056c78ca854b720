"""A density on [0, 1] proportional to exp(l x) (the continuous Bernoulli of Loaiza-Ganem & Cunningham 2019).

torch's class of the name clamps lambda = sigmoid(l) where it normalises, and nowhere else: beyond |l| = 15.94 it is no
density. Written in l itself, nothing has to be clamped. What is even or odd about l = 0 is computed from |l|, and by
its series where two large terms would cancel.
"""

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.unchecked import Unchecked

_NEAR = 0.25  # |l| below which series are taken, whose first term left out is then below 1e-12
_SMALLEST = 1e-6  # |l| that a draw is made with: the density is flat to one part in a million there


class ContinuousBernoulli(Unchecked):
    """p(x) = C(l) exp(l x) / (1 + exp(l)) for x in [0, 1], with ln C(l) = ln(l / tanh(l / 2)) (ibid., eq. 6).

    Args:
        logits: l = ln(lambda / (1 - lambda)), any real numbers, [*batch].
    """

    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """1 / (1 - e^-l) - 1 / l (ibid., eq. 8), [*batch]."""
        size, near = _apart(self.logits)
        below = 1 / size + (-size).exp() / torch.expm1(-size)  # for -|l|: at most 1/2
        far = torch.where(self.logits < 0, below, 1 - below)
        return torch.where(near, 0.5 + _odd(self.logits, 1 / 12, -1 / 720, 1 / 30240, -1 / 1209600), far)

    @property
    def variance(self) -> Tensor:
        """1 / l^2 - 1 / (2 sinh(l / 2))^2, [*batch]."""
        size, near = _apart(self.logits)
        far = 1 / size**2 - (-size).exp() / torch.expm1(-size) ** 2
        return torch.where(near, _even(self.logits, 1 / 12, -1 / 240, 1 / 6048, -1 / 172800), far)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]."""
        return self.logits * value - F.softplus(self.logits) + self._log_normaliser()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The inverse of the distribution function at uniform draws, [*sample_shape, *batch]."""
        shape = Size((*sample_shape, *self.batch_shape))
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        size = self.logits.abs().clamp(min=_SMALLEST)
        below = (-torch.log1p(uniform * torch.expm1(-size)) / size).clamp(max=1)  # for -|l|
        return torch.where(self.logits < 0, below, 1 - below)

    def _log_normaliser(self) -> Tensor:
        size, near = _apart(self.logits)
        far = (size / torch.tanh(size / 2)).log()
        series = _even(self.logits, math.log(2), 1 / 12, -7 / 1440, 31 / 90720, -127 / 4838400)
        return torch.where(near, series, far)


def _apart(logits: Tensor) -> tuple[Tensor, Tensor]:
    """|l|, no less than where series end, so that the other branch has finite gradients; and where it is less."""
    return logits.abs().clamp(min=_NEAR), logits.abs() < _NEAR


def _even(logits: Tensor, *coefficients: float) -> Tensor:
    """The sum of c_k l^(2k), with |l| no more than where series end."""
    squared = logits.clamp(-_NEAR, _NEAR) ** 2
    total = torch.zeros_like(logits)
    for coefficient in reversed(coefficients):
        total = total * squared + coefficient
    return total


def _odd(logits: Tensor, *coefficients: float) -> Tensor:
    """The same, times l."""
    return logits.clamp(-_NEAR, _NEAR) * _even(logits, *coefficients)
