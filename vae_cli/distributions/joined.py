"""Distributions of several batches as one."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.rank_one_gaussian import RankOneGaussian
from vae_cli.distributions.von_mises_fisher import VonMisesFisher

Apart = tuple[Callable[..., Distribution], Sequence[Tensor]]  # a kind, and what one is made of, [B, ...] each


def joined(parts: Sequence[Distribution], order: Tensor) -> Distribution | None:
    """Batch shapes [B] of every part -> [N], put into that order of all N; None for a kind not known here.

    Args:
        parts: one kind of distribution, event shape [Z].
        order: [N].
    """
    apart = [found for part in parts if (found := _apart(part)) is not None]
    if len(apart) < len(parts):
        return None
    make, columns = apart[0][0], zip(*(tensors for _, tensors in apart), strict=True)
    return make(*(torch.cat(column)[order] for column in columns))


def _apart(part: Distribution) -> Apart | None:
    if isinstance(part, MultivariateNormal):
        return _full, (part.loc, part.scale_tril)
    if isinstance(part, RankOneGaussian):
        return RankOneGaussian, (part.loc, part.scale, part.direction)
    if isinstance(part, VonMisesFisher):
        return VonMisesFisher, (part.direction, part.concentration)
    if isinstance(part, Independent) and isinstance(part.base_dist, Normal):
        return partial(independent_gaussian, event_rank=1), (part.base_dist.loc, part.base_dist.scale)
    return None


def _full(mean: Tensor, scale_tril: Tensor) -> Distribution:
    return MultivariateNormal(mean, scale_tril=scale_tril, validate_args=False)
