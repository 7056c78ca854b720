"""Walks along one dimension of a latent variable at a time.

Shape legend: Z dimensions of a latent variable, D dimensions walked along, T steps.
"""

from collections.abc import Iterable

import torch
from torch import Size, Tensor

from vae_cli.distributions.marginals import normal_marginals
from vae_cli.noise import stream
from vae_cli.types import Batch, Model, Site

_DRAWS = 4096  # of a prior whose quantiles have no closed form
_AT_ONCE = 128  # of these


def along(start: Tensor, dimensions: Tensor, values: Tensor) -> Tensor:
    """From `start` [Z], each of the dimensions [D] alone moved through its values [D, T] -> [D, T, Z]."""
    z = start.expand(*values.shape, -1).clone()
    z[torch.arange(len(dimensions)), :, dimensions] = values
    return z


def prior_quantiles(model: Model, batch: Batch, levels: Tensor) -> dict[str, Tensor]:
    """Of every dimension of each latent variable under the model's prior, [Z, T].

    Args:
        batch: one example, whose condition counts.
        levels: between 0 and 1, [T].

    """
    with torch.no_grad(), stream(batch.x.device, "quantiles"):
        sites = model(batch).sites
        if all(_is_known(site) for site in sites.values()):
            return {name: _of_normal(site, levels) for name, site in sites.items()}
        draws = list(_generated(model, batch))
    return {name: torch.cat([one[name] for one in draws]).quantile(levels, dim=0).mT for name in sites}


def _is_known(site: Site) -> bool:
    """A Gaussian that depends on no other latent variable."""
    return site.p.batch_shape in (Size(), Size((1,))) and normal_marginals(site.p) is not None


def _of_normal(site: Site, levels: Tensor) -> Tensor:
    marginals = normal_marginals(site.p)
    assert marginals is not None
    return marginals.icdf(levels.view(-1, *[1] * len(marginals.batch_shape))).reshape(len(levels), -1).mT


def _generated(model: Model, batch: Batch) -> Iterable[dict[str, Tensor]]:
    for _ in range(0, _DRAWS, _AT_ONCE):
        c = None if batch.c is None else batch.c.expand(_AT_ONCE, *batch.c.shape[1:])
        yield {name: value[0] for name, value in model.generate(_AT_ONCE, c).values.items()}
