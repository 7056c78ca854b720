"""Estimates from below of ln p(x) of every example, with exactly as many draws as are asked for.

Shape legend: S samples, B batch.
"""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from vae_cli.distributions.masked import masked
from vae_cli.inference.memory import draws_within, parts
from vae_cli.noise import by_example, digests
from vae_cli.objectives.bounds import Bounds, bounds_of
from vae_cli.types import Batch, Features, Model, Trace


def bounds(
    model: Model, batch: Batch, num_samples: int, *, seed: int, memory: int, features: Features | None = None
) -> Bounds:
    """From `num_samples` draws of every example, which depend on the example, the seed and nothing else.

    Args:
        model: in evaluation mode.
        memory: bytes that one pass may take, about; it changes no figure.
        features: what the posteriors are made of; None: what the encoder says.

    """
    at_once = draws_within(memory, model, batch)
    rows = max(1, at_once // num_samples)
    said = [None] * len(batch.x) if features is None else _split(features, rows)
    score = partial(_bounds, model, sizes=parts(num_samples, at_once), seed=seed)
    with torch.no_grad():
        return joined(map(score, batch.split(rows), said))


def from_the_prior(model: Model, batch: Batch, num_samples: int, *, seed: int, memory: int) -> Tensor:
    """Ln 1/K sum_k p(x | z_k, c) with z_k ~ p(z | c), [B], nats, float64 (Sohn et al. 2015, section 4.1).

    The arguments are those of `bounds`, and the draws depend on as little. Importance sampling with q as proposal is
    `bounds`, and closer to ln p(x | c) for as many draws.
    """
    at_once = draws_within(memory, model, batch)
    score = partial(_from_the_prior, model, sizes=parts(num_samples, at_once), seed=seed)
    with torch.no_grad():
        return torch.cat([score(part) for part in batch.split(max(1, at_once // num_samples))])


def _from_the_prior(model: Model, batch: Batch, *, sizes: list[int], seed: int) -> Tensor:
    examples, sums = digests(batch), []
    for size, end in zip(sizes, accumulate(sizes), strict=True):
        with by_example(examples, seed, "prior draws", first=end - size):
            px = model.generate(len(batch.x), batch.c, samples=size).px
        sums.append(masked(px, batch.mask).log_prob(batch.x).double().logsumexp(0))
    return torch.stack(sums).logsumexp(0) - math.log(sum(sizes))


def _split(features: Features, size: int) -> list[Features]:
    columns = {name: value.split(size) for name, value in features.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def joined(found: Iterable[Bounds]) -> Bounds:
    """Of all their examples, in order."""
    columns = zip(*((one.reconstruction, one.kl, one.importance_weighted) for one in found), strict=True)
    return Bounds(*map(torch.cat, columns))


def _bounds(model: Model, batch: Batch, features: Features | None, *, sizes: list[int], seed: int) -> Bounds:
    draw = model.passes(batch, model.read(batch) if features is None else features)
    examples = digests(batch)

    def traces() -> Iterator[Trace]:
        for size, end in zip(sizes, accumulate(sizes), strict=True):
            with by_example(examples, seed, "draws", first=end - size):
                trace = draw(size)
            yield trace

    return bounds_of(traces())
