"""From grey levels to 0 and 1.

none: as they are. threshold: above one half, at every access. static: one Bernoulli draw per pixel, kept. dynamic: a
fresh draw at every access in training; validation and test are drawn once and kept, as in the code of Tomczak & Welling
(2018).
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vae_cli.data.base import Data, Examples, Read, Rows, Source, Split, evenly_spaced, scale_of
from vae_cli.errors import ConfigError
from vae_cli.noise import derive_seed
from vae_cli.types import Binary, Levels, Support, UnitInterval

CHOICES = ("auto", "none", "threshold", "static", "dynamic")
_FROZEN_SEED = 777  # of every draw that is kept, whatever the seed of the run: runs compare on the same test set


def resolve(choice: str, support: Support, models: tuple[type, ...]) -> str:
    """`auto` becomes `dynamic` where the likelihood models 0/1 values and the data is grey, else `none`.

    Args:
        models: the supports that the likelihood is a distribution over.

    Raises:
        ConfigError: for a choice that does not exist, or that the data does not allow.

    """
    if choice not in CHOICES:
        raise ConfigError(f"dataset.binarize={choice}: unknown; choose one of {', '.join(CHOICES)}")
    grey = isinstance(support, Levels | UnitInterval)
    if choice == "auto":
        return "dynamic" if grey and Binary in models and type(support) not in models else "none"
    if choice != "none" and not grey:
        found = "0 and 1 already" if isinstance(support, Binary) else "real numbers, not grey levels"
        raise ConfigError(f"dataset.binarize={choice}: the values of this data set are {found}; use none")
    return choice


def binarize(source: Source, choice: str) -> Data:
    """The data set with its values read as `choice` (one of none, threshold, static, dynamic) says.

    Raises:
        ConfigError: where draws would have to be kept of examples that do not fit into memory.

    """
    train, val, test = source.train, source.val, source.test
    spec, support = source.spec(), source.support
    if choice in ("none", "threshold"):
        read = _scaled(scale_of(support)) if choice == "none" else _above_one_half(support)
        splits = [Split(train, read), Split(val, read), Split(test, read)]
    elif choice == "dynamic":
        splits = [Split(train, _resampled(support)), _frozen(val, support, "val"), _frozen(test, support, "test")]
    elif isinstance(train, Rows):
        splits = [_frozen(train, support, "train"), _frozen(val, support, "val"), _frozen(test, support, "test")]
    else:
        raise ConfigError("dataset.binarize=static keeps a draw of every example in memory: use dynamic with workers")
    if choice in ("threshold", "static"):
        spec = replace(spec, mean=_mean(splits[0]))
    if choice != "none":
        spec = replace(spec, support=Binary())
    spec = replace(spec, examples=partial(_examples, splits[0]))
    return Data(*splits, spec=spec, fingerprint=source.fingerprint(), places=source.places)


_MOST_FOR_MEAN = 10_000


def _mean(split: Split) -> Tensor:
    """Of x over at most 10,000 evenly spaced examples, [*X]."""
    index = evenly_spaced(len(split.rows), _MOST_FOR_MEAN)
    chunks = split.rows.ahead(index.split(1000))
    totals = [split.read(rows.x, torch.Generator()).double().sum(0) for rows in chunks]
    return (torch.stack(totals).sum(0) / len(index)).float()


def _examples(split: Split, num: int) -> Tensor:
    """At most so many, evenly spaced, [num, *X]; where 0 and 1 are drawn, always the same draws."""
    rows = split.rows.read(evenly_spaced(len(split.rows), num))
    return split.read(rows.x, torch.Generator().manual_seed(derive_seed(_FROZEN_SEED, "examples"))).cpu()


def _scaled(scale: int) -> Read:
    return lambda rows, _noise: rows.float() if scale == 1 else rows.float() / scale


def _above_one_half(support: Support) -> Read:
    half = (support.count - 1) // 2 if isinstance(support, Levels) else 0.5
    return lambda rows, _noise: _above(rows, half)


def _frozen(examples: Examples, support: Support, split: str) -> Split:
    """0 and 1 as uint8, drawn once, from a stream of its own for each split."""
    if len(examples) == 0:
        return Split(examples, _scaled(1))
    draw = _resampled(support)
    noise = torch.Generator().manual_seed(derive_seed(_FROZEN_SEED, split))
    chunks = examples.ahead(torch.arange(len(examples)).split(1000))
    drawn = torch.cat([draw(rows.x, noise).to(torch.uint8) for rows in chunks])
    return Split(Rows(drawn, examples.y, examples.factors), _scaled(1))


def _resampled(support: Support) -> Read:
    if isinstance(support, Levels):
        return lambda rows, noise: _bernoulli_levels(rows, support.count - 1, noise)
    return lambda rows, noise: _above(rows, torch.rand(rows.shape, generator=noise, device=rows.device))


def _bernoulli_levels(rows: Tensor, top: int, noise: torch.Generator) -> Tensor:
    """1 with probability level / top, exactly: an integer drawn from 0 .. top - 1 lies below the level."""
    draws = torch.randint(0, top, rows.shape, generator=noise, device=rows.device, dtype=torch.uint8)
    return _above(rows, draws.float())


def _above(rows: Tensor, limit: Tensor | float) -> Tensor:
    """1 where a value is above the limit, else 0. Several times as fast on floats as by way of bool."""
    return rows.to(torch.float32, copy=True).gt_(limit)
