"""p(z | c): a Gaussian whose mean and standard deviations a network reads off the condition (Sohn et al. 2015)."""

from typing import Any

from torch import Size, Tensor
from torch.distributions import Distribution

from vae_cli.errors import ConfigError
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.networks.mlp import MLP
from vae_cli.types import Infer, Prior, Spec


class Conditional(Prior):
    """N(mu(c), diag sigma(c)^2).

    Args:
        width: units of each hidden layer.
        depth: hidden layers; 0: a mean and a scale of its own for every label.
        activation: between layers.

    Raises:
        ConfigError: where there is no condition.
    """

    def __init__(self, latent: Spec, data: Spec, *, width: int, depth: int, activation: str) -> None:
        super().__init__()
        if data.condition is None:
            raise ConfigError("prior=conditional needs a condition: choose condition=label, or prior=standard")
        self.head = Diagonal(latent)
        self.network = self._network(data.condition, width=width, depth=depth, activation=activation)

    def _network(self, condition: Size, **settings: Any) -> MLP:
        try:
            return MLP(condition, self.head.param_shape, None, **settings)
        except ConfigError as error:
            raise ConfigError(str(error).replace("architecture.", "prior.")) from error

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """C [B, *C] -> batch shape [B]."""
        assert c is not None
        return self.head(self.network(c))
