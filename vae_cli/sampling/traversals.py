"""One latent dimension at a time, from end to end of the prior."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.inference.means import posterior_means
from vae_cli.inference.traverse import along, prior_quantiles
from vae_cli.sampling.picture import Sheet
from vae_cli.sampling.request import Request, one_of
from vae_cli.sampling.result import Result
from vae_cli.types import Batch, Values

_MEASURES = {"kl": "KL (nats)", "variance": "the variance of their means"}


@dataclass(frozen=True)
class Settings:
    """Of `what=traversals`."""

    steps: int
    quantile: float  # of the prior, where walks begin; they end at 1 - quantile
    dimensions: int  # at most so many

    def __post_init__(self) -> None:
        at_least(2, "traversals", steps=self.steps)
        at_least(1, "traversals", dimensions=self.dimensions)
        if not (0 < self.quantile < 0.5):
            raise ConfigError(f"traversals.quantile={self.quantile}: a number between 0 and 0.5")


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


def traversals(request: Request, settings: DictConfig) -> Result:
    """Dimensions in order of KL; the rest stays at the posterior mean of an example, of which there may be several.

    Where a KL has no value for each dimension, they are in order of the variance of the posterior means. Latent
    variables below the one that is walked in are at the mean of their prior given it.
    """
    chosen = settings_of(Settings, settings, "traversals")
    request.need_latents("traversals")
    batch = request.examples(request.num(1))
    measure, ranked = _ranked(request)
    walked = ranked[: chosen.dimensions]
    levels = torch.linspace(chosen.quantile, 1 - chosen.quantile, chosen.steps, device=batch.x.device)
    if not request.run.bounds:
        raise ConfigError("what=traversals needs a prior, whose quantiles are walked through; an autoencoder has none")
    parts = [_of_example(request, one_of(batch, place), walked, levels) for place in range(len(batch.x))]
    means, values = (torch.stack(column) for column in zip(*parts, strict=True))  # [E, D, T, *X], [E, D, T]
    arrays = {
        "mean": means,
        "value": values,
        "dimension": torch.tensor([one.index for one in walked]),
        measure: torch.tensor([one.weight for one in walked]),
    }
    rows = means.flatten(0, 1)
    sheet = Sheet(rows.flatten(0, 1), chosen.steps, [one.title for one in walked] * len(means))
    titles = [f"{one.latent}_{one.index}" for one in walked]
    frames = [Sheet(means[:, :, step].flatten(0, 1), len(walked), (), titles) for step in range(chosen.steps)]
    told = f"{len(walked)} dimensions in order of {_MEASURES[measure]}, from the {chosen.quantile:g} to the "
    return Result(f"{told}{1 - chosen.quantile:g} quantile of the prior", arrays, sheet, frames)


def _ranked(request: Request) -> tuple[str, list[Dimension]]:
    """What they are ranked by, and all dimensions, the largest first."""
    latents = request.subject.codes.latents
    kls = {name: latent.kl for name, latent in latents.items() if latent.kl is not None}
    known = len(kls) == len(latents)
    weights = kls if known else {name: latent.means.var(0) for name, latent in latents.items()}
    found = [Dimension(name, index, float(one)) for name, all_of in weights.items() for index, one in enumerate(all_of)]
    return "kl" if known else "variance", sorted(found, key=lambda one: -one.weight)


def _of_example(request: Request, one: Batch, walked: list[Dimension], levels: Tensor) -> tuple[Tensor, Tensor]:
    """Means of p(x | z), [D, T, *X]; the values of the dimension that is walked along, [D, T]."""
    model = request.run.model
    start, quantiles = posterior_means(model, one), prior_quantiles(model, one, levels)
    values = torch.stack([quantiles[dimension.latent][dimension.index] for dimension in walked])
    c = None if one.c is None else one.c.expand(len(levels), *one.c.shape[1:])
    walks = (_walk(model.latents, start, dimension, row) for dimension, row in zip(walked, values, strict=True))
    with torch.no_grad():
        return torch.stack([one.completed(model.decode(walk, c).mean[0]) for walk in walks]), values


def _walk(latents: Sequence[str], start: Values, dimension: Dimension, values: Tensor) -> Values:
    """Of the latent variable and those that it depends on, [1, T, *Z]."""
    above = latents[: latents.index(dimension.latent)]
    own = along(start[dimension.latent][0, 0], torch.tensor([dimension.index]), values[None])
    return {
        **{name: start[name].expand(1, len(values), *start[name].shape[2:]) for name in above},
        dimension.latent: own,
    }
