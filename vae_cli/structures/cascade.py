"""p(z_L) p(z_{L-1} | z_L) ... p(x | z_1): each a Gaussian whose mean and scales a network reads off those above."""

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.shapes import over_samples
from vae_cli.structures.layers import Generation, Layers, beside
from vae_cli.types import Infer, Parts, Spec, Values


class Cascade(Generation):
    """As in Burda et al. (2016), Sonderby et al. (2016), and with `skip` in Tomczak & Welling (2018).

    The top layer has the model's prior; the condition, where there is one, joins every layer.
    """

    def __init__(self, layers: Layers, param_shape: Size, data: Spec, parts: Parts) -> None:
        super().__init__()
        self._layers = layers
        *below, top = layers.names
        self.top = parts.prior(layers.spec(top), data)
        self.heads = nn.ModuleDict({name: Diagonal(layers.spec(name)) for name in below})
        self.networks = nn.ModuleDict(
            {
                name: parts.inner(
                    layers.width(layers.parents(name)), Diagonal(layers.spec(name)).param_shape, data.condition
                )
                for name in below
            }
        )
        self.decoder = parts.decoder(layers.width(layers.parents(None)), param_shape, data.condition)

    def prior(self, name: str, above: Values, c: Tensor | None, infer: Infer) -> Distribution:
        """Batch shape [S, B]; of the top that of the model's prior."""
        if name == self._layers.downwards[0]:
            return self.top(c, infer)
        h = beside([above[parent] for parent in self._layers.parents(name)])
        return self.heads[name](over_samples(self.networks[name], h, c))

    def decode(self, values: Values, c: Tensor | None) -> Tensor:
        """[S, B, *param_shape]."""
        return over_samples(self.decoder, beside([values[parent] for parent in self._layers.parents(None)]), c)
