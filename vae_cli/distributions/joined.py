"""Gaussians of several batches as one."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_cli.distributions.gaussian import independent_gaussian


def joined(parts: Sequence[Distribution], order: Tensor) -> Distribution | None:
    """Batch shapes [B] of every part -> [N], put into that order of all N; None where they are not Gaussian.

    Args:
        parts: one kind of distribution, event shape [Z].
        order: [N].
    """
    if all(isinstance(part, MultivariateNormal) for part in parts):
        full = cast(Sequence[MultivariateNormal], parts)
        mean = torch.cat([part.loc for part in full])[order]
        scale_tril = torch.cat([part.scale_tril for part in full])[order]
        return MultivariateNormal(mean, scale_tril=scale_tril, validate_args=False)
    bases = [part.base_dist for part in parts if isinstance(part, Independent) and isinstance(part.base_dist, Normal)]
    if len(bases) == len(parts):
        mean, sigma = (torch.cat([getattr(base, name) for base in bases])[order] for name in ("loc", "scale"))
        return independent_gaussian(mean, sigma, 1)
    return None
