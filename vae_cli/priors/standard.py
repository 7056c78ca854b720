"""p(z) = N(0, I)."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.types import Infer, Prior, Spec


class Standard(Prior):
    """The standard normal; it knows neither c nor the encoder."""

    def __init__(self, latent: Spec, data: Spec) -> None:
        super().__init__()
        self.register_buffer("_zero", torch.zeros(latent.shape), persistent=False)
        self.register_buffer("_one", torch.ones(latent.shape), persistent=False)
        self._zero: Tensor
        self._one: Tensor

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """Batch shape []."""
        return independent_gaussian(self._zero, self._one, self._zero.ndim)
