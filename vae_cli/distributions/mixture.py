"""A mixture of Gaussians with independent coordinates, whose density is found by products of matrices.

ln N(z; m_k, s_k) = -1/2 (z^2 . (1 / s_k^2) - 2 z . (m_k / s_k^2) + sum (m_k^2 / s_k^2 + 2 ln s_k + ln 2 pi)), so that
no array of samples x components x dimensions is made. The terms cancel: they are computed in float64.

Shape legend: K components, Z dimensions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae_cli.distributions.standard import standard_normal, standard_uniform
from vae_cli.distributions.unchecked import Unchecked


class GaussianMixture(Unchecked):
    """sum_k w_k N(m_k, diag s_k^2).

    Args:
        log_weights: ln w, whose exponentials add up to 1, [*batch, K].
        mean: m, [*batch, K, Z].
        scale: s > 0, [*batch, K, Z].
    """

    def __init__(self, log_weights: Tensor, mean: Tensor, scale: Tensor) -> None:
        self.log_weights, self.component_mean, self.component_scale = log_weights, mean, scale
        super().__init__(log_weights.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """sum_k w_k m_k, [*batch, Z]."""
        return self._average(self.component_mean)

    @property
    def variance(self) -> Tensor:
        """Of each dimension by itself, [*batch, Z]: sum_k w_k (s_k^2 + (m_k - mean)^2)."""
        off = self.component_mean - self.mean.unsqueeze(-2)
        return self._average(self.component_scale.square() + off.square())

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "GaussianMixture":
        """With another batch shape."""
        parts = (self.log_weights, self.component_mean, self.component_scale)
        ranks = (1, 2, 2)  # of K, of K and Z
        return GaussianMixture(
            *(part.expand(*batch_shape, *part.shape[-rank:]) for part, rank in zip(parts, ranks, strict=True))
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]."""
        z, mean, scale = (part.double() for part in (value.unsqueeze(-2), self.component_mean, self.component_scale))
        precision = scale.square().reciprocal()  # [*batch, K, Z]
        products = z.square() @ precision.mT - 2 * z @ (mean * precision).mT  # [*batch, 1, K]
        constants = (mean.square() * precision + 2 * scale.log() + math.log(2 * math.pi)).sum(-1)  # [*batch, K]
        log_densities = -0.5 * (products.squeeze(-2) + constants)
        return (self.log_weights.double() + log_densities).logsumexp(-1).to(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """[*sample_shape, *batch, Z]: which component by one uniform number, then where in it."""
        shape = (*sample_shape, *self.batch_shape)
        with torch.no_grad():
            chosen = self._chosen(standard_uniform(shape, self.component_mean))
            mean, scale = (
                part.expand(*shape, -1, -1).gather(-2, chosen).squeeze(-2)
                for part in (self.component_mean, self.component_scale)
            )
            return mean + scale * standard_normal(mean.shape, mean)

    def _chosen(self, uniform: Tensor) -> Tensor:
        """The components whose share of (0, 1) the numbers [*shape] lie in, [*shape, 1, Z], to gather by."""
        shares = self.log_weights.exp().cumsum(-1)  # [*batch, K]
        last = shares.shape[-1] - 1
        ends = shares.expand(*uniform.shape, -1).contiguous()
        index = torch.searchsorted(ends, uniform.unsqueeze(-1)).clamp(max=last)  # the sum may round to less than 1
        return index.unsqueeze(-1).expand(*index.shape, *self.event_shape)

    def _average(self, values: Tensor) -> Tensor:
        """Over components, [*batch, K, Z] -> [*batch, Z]."""
        return (self.log_weights.exp().unsqueeze(-1) * values).sum(-2)
