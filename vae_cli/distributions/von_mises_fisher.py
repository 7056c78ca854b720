"""The von Mises-Fisher distribution: on the unit sphere what a Gaussian with one variance is in space.

ln q(z) = kappa mu.z - g(kappa) - ln area, with respect to the surface, g as in `partition`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.cosine import NUMBERS, PROPOSALS, cosine
from vae_cli.distributions.partition import log_partition, mean_resultant
from vae_cli.distributions.sphere import log_area
from vae_cli.distributions.standard import standard_normal, standard_uniform
from vae_cli.distributions.unchecked import Unchecked


class VonMisesFisher(Unchecked):
    """Around one direction of Z dimensions, 2 or more; densities and moments are computed in float64.

    Args:
        direction: mu, unit vectors, [*batch, Z].
        concentration: kappa > 0, [*batch].
    """

    has_rsample = True

    def __init__(self, direction: Tensor, concentration: Tensor) -> None:
        self.direction, self.concentration = direction, concentration
        self._kappa, self._dimensions = concentration.double(), direction.shape[-1]
        super().__init__(direction.shape[:-1], direction.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """A(kappa) mu, inside the sphere, [*batch, Z]."""
        return mean_resultant(self._kappa, self._dimensions).to(self.direction).unsqueeze(-1) * self.direction

    @property
    def divergence_from_uniform(self) -> Tensor:
        """KL to the uniform distribution, kappa A(kappa) - g(kappa), [*batch], nats."""
        g, a = (part(self._kappa, self._dimensions) for part in (log_partition, mean_resultant))
        return (self._kappa * a - g).to(self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]."""
        along = (self.direction.double() * value.double()).sum(-1)
        log_prob = self._kappa * along - log_partition(self._kappa, self._dimensions) - log_area(self._dimensions)
        return log_prob.to(value)

    def entropy(self) -> Tensor:
        """Nats, [*batch]."""
        return log_area(self._dimensions) - self.divergence_from_uniform

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Of shape [*sample_shape, *batch, Z]: w mu + sqrt(1 - w^2) t, t a unit vector at right angles to mu."""
        shape = (*sample_shape, *self.batch_shape)
        uniform = standard_uniform((*shape, PROPOSALS, NUMBERS), self.direction).double()
        w = cosine(self._kappa.expand(shape), self._dimensions, uniform).unsqueeze(-1)
        free = F.normalize(standard_normal((*shape, self._dimensions - 1), self.direction), dim=-1)
        return w.to(free) * self.direction + (1 - w.square()).sqrt().to(free) * self._turned(free)

    def _turned(self, free: Tensor) -> Tensor:
        """(0, free) by the reflection that takes (1, 0, ...) to mu or to -mu, [..., Z - 1] -> [..., Z].

        Of the two, the one whose mirror is not almost undefined: with s the sign of mu_1, along u = mu + s (1, 0, ...),
        |u|^2 = 2 (1 + |mu_1|).
        """
        first, rest = self.direction[..., :1], self.direction[..., 1:]
        sign = (first >= 0).to(first) * 2 - 1
        share = (rest * free).sum(-1, keepdim=True) / (1 + first.abs())
        return torch.cat([-share * (first + sign), free - share * rest], -1)
