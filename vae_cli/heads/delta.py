"""A code without noise: the encoder of a plain autoencoder."""

from torch import Tensor
from torch.distributions import Distribution

from vae_cli.distributions.delta import Delta
from vae_cli.types import Head, Real, Spec


class DeltaHead(Head):
    """All mass at the features, [*batch, Z]."""

    models = (Real,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.param_shape = self.embed_shape = spec.shape

    def forward(self, h: Tensor) -> Distribution:
        """The code itself."""
        return Delta(h)
