"""Data that users bring: an npz with `x` and optionally `y`, `factors` and `factor_names`, or a npy."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import Rows, Source, factors_of, random_split, support_of
from vae_cli.errors import ConfigError
from vae_cli.types import Binary


def arrays(*, path: str | None, val: float, test: float) -> Source:
    """X [N, *X]: bool or 0/1 -> Binary, uint8 -> 256 grey levels, floats -> [0, 1] or reals; y [N]: class numbers.

    factors [N, F]: whole numbers 0, 1, ... with their names in factor_names [F], else factor_0, factor_1, ...

    Args:
        path: of the file.
        val, test: fractions for validation and test, by one fixed permutation.

    Raises:
        ConfigError: where the file or an array in it cannot be used.

    """
    rows, names = _read(path)
    for name, fraction in (("val", val), ("test", test)):
        if not (0 < fraction < 1):
            raise ConfigError(f"dataset.{name}={fraction}: a fraction between 0 and 1")
    num_val, num_test = round(val * len(rows.x)), round(test * len(rows.x))
    support = support_of(rows.x)
    stored = replace(rows, x=rows.x.to(torch.uint8)) if isinstance(support, Binary) else rows
    factors = () if rows.factors is None else factors_of(rows.factors, names)
    return Source(*random_split(stored, num_val, num_test), support=support, factors=factors)


_NAMES = ("x", "y", "factors", "factor_names")


def _read(path: str | None) -> tuple[Rows, Sequence[str] | None]:
    if path is None:
        raise ConfigError("dataset=arrays needs dataset.path=<file>: an npz with `x` and optionally `y`, or a npy")
    path = str(Path(path).expanduser())
    if not Path(path).is_file():
        raise ConfigError(f"dataset.path={path}: there is no such file")
    try:
        with Path(path).open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                found: dict[str, np.ndarray] = {"x": content}
            else:
                found = {name: content[name] for name in _NAMES if name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"dataset.path={path} cannot be read as npz or npy without pickles: {reason}") from error
    if "x" not in found:
        raise ConfigError(f"dataset.path={path} holds no array `x`")
    y = _labels(path, found["y"], len(found["x"])) if "y" in found else None
    factors = _factors(path, found["factors"], len(found["x"])) if "factors" in found else None
    names = [str(name) for name in np.atleast_1d(found["factor_names"])] if "factor_names" in found else None
    if names is not None and (factors is None or len(names) != factors.shape[1]):
        raise ConfigError(f"dataset.path={path}: factor_names holds {len(names)} names; one for each column of factors")
    return Rows(_examples(path, found["x"]), y, factors), names


def _examples(path: str, x: np.ndarray) -> Tensor:
    if x.ndim < 2 or x.size == 0:
        raise ConfigError(f"dataset.path={path}: x has shape {x.shape}; examples x values is needed, [N, ...]")
    if x.dtype == np.bool_ or x.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x))
    if not np.issubdtype(x.dtype, np.floating):
        raise ConfigError(f"dataset.path={path}: x is of type {x.dtype}; use bool, uint8 or a float type")
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.ascontiguousarray(x, np.float32))
    if not values.isfinite().all():
        raise ConfigError(f"dataset.path={path}: x holds values that are not finite numbers of 32 bits")
    return values


def _labels(path: str, y: np.ndarray, examples: int) -> Tensor:
    if y.shape != (examples,) or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise ConfigError(
            f"dataset.path={path}: y has shape {y.shape} and type {y.dtype}; one class number 0, 1, ... "
            f"for each of the {examples} examples is needed"
        )
    return torch.from_numpy(y.astype(np.int64))


def _factors(path: str, factors: np.ndarray, examples: int) -> Tensor:
    if (
        factors.ndim != 2
        or len(factors) != examples
        or not np.issubdtype(factors.dtype, np.integer)
        or factors.min() < 0
    ):
        raise ConfigError(
            f"dataset.path={path}: factors has shape {factors.shape} and type {factors.dtype}; whole numbers 0, 1, ... "
            f"in a row for each of the {examples} examples are needed"
        )
    return torch.from_numpy(factors.astype(np.int64))
