"""Where a model sees the examples: every latent variable at the mean of its posterior."""

import torch
from torch import Tensor

from vae_cli.noise import stream
from vae_cli.types import Batch, Model


def posterior_means(model: Model, batch: Batch) -> dict[str, Tensor]:
    """[1, B, *Z] of each latent variable, in the order in which they are drawn, each given those before."""
    draw = model.passes(batch, model.read(batch))
    with torch.no_grad(), stream(batch.x.device, "means"):
        names = list(draw(1).sites)
        means: dict[str, Tensor] = {}
        for name in names:
            site = draw(1, means).sites[name]
            means[name] = site.q.mean.expand_as(site.value)
    return means
