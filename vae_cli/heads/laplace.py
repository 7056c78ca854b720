"""p(x | z) for real x with heavy tails: the absolute error as a density."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace

from vae_cli.errors import ConfigError
from vae_cli.types import Head, Levels, Real, Spec, UnitInterval


class LaplaceHead(Head):
    """Laplace(mu(z), scale) with `scale` given: -ln(2 scale) - |x - mu| / scale for each coordinate."""

    models = (Levels, UnitInterval, Real)

    def __init__(self, spec: Spec, *, scale: float) -> None:
        super().__init__()
        if not (0 < scale < math.inf):
            raise ConfigError(f"likelihood.scale={scale}: a scale is a positive number")
        self.param_shape = self.embed_shape = spec.shape
        self._scale = scale

    def forward(self, h: Tensor) -> Distribution:
        """Means [*batch, *X] -> p(x | z)."""
        values = Laplace(h, torch.full_like(h, self._scale), validate_args=False)
        return Independent(values, len(self.param_shape), validate_args=False)
