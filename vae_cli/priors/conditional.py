"""p(z | c): Gaussians whose parameters a network reads off the condition (Sohn et al. 2015)."""

from typing import Any

from torch import Size, Tensor
from torch.distributions import Distribution

from vae_cli.distributions.mixture import GaussianMixture
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.networks.mlp import MLP
from vae_cli.priors.mixture import check_components
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
        self.head = Diagonal(latent)
        self.network = _network(
            "conditional", data, self.head.param_shape, width=width, depth=depth, activation=activation
        )

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """C [B, *C] -> batch shape [B]."""
        assert c is not None
        return self.head(self.network(c))


class ConditionalMixture(Prior):
    """sum_k w_k(c) N(m_k(c), diag s_k(c)^2).

    Its components differ at the start by the weights of the network's last layer.

    Args:
        components: how many.
        width: units of each hidden layer.
        depth: hidden layers; 0: a mixture of its own for every label.
        activation: between layers.

    Raises:
        ConfigError: where there is no condition.
    """

    def __init__(self, latent: Spec, data: Spec, *, components: int, width: int, depth: int, activation: str) -> None:
        super().__init__()
        check_components(components)
        self._size = latent.shape.numel()
        out_shape = Size((components, 1 + 2 * self._size))
        self.network = _network("conditional_mixture", data, out_shape, width=width, depth=depth, activation=activation)

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """C [B, *C] -> batch shape [B]; for each component the network gives a logit, means, log scales."""
        assert c is not None
        logits, mean, log_scale = self.network(c).split([1, self._size, self._size], -1)
        return GaussianMixture(logits.squeeze(-1).log_softmax(-1), mean, bounded_scale(log_scale))


def _network(name: str, data: Spec, out_shape: Size, **settings: Any) -> MLP:
    if data.condition is None:
        raise ConfigError(
            f"prior={name} needs a condition: choose condition=label or condition=quadrant, or prior=standard"
        )
    try:
        return MLP(data.condition, out_shape, None, **settings)
    except ConfigError as error:
        raise ConfigError(str(error).replace("architecture.", "prior.")) from error
