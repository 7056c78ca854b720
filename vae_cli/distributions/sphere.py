"""The uniform distribution on the unit sphere."""

import math
from collections.abc import Sequence

from torch import Size, Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.standard import standard_normal
from vae_cli.distributions.unchecked import Unchecked


def log_area(dimensions: int) -> float:
    """Ln of the surface of the unit sphere in so many dimensions, 2 pi^(d/2) / Gamma(d/2)."""
    return math.log(2) + 0.5 * dimensions * math.log(math.pi) - math.lgamma(0.5 * dimensions)


class HypersphericalUniform(Unchecked):
    """Every direction alike; values are unit vectors [*batch, Z].

    Args:
        like: [Z], of the type and on the device of its draws.
        batch_shape: [*batch].
    """

    def __init__(self, like: Tensor, batch_shape: Sequence[int] = ()) -> None:
        self._like = like
        super().__init__(Size(batch_shape), like.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Zero, [*batch, Z]."""
        return self._like.new_zeros((*self.batch_shape, *self.event_shape))

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "HypersphericalUniform":
        """With another batch shape."""
        return HypersphericalUniform(self._like, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats with respect to the surface, the same everywhere, [*batch]."""
        return value.new_full(value.shape[:-1], -log_area(len(self._like)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """[*sample_shape, *batch, Z]."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        return F.normalize(standard_normal(shape, self._like), dim=-1)
