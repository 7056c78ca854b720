"""Data that users bring: an npz with `x` and optionally `y`, or a npy."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import Rows, Source, random_split, support_of
from vae_cli.errors import ConfigError
from vae_cli.types import Binary


def arrays(*, path: str | None, val: float, test: float) -> Source:
    """X [N, *X]: bool or 0/1 -> Binary, uint8 -> 256 grey levels, floats -> [0, 1] or reals; y [N]: class numbers.

    Args:
        path: of the file.
        val, test: fractions for validation and test, by one fixed permutation.

    Raises:
        ConfigError: where the file or an array in it cannot be used.

    """
    x, y = _read(path)
    for name, fraction in (("val", val), ("test", test)):
        if not (0 < fraction < 1):
            raise ConfigError(f"dataset.{name}={fraction}: a fraction between 0 and 1")
    num_val, num_test = round(val * len(x)), round(test * len(x))
    support = support_of(x)
    stored = x.to(torch.uint8) if isinstance(support, Binary) else x
    return Source(*random_split(Rows(stored, y), num_val, num_test), support=support)


def _read(path: str | None) -> tuple[Tensor, Tensor | None]:
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
                found = {name: content[name] for name in ("x", "y") if name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"dataset.path={path} cannot be read as npz or npy without pickles: {reason}") from error
    if "x" not in found:
        raise ConfigError(f"dataset.path={path} holds no array `x`")
    return _examples(path, found["x"]), _labels(path, found["y"], len(found["x"])) if "y" in found else None


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
