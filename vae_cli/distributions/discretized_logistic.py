"""Probabilities of grey levels under a logistic density (Kingma et al. 2016; Salimans et al. 2017, eq. 2)."""

from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.unchecked import Unchecked


class DiscretizedLogistic(Unchecked):
    """`count` levels between 0 and 1; each has the logistic's mass within half a step of it, the outer two all beyond.

    Args:
        mean: location, in the units of x, [*batch].
        scale: of the logistic, > 0, [*batch].
        count: number of levels, at least 2.
    """

    def __init__(self, mean: Tensor, scale: Tensor, count: int) -> None:
        self.loc, self.scale, self.count = mean, scale, count
        super().__init__(mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[x] = sum over thresholds of P(x above it) / (count - 1), [*batch]."""
        steps = torch.arange(self.count - 1, device=self.loc.device, dtype=self.loc.dtype)
        thresholds = (steps + 0.5) / (self.count - 1)
        above = torch.sigmoid((self.loc.unsqueeze(-1) - thresholds) / self.scale.unsqueeze(-1))
        return above.mean(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log of P(x = value) for value = level / (count - 1), nats, [*batch].

        With a and b the standardised upper and lower edge, sigma(a) - sigma(b) = sigma(a) sigma(-b) (1 - e^(b - a)):
        three terms that neither cancel nor underflow. At the outer levels one edge lies at infinity.
        """
        half = 0.5 / (self.count - 1)
        upper, lower = (value + half - self.loc) / self.scale, (value - half - self.loc) / self.scale
        within = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half / self.scale))
        lowest = torch.where(value <= half, F.logsigmoid(upper), within)
        return torch.where(value >= 1 - half, F.logsigmoid(-lower), lowest)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A logistic draw at the nearest level, [*sample_shape, *batch]."""
        shape = Size((*sample_shape, *self.batch_shape))
        with torch.no_grad():
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(1e-6, 1 - 1e-6)
            draw = self.loc + self.scale * torch.logit(uniform)
            return (draw.clamp(0, 1) * (self.count - 1)).round() / (self.count - 1)
