"""A Gaussian whose precision is a diagonal matrix plus one of rank one (Rezende, Mohamed & Wierstra 2014, section 4.3).

The precision is D + u u^T. With S = D^-1/2 = diag(scale), v = S u and r^2 = 1 + |v|^2 (their eta is 1 / r^2):

    C = S (I - v v^T / r^2) S = R R^T,   R = S (I - a v v^T),   a = (1 - 1 / r) / |v|^2 = 1 / (r (r + 1)),

and ln |C| = 2 sum ln scale - 2 ln r. The second form of a is finite at u = 0, where the Gaussian is that of D alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae_cli.distributions.standard import standard_normal
from vae_cli.distributions.unchecked import Unchecked


class RankOneGaussian(Unchecked):
    """N(mean, (D + u u^T)^-1) in a time that grows with Z, not with its square.

    Args:
        mean: [*batch, Z].
        scale: D^-1/2, > 0, [*batch, Z]; the standard deviations where u = 0.
        direction: v = D^-1/2 u, [*batch, Z]; where it points, the variance is the (1 + |v|^2)th part.
    """

    has_rsample = True

    def __init__(self, mean: Tensor, scale: Tensor, direction: Tensor) -> None:
        self.loc, self.scale, self.direction = mean, scale, direction
        self._r_squared = 1 + direction.square().sum(-1, keepdim=True)  # [*batch, 1]
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean, [*batch, Z]."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Of each dimension by itself, [*batch, Z]: scale_i^2 (1 + |v|^2 - v_i^2) / r^2."""
        return self.scale.square() * (self._r_squared - self.direction.square()) / self._r_squared

    @property
    def covariance_matrix(self) -> Tensor:
        """C, [*batch, Z, Z]."""
        v, scale = self.direction, self.scale
        within = torch.eye(v.shape[-1], dtype=v.dtype, device=v.device) - _outer(v, v) / self._r_squared.unsqueeze(-1)
        return _outer(scale, scale) * within

    @property
    def half_log_det(self) -> Tensor:
        """1/2 ln |C|, [*batch]."""
        return self.scale.log().sum(-1) - 0.5 * self._r_squared.squeeze(-1).log()

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]: with y = S^-1 (z - mean), -1/2 (|y|^2 + (v y)^2 + Z ln 2 pi + ln |C|)."""
        y = (value - self.loc) / self.scale
        along = (self.direction * y).sum(-1)
        return -0.5 * (y.square().sum(-1) + along.square() + y.shape[-1] * math.log(2 * math.pi)) - self.half_log_det

    def entropy(self) -> Tensor:
        """Nats, [*batch]."""
        return 0.5 * self.loc.shape[-1] * (1 + math.log(2 * math.pi)) + self.half_log_det

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Mean + R eps, [*sample_shape, *batch, Z]."""
        eps = standard_normal((*sample_shape, *self.loc.shape), self.loc)
        r = self._r_squared.sqrt()
        along = (self.direction * eps).sum(-1, keepdim=True)
        return self.loc + self.scale * (eps - self.direction * along / (r * (r + 1)))


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """[*batch, Z] and [*batch, Z] -> [*batch, Z, Z]."""
    return a.unsqueeze(-1) * b.unsqueeze(-2)
