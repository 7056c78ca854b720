"""From grey levels to 0 and 1.

none: as they are. threshold: above one half, at every access. static: one Bernoulli draw per pixel, which follows from
what the example holds. dynamic: a fresh draw at every access in training; validation and test have one draw for good,
as in the code of Tomczak & Welling (2018), and so has whatever a finished run is used on.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vae_cli.classes import Classes
from vae_cli.data.base import Data, Examples, Read, Rows, Source, Split, evenly_spaced, scale_of
from vae_cli.data.telling import doubts, read_line
from vae_cli.errors import ConfigError
from vae_cli.noise import by_example, derive_seed, digests
from vae_cli.types import Batch, Binary, Levels, Support, UnitInterval

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
    """The data set with its values read as `choice` (one of none, threshold, static, dynamic) says."""
    train, val, test = map(partial(_numbered, source.classes), source.splits)
    spec, support = source.spec(), source.support
    if choice in ("none", "threshold"):
        read = _scaled(scale_of(support)) if choice == "none" else _above_one_half(support)
        splits = [Split(train, read), Split(val, read), Split(test, read)]
    else:
        training = Split(train, _resampled(support)) if choice == "dynamic" else _by_example(train, support)
        splits = [training, _by_example(val, support), _by_example(test, support)]
    if choice in ("threshold", "static"):
        spec = replace(spec, mean=_mean(splits[0]))
    if choice != "none":
        spec = replace(spec, support=Binary())
    spec = replace(spec, examples=partial(_examples, splits[0]))
    names = () if source.classes is None else source.classes.names
    told, warnings = read_line(source, choice), (*source.warnings, *doubts(source))
    checksum, places = source.fingerprint(), source.places
    return Data(
        *splits,
        spec=spec,
        fingerprint=checksum,
        places=places,
        class_names=names,
        files=source.files,
        told=told,
        warnings=warnings,
    )


def binarized(x: Tensor, choice: str) -> Tensor:
    """Grey values in [0, 1] as 0 and 1 outside training: what is already 0 or 1 stays.

    Draws follow from what an example holds alone, wherever it stands.
    """
    return _above(x, 0.5) if choice == "threshold" else drawn_by_example(x)


def drawn_by_example(x: Tensor) -> Tensor:
    """1 with probability x, [B, *X] in float32; the same draw wherever an example stands, on whatever device."""
    if len(x) == 0:
        return x.float()
    grey = x.float().cpu() + 0.0  # -0 is 0
    with by_example(digests(Batch(grey)), _FROZEN_SEED, "binarize"):
        uniform = torch.empty((1, *grey.shape), dtype=torch.float32).uniform_()[0]  # above 0
    return uniform.le_(grey).to(x.device)


def _numbered(classes: Classes | None, examples: Examples) -> Examples:
    """Their labels as classes."""
    if classes is None or examples.y is None:
        return examples
    return examples.labelled(classes.numbered(examples.y))


_CHUNK = 1000  # rows that are drawn together
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


def _by_example(examples: Examples, support: Support) -> Split:
    """0 and 1, each drawn by what the example holds: once and kept where it is in memory, else at every access."""
    scaled = _scaled(scale_of(support))
    if not isinstance(examples, Rows):
        return Split(examples, lambda rows, noise: drawn_by_example(scaled(rows.cpu(), noise)).to(rows.device))
    noise = torch.Generator()
    drawn = [drawn_by_example(scaled(x, noise)).to(torch.uint8) for x in examples.x.split(_CHUNK)]
    return Split(Rows(torch.cat(drawn), examples.y, examples.factors), _scaled(1))


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
