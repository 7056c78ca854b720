"""Walks along one dimension of a latent variable at a time.

Shape legend: Z dimensions of a latent variable, D dimensions walked along, T steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from vae_cli.distributions.marginals import normal_marginals
from vae_cli.inference.means import posterior_means
from vae_cli.noise import stream
from vae_cli.types import Batch, Model, Site, Values

_PAIR = 2
_DRAWS = 4096  # of a prior whose quantiles have no closed form
_AT_ONCE = 128  # of these


@dataclass(frozen=True)
class Dimension:
    """Of a latent variable."""

    latent: str
    index: int
    weight: float  # what it is ranked by

    @property
    def title(self) -> str:
        """For a row of a picture."""
        return f"{self.latent}_{self.index} ({self.weight:.2f})"


def ranked(weights: Mapping[str, Tensor]) -> list[Dimension]:
    """All dimensions, the largest weight first; weights: by latent variable, [Z]."""
    found = [Dimension(name, index, float(one)) for name, each in weights.items() for index, one in enumerate(each)]
    return sorted(found, key=lambda one: -one.weight)


def walked(model: Model, one: Batch, dimensions: Sequence[Dimension], values: Tensor) -> Tensor:
    """Means of p(x | z) where each dimension takes its values [D, T], the rest at the posterior mean, [D, T, *X].

    Latent variables below the one that is walked in are at the mean of their prior given it.

    Args:
        one: the example.

    """
    start = {name: value[:, :1] for name, value in posterior_means(model, _in_pair(one)).items()}
    c = None if one.c is None else one.c.expand(values.shape[1], *one.c.shape[1:])
    walks = (_walk(model.latents, start, dimension, row) for dimension, row in zip(dimensions, values, strict=True))
    with torch.no_grad():
        return torch.stack([one.completed(model.decode(walk, c).mean[0]) for walk in walks])


def _walk(latents: Sequence[str], start: Values, dimension: Dimension, values: Tensor) -> Values:
    """Of the latent variable and those that it depends on, [1, T, *Z]."""
    above = latents[: latents.index(dimension.latent)]
    own = along(start[dimension.latent][0, 0], torch.tensor([dimension.index]), values[None])
    return {
        **{name: start[name].expand(1, len(values), *start[name].shape[2:]) for name in above},
        dimension.latent: own,
    }


def along(start: Tensor, dimensions: Tensor, values: Tensor) -> Tensor:
    """From `start` [Z], each of the dimensions [D] alone moved through its values [D, T] -> [D, T, Z]."""
    z = start.expand(*values.shape, -1).clone()
    z[torch.arange(len(dimensions)), :, dimensions] = values
    return z


def values_told(values: Tensor, shares: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a picture of walks through values [D, T] says above its columns, and more beside each row.

    The values, where they are alike in every row; else what share each column is, and each row's range.
    """
    if torch.allclose(values, values[:1].expand_as(values), atol=5e-3):
        return [f"{value:.2f}" for value in values[0].tolist()], [""] * len(values)
    return list(shares), [f" {row[0]:.2f} to {row[-1]:.2f}" for row in values.tolist()]


def prior_quantiles(model: Model, batch: Batch, levels: Tensor) -> dict[str, Tensor]:
    """Of every dimension of each latent variable under the model's prior, [Z, T].

    Args:
        batch: one example, whose condition counts.
        levels: between 0 and 1, [T].

    """
    with torch.no_grad(), stream(batch.x.device, "quantiles"):
        sites = model(_in_pair(batch)).sites
        if all(_is_known(site) for site in sites.values()):
            return {name: _of_normal(site, levels) for name, site in sites.items()}
        draws = list(_generated(model, batch))
    return {name: torch.cat([one[name] for one in draws]).quantile(levels, dim=0).mT for name in sites}


def _in_pair(one: Batch) -> Batch:
    """The example twice: a network that is compiled would be compiled once more for batches of one."""
    return one.part(torch.zeros(_PAIR, dtype=torch.long, device=one.x.device))


def _is_known(site: Site) -> bool:
    """A Gaussian that depends on no other latent variable."""
    return site.p.batch_shape in (Size(), Size((_PAIR,))) and normal_marginals(site.p) is not None


def _of_normal(site: Site, levels: Tensor) -> Tensor:
    marginals = normal_marginals(site.p)
    assert marginals is not None
    values = marginals.icdf(levels.view(-1, *[1] * len(marginals.batch_shape)))
    return values.reshape(len(levels), -1, values.shape[-1])[:, 0].mT


def _generated(model: Model, batch: Batch) -> Iterable[dict[str, Tensor]]:
    for _ in range(0, _DRAWS, _AT_ONCE):
        c = None if batch.c is None else batch.c.expand(_AT_ONCE, *batch.c.shape[1:])
        yield {name: value[0] for name, value in model.generate(_AT_ONCE, c).values.items()}
