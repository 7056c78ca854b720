"""Draws from the model."""

import torch
from omegaconf import DictConfig

from vae_cli.callbacks.pictures import columns_for
from vae_cli.callbacks.sheet import Sheet
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result

_USUAL = 80


def samples(request: Request, _settings: DictConfig) -> Result:
    """x, drawn with the noise of p(x | z); and its mean at the same z, which the picture shows.

    Where the condition is the label, the classes (or those of `labels`) come in turn; where it is the factors, those of
    examples; where it is part of x, that of examples, which stays in both.
    """
    conditions = request.conditions(request.num(_USUAL))
    draws = list(request.draws(conditions))
    means = torch.cat([one.mean for one in draws])
    latents = {name: torch.cat([one.values[name][0] for one in draws]) for name in draws[0].values}
    known = {"y": conditions.y, "factors": conditions.factors, "index": conditions.index}
    arrays = {
        "x": torch.cat([one.x for one in draws]),
        "mean": means,
        **latents,
        **{name: values for name, values in known.items() if values is not None},
    }
    columns = len(request.labels) or columns_for(request.data)
    at = "" if request.temperature == 1 else f" at temperature {request.temperature:g}"
    return Result(f"{len(means)} draws from the model{at}", arrays, Sheet(means, columns))
