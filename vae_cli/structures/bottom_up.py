"""q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_{L-1}): each layer from the one below (Burda et al. 2016)."""

from collections.abc import Callable

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.errors import ConfigError
from vae_cli.shapes import over_samples
from vae_cli.structures.layers import Inference, Layers
from vae_cli.types import Features, Parts, Spec, Values


class BottomUp(Inference):
    """The encoder for z_1, inner networks for those above."""

    def __init__(self, layers: Layers, x: Size, data: Spec, parts: Parts) -> None:
        super().__init__()
        if layers.skip:
            raise ConfigError("structure.skip=true: from below, q of a layer sees the one below alone: skip=false")
        self.order = layers.names
        self._below = dict(zip(layers.names[1:], layers.names, strict=False))
        self.heads = nn.ModuleDict({name: parts.posterior(layers.spec(name)) for name in layers.names})
        shapes = {name: parts.posterior(layers.spec(name)).param_shape for name in layers.names}
        self.encoder = parts.encoder(x, shapes["z1"], data.condition)
        self.networks = nn.ModuleDict(
            {
                name: parts.inner(layers.width([below]), shapes[name], data.condition)
                for name, below in self._below.items()
            }
        )

    def read(self, x: Tensor, c: Tensor | None) -> Features:
        """Of z_1."""
        return {"z1": self.encoder(x, c)}

    def posterior(
        self, name: str, features: Features, drawn: Values, c: Tensor | None, prior: Callable[[], Distribution]
    ) -> Distribution:
        """Batch shape [B] of z_1, [S, B] of the others."""
        if name == "z1":
            return self.heads[name](features[name])
        return self.heads[name](over_samples(self.networks[name], drawn[self._below[name]], c))

    def top(self, x: Tensor, c: Tensor | None) -> Distribution:
        """ConfigError, unless there is one layer alone."""
        if len(self.order) == 1:
            return self.heads["z1"](self.encoder(x, c))
        raise ConfigError(
            "this prior needs q(z | x) of the top latent variable, and structure=hierarchical knows it given those "
            "below alone: use structure=top_down or structure=ladder"
        )
