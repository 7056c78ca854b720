"""q(z | x) on the unit sphere (Davidson et al. 2018)."""

from torch import Size, Tensor
from torch.distributions import Distribution
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.von_mises_fisher import VonMisesFisher
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale
from vae_cli.types import Head, Spec, UnitSphere


class VonMisesFisherHead(Head):
    """vMF(mu, kappa) on the sphere in Z dimensions, whose surface has Z - 1.

    kappa = 1 + exp(10 tanh(h / 10)) lies between 1 and 2e4; in the authors' code it is 1 + softplus(h). The 1 keeps z
    from forgetting mu: near kappa = 0 no gradient leads back.
    """

    models = (UnitSphere,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        size = spec.shape.numel()
        if size < 2:
            raise ConfigError(f"latent_dim={size}: posterior=von_mises_fisher needs a sphere, latent_dim=2 or more")
        self.embed_shape = spec.shape
        self.param_shape = Size((size + 1,))

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, Z + 1]: a vector in the direction of mu, then ln(kappa - 1)."""
        return VonMisesFisher(F.normalize(h[..., :-1], dim=-1), 1 + bounded_scale(h[..., -1]))

    def embed(self, draw: Tensor) -> Tensor:
        """On the sphere: draws are, and means or points between two draws are taken to it."""
        return F.normalize(draw, dim=-1)
