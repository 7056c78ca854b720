"""One latent dimension at a time, from end to end of the prior."""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from vae_cli.callbacks.sheet import Sheet
from vae_cli.errors import ConfigError
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.inference.traverse import Dimension, prior_quantiles, ranked, values_told, walked
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result

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


def traversals(request: Request, settings: DictConfig) -> Result:
    """Dimensions in order of KL; the rest stays at the posterior mean of an example, of which there may be several.

    Where a KL has no value for each dimension, they are in order of the variance of the posterior means. Latent
    variables below the one that is walked in are at the mean of their prior given it.
    """
    chosen = settings_of(Settings, settings, "traversals")
    request.need_latents("traversals")
    batch = request.examples(request.num(1))
    measure, dimensions = _ranked(request)
    walks = dimensions[: chosen.dimensions]
    levels = torch.linspace(chosen.quantile, 1 - chosen.quantile, chosen.steps, device=batch.x.device)
    if not request.run.bounds:
        raise ConfigError("what=traversals needs a prior, whose quantiles are walked through; an autoencoder has none")
    quantiles = [prior_quantiles(request.run.model, one, levels) for one in batch.split(1)]
    values = torch.stack([torch.stack([of[one.latent][one.index] for one in walks]) for of in quantiles])
    parts = [walked(request.run.model, one, walks, row) for one, row in zip(batch.split(1), values, strict=True)]
    means = torch.stack(parts)  # [E, D, T, *X]
    arrays = {
        "mean": means,
        "value": values,
        "dimension": torch.tensor([one.index for one in walks]),
        measure: torch.tensor([one.weight for one in walks]),
    }
    told = f"{len(walks)} dimensions in order of {_MEASURES[measure]}, from the {chosen.quantile:g} to the "
    told += f"{1 - chosen.quantile:g} quantile of the prior"
    columns, ranges = values_told(values.flatten(0, 1), [f"{level:.0%}" for level in levels.tolist()])
    rows = [f"{one.title}{more}" for one, more in zip([*walks] * len(means), ranges, strict=True)]
    title = (
        f"{told}; columns: {'quantiles' if ranges[0] else 'the value'}; the rest at the posterior mean of an example"
    )
    sheet = Sheet(means.flatten(0, 2), chosen.steps, rows, columns, title)
    titles = [f"{one.latent}_{one.index}" for one in walks]
    frames = [Sheet(means[:, :, step].flatten(0, 1), len(walks), (), titles) for step in range(chosen.steps)]
    return Result(told, arrays, sheet, frames)


def _ranked(request: Request) -> tuple[str, list[Dimension]]:
    """What they are ranked by, and all dimensions, the largest first."""
    latents = request.subject.codes.latents
    kls = {name: latent.kl for name, latent in latents.items() if latent.kl is not None}
    if len(kls) == len(latents):
        return "kl", ranked(kls)
    return "variance", ranked({name: latent.means.var(0) for name, latent in latents.items()})
