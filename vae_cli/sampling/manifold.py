"""The whole of a latent space of two dimensions (Kingma & Welling 2014, figure 4)."""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from vae_cli.callbacks.sheet import Sheet
from vae_cli.errors import ConfigError
from vae_cli.evaluation.settings import settings_of
from vae_cli.inference.traverse import prior_quantiles
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result

_USUAL = 20


@dataclass(frozen=True)
class Settings:
    """Of `what=manifold`."""

    quantile: float  # of the prior, where the grid begins; it ends at 1 - quantile

    def __post_init__(self) -> None:
        if not (0 < self.quantile < 0.5):
            raise ConfigError(f"manifold.quantile={self.quantile}: a number between 0 and 0.5")


def manifold(request: Request, settings: DictConfig) -> Result:
    """Means of p(x | z) on a grid that is evenly spaced on the unit square, through the quantiles of the prior.

    The first dimension grows to the right, the second upwards.
    """
    chosen = settings_of(Settings, settings, "manifold")
    run, side = request.run, request.num(_USUAL)
    request.need_latents("manifold")
    if not run.bounds:
        raise ConfigError("what=manifold needs a prior, whose quantiles are the grid; an autoencoder has none")
    conditions = request.conditions(1)
    one = run.batch(conditions.x, conditions.y, conditions.factors)
    levels = torch.linspace(chosen.quantile, 1 - chosen.quantile, side, device=run.device)
    quantiles = prior_quantiles(run.model, one, levels)
    sizes = {name: len(values) for name, values in quantiles.items()}
    if list(sizes.values()) != [2]:
        told = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ConfigError(f"what=manifold needs one latent variable of 2 dimensions, latent_dim=2: here {told}")
    ((name, (across, up)),) = quantiles.items()
    z = torch.stack(torch.meshgrid(up.flip(0), across, indexing="ij")[::-1], -1)  # [side, side, 2]
    c = None if one.c is None else one.c.expand(side, *one.c.shape[1:])
    with torch.no_grad():
        means = torch.stack([one.completed(run.model.decode({name: row[None]}, c).mean[0]) for row in z])
    return Result(
        f"{side} x {side} points, {chosen.quantile:g} to {1 - chosen.quantile:g} quantiles of the prior",
        {"mean": means, name: z},
        Sheet(means.flatten(0, 1), side),
    )
