"""q(z_L | x) q(z_{L-1} | x, z_L) ... q(z_1 | x, z_2): each layer from x and those above (Tomczak & Welling 2018)."""

from collections.abc import Callable

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.errors import ConfigError
from vae_cli.shapes import over_samples
from vae_cli.structures.layers import Inference, Layers, beside
from vae_cli.types import Features, Parts, Spec, Values


class TopDown(Inference):
    """An encoder for each layer; below the top, an inner network joins what it says with the layers above.

    Args:
        features: numbers that an encoder says of x to a layer below the top.

    """

    def __init__(self, layers: Layers, x: Size, data: Spec, parts: Parts, *, features: int) -> None:
        super().__init__()
        if features < 1:
            raise ConfigError(f"structure.inference.features={features}: 1 or more")
        self.order, self._layers = layers.downwards, layers
        self.heads = nn.ModuleDict({name: parts.posterior(layers.spec(name)) for name in layers.names})
        shapes = {name: parts.posterior(layers.spec(name)).param_shape for name in layers.names}
        top, *below = layers.downwards
        self.encoders = nn.ModuleDict({top: parts.encoder(x, shapes[top], data.condition)})
        self.networks = nn.ModuleDict()
        for name in below:
            self.encoders[name] = parts.encoder(x, Size((features,)), data.condition)
            seen = Size((features + layers.width(layers.parents(name)).numel(),))
            self.networks[name] = parts.inner(seen, shapes[name], data.condition)

    def read(self, x: Tensor, c: Tensor | None) -> Features:
        """What encoders say: of the top all that q needs."""
        return {name: encoder(x, c) for name, encoder in self.encoders.items()}

    def posterior(
        self, name: str, features: Features, drawn: Values, c: Tensor | None, prior: Callable[[], Distribution]
    ) -> Distribution:
        """Batch shape [B] of the top, [S, B] of the others."""
        if name == self.order[0]:
            return self.heads[name](features[name])
        h = beside([features[name], *(drawn[parent] for parent in self._layers.parents(name))])
        return self.heads[name](over_samples(self.networks[name], h, c))

    def top(self, x: Tensor, c: Tensor | None) -> Distribution:
        """Batch shape [B]."""
        name = self.order[0]
        return self.heads[name](self.encoders[name](x, c))
