"""Parts that work, and that no export can have."""

import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.networks.mlp import MLP


class Branching(MLP):
    """What it computes depends on a value."""

    def forward(self, h, c=None):
        return super().forward(h if h.sum() > 0 else torch.zeros_like(h), c)


class Counting(MLP):
    """What it computes depends on the number of examples."""

    def forward(self, h, c=None):
        return super().forward(h * len(h) if len(h) < 3 else h, c)


class Squashed(Diagonal):
    """A distribution that is known by no parameters."""

    def forward(self, h):
        base = super().forward(h).base_dist
        squashed = TransformedDistribution(Normal(base.loc, base.scale), [TanhTransform()])
        return Independent(squashed, 1)
