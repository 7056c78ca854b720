"""A factorised density of which only some coordinates count."""

from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent

from vae_cli.distributions.unchecked import Unchecked
from vae_cli.errors import ConfigError


def masked(px: Distribution, mask: Tensor | None) -> Distribution:
    """P(x) where there is no mask, else p over the coordinates where mask = 1; mask [B, *event]."""
    return px if mask is None else Masked(px, mask)


class Masked(Unchecked):
    """p(x) over the coordinates where mask = 1: log p = sum_i mask_i log p_i(x_i).

    Args:
        base: a density that is a product over its event (`Independent`); others cannot leave coordinates out.
        mask: 0 or 1, broadcasts against [*batch, *event].

    Raises:
        ConfigError: where the density does not factorise.

    """

    def __init__(self, base: Distribution, mask: Tensor) -> None:
        if not isinstance(base, Independent):
            raise ConfigError(
                f"a mask needs a likelihood that is a product over its event, and {type(base).__name__} is not: "
                "use likelihood=bernoulli or likelihood=gaussian"
            )
        self.base, self.mask = base, mask
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean of every coordinate, masked or not, [*batch, *event]."""
        return self.base.mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]; a coordinate with mask = 0 adds nothing, whatever its value."""
        per_coordinate = self.base.base_dist.log_prob(torch.where(self.mask.bool(), value, self.base.mean.detach()))
        return (self.mask * per_coordinate).flatten(-len(self.event_shape)).sum(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of all coordinates, [*sample_shape, *batch, *event]."""
        return self.base.sample(Size(sample_shape))
