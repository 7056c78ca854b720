"""Fully connected networks, plain and gated."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Size, Tensor, nn

from vae_cli.errors import ConfigError
from vae_cli.networks.activations import activation as named_activation
from vae_cli.types import Network

_DEEPEST = 1000  # hidden layers: what is more has lost a comma


class MLP(Network):
    """`depth` hidden layers of `width` units with one nonlinearity, then a linear layer.

    The event is flattened on the way in and shaped on the way out; c joins the input by concatenation.
    """

    def __init__(
        self, in_shape: Size, out_shape: Size, condition: Size | None, *, width: int, depth: int, activation: str
    ) -> None:
        super().__init__()
        self._body = _Stack(
            in_shape,
            out_shape,
            condition,
            width=width,
            depth=depth,
            layer=lambda fan_in, fan_out: nn.Sequential(nn.Linear(fan_in, fan_out), named_activation(activation)),
        )

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """H [N, *in], c [N, *condition] -> [N, *out]."""
        return self._body(h, c)


class GatedMLP(Network):
    """`depth` gated layers of `width` units, h * sigmoid(g) and no other nonlinearity (Tomczak & Welling 2018)."""

    def __init__(self, in_shape: Size, out_shape: Size, condition: Size | None, *, width: int, depth: int) -> None:
        super().__init__()
        self._body = _Stack(
            in_shape,
            out_shape,
            condition,
            width=width,
            depth=depth,
            layer=lambda fan_in, fan_out: nn.Sequential(nn.Linear(fan_in, 2 * fan_out), nn.GLU()),
        )

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """H [N, *in], c [N, *condition] -> [N, *out]."""
        return self._body(h, c)


class _Stack(nn.Module):
    """Flatten, concatenate c, hidden layers, one linear layer, unflatten."""

    def __init__(
        self,
        in_shape: Size,
        out_shape: Size,
        condition: Size | None,
        *,
        width: int,
        depth: int,
        layer: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"architecture.width={width}: a layer needs at least 1 unit")
        if not (0 <= depth <= _DEEPEST):
            raise ConfigError(f"architecture.depth={depth}: 0 or more hidden layers, up to {_DEEPEST}")
        fan_in = in_shape.numel() + (condition.numel() if condition else 0)
        widths = [fan_in, *[width] * depth]
        self.hidden = nn.Sequential(*[layer(a, b) for a, b in pairwise(widths)])
        self.last = nn.Linear(widths[-1], out_shape.numel())
        self._out_shape = out_shape

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        h = h.flatten(1)
        if c is not None:
            h = torch.cat([h, c.flatten(1)], dim=1)
        return self.last(self.hidden(h)).unflatten(1, self._out_shape)
