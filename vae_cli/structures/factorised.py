"""q(z | x) = q(z_1 | x) ... q(z_L | x): every layer from x alone (Rezende, Mohamed & Wierstra 2014)."""

from collections.abc import Callable

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.structures.layers import Inference, Layers
from vae_cli.types import Features, Parts, Spec, Values


class Factorised(Inference):
    """An encoder for each."""

    def __init__(self, layers: Layers, x: Size, data: Spec, parts: Parts) -> None:
        super().__init__()
        self.order = layers.downwards
        self.heads = nn.ModuleDict({name: parts.posterior(layers.spec(name)) for name in layers.names})
        shapes = {name: parts.posterior(layers.spec(name)).param_shape for name in layers.names}
        self.encoders = nn.ModuleDict({name: parts.encoder(x, shape, data.condition) for name, shape in shapes.items()})

    def read(self, x: Tensor, c: Tensor | None) -> Features:
        """What each posterior is made of."""
        return {name: encoder(x, c) for name, encoder in self.encoders.items()}

    def posterior(
        self, name: str, features: Features, drawn: Values, c: Tensor | None, prior: Callable[[], Distribution]
    ) -> Distribution:
        """Batch shape [B]."""
        return self.heads[name](features[name])

    def top(self, x: Tensor, c: Tensor | None) -> Distribution:
        """Batch shape [B]."""
        name = self.order[0]
        return self.heads[name](self.encoders[name](x, c))
