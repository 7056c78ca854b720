"""Noise on what a network reads, in training alone: it must find x again (Vincent et al. 2008), or not lean on details.

Each is a factory of networks that wraps another: corrupted(network factory) -> network factory.
"""

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor

from vae_cli.errors import ConfigError
from vae_cli.types import NetFactory, Network


class Corrupted(Network):
    """A network that reads noise(h) in training, and h in validation and test."""

    def __init__(self, network: Network, noise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self._noise = network, noise

    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """H [N, *in], c [N, *condition] -> [N, *out]."""
        return self.network(self._noise(h) if self.training else h, c)


def uncorrupted(network: NetFactory) -> NetFactory:
    """The network as it is."""
    return network


def masking(network: NetFactory, *, probability: float) -> NetFactory:
    """Each coordinate is 0 with that probability (Vincent et al. 2010)."""
    _check(probability)
    return _wrapped(network, lambda h: h * (torch.rand_like(h) >= probability))


def flipping(network: NetFactory, *, probability: float) -> NetFactory:
    """Each coordinate h is 1 - h with that probability: bits are flipped (Rezende et al. 2014)."""
    _check(probability)
    return _wrapped(network, lambda h: torch.where(torch.rand_like(h) < probability, 1 - h, h))


def gaussian(network: NetFactory, *, sigma: float) -> NetFactory:
    """Each coordinate gains N(0, sigma^2) (Vincent et al. 2010)."""
    if not (0 <= sigma < math.inf):
        raise ConfigError(f"corruption.sigma={sigma}: a standard deviation is a number of 0 or more")
    return _wrapped(network, lambda h: h + sigma * torch.randn_like(h))


def _wrapped(network: NetFactory, noise: Callable[[Tensor], Tensor]) -> NetFactory:
    def make(in_shape: Size, out_shape: Size, condition: Size | None) -> Network:
        return Corrupted(network(in_shape, out_shape, condition), noise)

    return make


def _check(probability: float) -> None:
    if not (0 <= probability < 1):
        raise ConfigError(f"corruption.probability={probability}: a number from 0 up to, but not, 1")
