"""Noise that enters a deep network at every layer: h_L = G_L z_L, h_l = T_l(h_{l+1}) + G_l z_l, x ~ p(x | T_0(h_1)).

The deep latent Gaussian model of Rezende, Mohamed & Wierstra (2014, eq. 1 to 4). Its latent variables are independent
a priori, all N(0, I); the h_l are Gaussian given the layer above, with mean T_l(h_{l+1}) and covariance G_l G_l^T.
"""

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.errors import ConfigError
from vae_cli.priors.standard import Standard
from vae_cli.shapes import over_samples
from vae_cli.structures.layers import Generation, Layers
from vae_cli.types import Infer, Parts, Spec, Values


class Deep(Generation):
    """T_l are the architecture's inner networks, T_0 its decoder, G_l matrices; the top layer has the model's prior.

    Each G_l starts as a rotation, which is ours. A random matrix stretches one direction of z_l above all others; a
    posterior of rank one then spends its direction on that, the same for every x, and learns z_l in a frame of its own.
    """

    def __init__(self, layers: Layers, param_shape: Size, data: Spec, parts: Parts) -> None:
        super().__init__()
        if layers.skip:
            raise ConfigError(
                "structure.skip=true: in a deep latent Gaussian model each layer adds to the one above it"
            )
        self._layers = layers
        *below, top = layers.names
        self.priors = nn.ModuleDict({name: Standard(layers.spec(name), data) for name in below})
        self.priors[top] = parts.prior(layers.spec(top), data)
        sizes = {name: layers.width([name]) for name in layers.names}
        self.noise = nn.ModuleDict({name: _rotation(*size) for name, size in sizes.items()})
        above = zip(below, layers.names[1:], strict=True)
        self.networks = nn.ModuleDict(
            {name: parts.inner(sizes[next_], sizes[name], data.condition) for name, next_ in above}
        )
        self.decoder = parts.decoder(sizes["z1"], param_shape, data.condition)

    def prior(self, name: str, above: Values, c: Tensor | None, infer: Infer) -> Distribution:
        """Whatever lies above."""
        return self.priors[name](c, infer)

    def decode(self, values: Values, c: Tensor | None) -> Tensor:
        """[S, B, *param_shape]."""
        top, *below = self._layers.downwards
        h = self.noise[top](values[top])
        for name in below:
            h = over_samples(self.networks[name], h, c) + self.noise[name](values[name])
        return over_samples(self.decoder, h, c)


def _rotation(size: int) -> nn.Linear:
    """A linear map whose matrix starts orthogonal."""
    linear = nn.Linear(size, size, bias=False)
    nn.init.orthogonal_(linear.weight)
    return linear
