"""p(z) uniform on the unit sphere (Davidson et al. 2018)."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_cli.distributions.sphere import HypersphericalUniform
from vae_cli.types import Infer, Prior, Spec, UnitSphere


class Sphere(Prior):
    """Every direction alike; it knows neither c nor the encoder."""

    models = (UnitSphere,)

    def __init__(self, latent: Spec, data: Spec) -> None:
        super().__init__()
        self.register_buffer("_zero", torch.zeros(latent.shape), persistent=False)
        self._zero: Tensor

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """Batch shape []."""
        return HypersphericalUniform(self._zero)
