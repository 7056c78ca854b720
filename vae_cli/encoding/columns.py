"""What a model makes of a batch, as named arrays of a row an example.

Shape legend: N examples, B of a batch, Z dimensions of a latent variable, F factors.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vae_cli.distributions.parameters import posterior_of
from vae_cli.noise import by_example, digests
from vae_cli.types import Batch, Model, Site

Columns = Mapping[str, np.ndarray]  # each [B, ...]


def columns(model: Model, batch: Batch, places: Tensor, seed: int, sample: bool) -> Columns:
    """Of every latent variable its posterior, `<name>_mean` [B, Z] and more; `y` [B], `factors` [B, F]; `index` [B].

    Args:
        places: of the examples in their files, [B].
        seed: a draw follows from it and the example alone.
        sample: whether there is also a draw, `<name>_sample` [B, Z]; there always is where a posterior is known by no
            parameters.

    """
    with torch.no_grad(), by_example(digests(batch), seed, "codes"):
        sites = model(batch).sites
    found = {f"{name}_{key}": value for name, site in sites.items() for key, value in _told(site, sample).items()}
    known = {"y": batch.y, "factors": batch.factors, "index": places}
    found |= {name: value for name, value in known.items() if value is not None}
    return {name: value.cpu().numpy() for name, value in found.items()}


def _told(site: Site, sample: bool) -> dict[str, Tensor]:
    found = posterior_of(site)
    return {**found, "sample": site.value[0]} if sample or not found else found
