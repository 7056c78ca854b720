"""What conv nets do to feature maps between two convolutions.

Shape legend: N examples, C channels, H height, W width.
"""

import math

from torch import Size, Tensor, nn

from vae_cli.errors import ConfigError
from vae_cli.networks.activations import activation as named_activation


def normalization(name: str, channels: int) -> nn.Module:
    """`none`, or `group`: over up to 8 groups of at least 4 channels (Wu & He 2018).

    Neither looks at other examples of the batch, so that q(z | x) depends on x alone.
    """
    if name == "none":
        return nn.Identity()
    if name == "group":
        return nn.GroupNorm(math.gcd(8, channels, max(1, channels // 4)), channels)
    raise ConfigError(f"architecture.normalization={name}: unknown; choose one of none, group")


class Finish(nn.Module):
    """Normalise, modulate by the condition if there is one, activate.

    Args:
        film: shape of a condition that scales and shifts every channel, h (1 + gamma(c)) + delta(c) with gamma and
            delta affine (Perez et al. 2018); None for none.
    """

    def __init__(self, channels: int, film: Size | None, *, activation: str, normalization_: str) -> None:
        super().__init__()
        self.normalize = normalization(normalization_, channels)
        self.film = None if film is None else nn.Linear(film.numel(), 2 * channels)
        self.activate = named_activation(activation)

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        """H [N, C, H, W], c [N, *film] -> [N, C, H, W]."""
        h = self.normalize(h)
        if self.film is not None:
            assert c is not None
            gamma, delta = self.film(c.flatten(1))[..., None, None].chunk(2, dim=1)  # [N, C, 1, 1]
            h = h * (1 + gamma) + delta
        return self.activate(h)


class ResidualBlock(nn.Module):
    """h + f(h) with f two convolutions of 3 x 3, each after normalisation and activation (He et al. 2016b)."""

    def __init__(self, channels: int, *, activation: str, normalization_: str) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            normalization(normalization_, channels),
            named_activation(activation),
            nn.Conv2d(channels, channels, 3, padding=1),
            normalization(normalization_, channels),
            named_activation(activation),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, h: Tensor) -> Tensor:
        """H [N, C, H, W] -> the same shape."""
        return h + self.residual(h)
