"""The ladder VAE (Sonderby et al. 2016): what is seen from below and what is expected from above make q together.

A deterministic pass upwards, d_1 = f(x), d_l = f(d_{l-1}), gives an estimate N(mu_l, sigma_l^2) of every layer. From
the top down, q of a layer is that estimate times its prior given the layer above: their precisions add up.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Size, Tensor, nn
from torch.distributions import Distribution, Normal

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.marginals import factors
from vae_cli.errors import ConfigError
from vae_cli.structures.layers import Inference, Layers
from vae_cli.types import Features, Parts, Spec, Values

_SLOPE = 0.1  # of leaky rectifiers, as theirs


class Ladder(Inference):
    """The encoder for d_1, inner networks for those above, a linear layer from each to its estimate.

    Args:
        features: of d_1, d_2, ...: a number for each layer, or one for all.

    """

    def __init__(self, layers: Layers, x: Size, data: Spec, parts: Parts, *, features: int | Sequence[int]) -> None:
        super().__init__()
        names = layers.names
        widths = [features] * len(names) if isinstance(features, int) else list(features)
        if len(widths) != len(names) or min(widths) < 1:
            raise ConfigError(
                f"structure.inference.features={features}: a number of 1 or more, or one for each of the "
                f"{len(names)} latent variables"
            )
        self.order = layers.downwards
        self.heads = nn.ModuleDict({name: parts.posterior(layers.spec(name)) for name in names})
        self.encoder = parts.encoder(x, Size((widths[0],)), data.condition)
        self.upwards = nn.ModuleList(parts.inner(Size((a,)), Size((b,)), None) for a, b in pairwise(widths))
        self.activate = nn.LeakyReLU(_SLOPE)
        shapes = {name: parts.posterior(layers.spec(name)).param_shape.numel() for name in names}
        self.estimates = nn.ModuleDict(
            {name: nn.Linear(width, shapes[name]) for name, width in zip(names, widths, strict=True)}
        )

    def read(self, x: Tensor, c: Tensor | None) -> Features:
        """The estimates."""
        d = self.activate(self.encoder(x, c))
        seen = [d]
        for network in self.upwards:
            seen.append(self.activate(network(seen[-1])))
        return {name: estimate(d) for (name, estimate), d in zip(self.estimates.items(), seen, strict=True)}

    def posterior(
        self, name: str, features: Features, drawn: Values, c: Tensor | None, prior: Callable[[], Distribution]
    ) -> Distribution:
        """Batch shape [B] of the top, [S, B] of the others."""
        estimate = self.heads[name](features[name])
        return estimate if name == self.order[0] else _product(estimate, prior())

    def top(self, x: Tensor, c: Tensor | None) -> Distribution:
        """Batch shape [B]."""
        name = self.order[0]
        return self.heads[name](self.read(x, c)[name])


def _product(estimate: Distribution, prior: Distribution) -> Distribution:
    """The normalised product of two Gaussians with independent coordinates.

    Raises:
        ConfigError: where the estimate is another distribution.

    """
    seen, expected = factors(estimate), factors(prior)
    if not isinstance(seen, Normal) or not isinstance(expected, Normal):
        raise ConfigError(
            f"structure=ladder multiplies Gaussians with independent dimensions, and this posterior is "
            f"{type(estimate).__name__}: use posterior=diagonal"
        )
    weight, other = seen.scale.pow(-2), expected.scale.pow(-2)
    precision = weight + other
    return independent_gaussian((seen.loc * weight + expected.loc * other) / precision, precision.rsqrt(), 1)
