"""What a model makes of examples: the posterior of each of its latent variables, and what is known of the examples.

Shape legend: N examples, Z dimensions of a latent variable, F factors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_cli.callbacks.latents import kl_per_dimension
from vae_cli.distributions.joined import joined
from vae_cli.noise import by_example, digests
from vae_cli.types import Batch, Model, Site


@dataclass(frozen=True)
class Latent:
    """One latent variable, on the device of the model."""

    means: Tensor  # of q(z | x), [N, Z]
    draws: Tensor  # one of q(z | x), [N, Z]
    q: Distribution | None  # q(z | x_n), batch shape [N]; None where it is a flow or depends on another draw
    p: Distribution | None  # p(z), batch shape []; None where it depends on a condition or on another latent variable
    kl: Tensor | None  # of each dimension's marginal, averaged over the examples, [Z], nats; None where not Gaussian


@dataclass(frozen=True)
class Codes:
    """Of some examples, in an order that does not depend on theirs: by factors, label and means."""

    latents: Mapping[str, Latent]
    labels: np.ndarray | None  # [N], -1 where hidden
    factors: np.ndarray | None  # [N, F]

    @property
    def means(self) -> np.ndarray:
        """All latent variables side by side, [N, all Z] in float64."""
        return _array(torch.cat([latent.means for latent in self.latents.values()], 1))

    @property
    def draws(self) -> np.ndarray:
        """Likewise."""
        return _array(torch.cat([latent.draws for latent in self.latents.values()], 1))


def encoded(model: Model, batches: Iterable[Batch], seed: int) -> Codes:
    """One pass over the batches; one draw for each example, which follows from the seed and the example alone."""
    passes: list[Mapping[str, Site]] = []
    labels: list[Tensor | None] = []
    factors: list[Tensor | None] = []
    for batch in batches:
        with torch.no_grad(), by_example(digests(batch), seed, "codes"):
            passes.append(model(batch).sites)
        labels.append(batch.y)
        factors.append(batch.factors)
    sites = {name: [one[name] for one in passes] for name in passes[0]}
    means = [_means(parts) for parts in sites.values()]
    known = [_all(labels), _all(factors)]
    order = canonical_order([*means, *(one for one in known if one is not None)])
    latents = {name: _latent(parts, order.to(means[0].device)) for name, parts in sites.items()}
    return Codes(latents, *(None if one is None else one.cpu()[order].numpy() for one in known))


def canonical_order(columns: Sequence[Tensor]) -> Tensor:
    """The order of rows that sorts by the last column of the last array, ties by the one before; each [N] or [N, K]."""
    keys = np.concatenate([_array(one.reshape(len(one), -1)) for one in columns], axis=1)
    return torch.from_numpy(np.lexsort(keys.T))


def _latent(sites: list[Site], order: Tensor) -> Latent:
    prior, alone = sites[0].p, all(len(site.q.batch_shape) == 1 for site in sites)
    return Latent(
        means=_means(sites)[order],
        draws=torch.cat([site.value.flatten(0, -2) for site in sites])[order],
        q=joined([site.q for site in sites], order) if alone else None,
        p=None if prior.batch_shape else prior,
        kl=_average(sites),
    )


def _means(sites: list[Site]) -> Tensor:
    return torch.cat([site.q.mean.flatten(0, -2) for site in sites])


def _average(sites: list[Site]) -> Tensor | None:
    """The KL of each dimension over the examples of all batches, [Z]."""
    kls = [kl_per_dimension(site) for site in sites]
    sizes = [site.value.shape[1] for site in sites]
    weighted = [kl * size for kl, size in zip(kls, sizes, strict=True) if kl is not None]
    return torch.stack(weighted).sum(0) / sum(sizes) if weighted else None


def _all(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
