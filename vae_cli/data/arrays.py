"""Data that users bring: an npz, a .npy, or a folder of .npy files that may be larger than memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import Examples, Rows, Source, factors_of, fraction_split, support_of
from vae_cli.data.npy import as_read, check_finite, open_npy
from vae_cli.data.streamed import all_of
from vae_cli.errors import ConfigError
from vae_cli.files import opened
from vae_cli.types import Binary, Support


def arrays(*, path: str | None, workers: int | None, val: float, test: float) -> Source:
    """X [N, *X]: bool or 0/1 -> Binary, uint8 -> 256 grey levels, floats -> [0, 1] or reals; y [N]: class numbers.

    factors [N, F]: whole numbers 0, 1, ... with their names in factor_names [F], else factor_0, factor_1, ...

    Args:
        path: an npz of arrays with these names, a .npy of x, or a folder that holds x.npy and perhaps y.npy, ...
        workers: null holds x in memory; a number leaves it in its .npy file, read through so many processes. Support,
            finiteness and checksum then take one pass over the file, and the mean is that of all training examples up
            to 100,000, else of as many evenly spaced ones.
        val, test: fractions for validation and test, by one fixed permutation.

    Raises:
        ConfigError: where a file or an array in it cannot be used.

    """
    place = _place(path)
    if workers is not None and is_zipfile(place):
        raise ConfigError(f"dataset.workers={workers}: {place} cannot be read in parts; save its x as a .npy file")
    found = _read(place, mapped=workers is not None)
    found["x"] = _with_channels(found["x"])
    _check_examples(place, found["x"])
    y = _labels(place, found["y"], len(found["x"])) if "y" in found else None
    factors, names = _factors(place, found)
    if workers is None:
        examples, support = _held(place, found["x"], y, factors)
    else:
        store, support = open_npy(found["x"])
        examples = all_of(store, y, factors, workers)
    return Source.of(
        examples,
        fraction_split(len(examples), val, test),
        support=support,
        factors=() if factors is None else factors_of(factors, names),
    )


_NAMES = ("x", "y", "factors", "factor_names")


def _place(path: str | None) -> Path:
    if path is None:
        raise ConfigError(
            "dataset=arrays needs dataset.path=<file>: an npz with `x` and optionally `y`, a .npy, or a folder of x.npy"
        )
    place = Path(path).expanduser()
    if not place.is_file() and not place.is_dir():
        raise ConfigError(f"dataset.path={place}: there is no such file or folder")
    return place


def _read(place: Path, mapped: bool) -> dict[str, np.ndarray]:
    """The arrays that are there by name, x among them: in memory, or mapped."""
    files = {name: place / f"{name}.npy" for name in _NAMES} if place.is_dir() else {"x": place}
    found: dict[str, np.ndarray] = {}
    for name, file in files.items():
        if file.is_file():
            found |= {name: _mapped(file)} if mapped and name == "x" else _read_file(name, file)
    if "x" not in found:
        raise ConfigError(f"dataset.path={place} holds no file x.npy; for pictures use dataset=image_folder")
    return found


def _read_file(name: str, file: Path) -> dict[str, np.ndarray]:
    with _readable(file), opened(file) as content_of:
        start = content_of.read(6)
        content_of.seek(0)
        if not start.startswith((b"\x93NUMPY", b"PK")):
            raise ValueError("it is neither, save the array with np.save")
        content = np.load(content_of, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {name: content}
        if other := sorted({*content.files} - {*_NAMES}):
            raise ValueError(
                f"it holds {', '.join(content.files)}, and no one reads {', '.join(other)}; the names are "
                f"{', '.join(_NAMES)}"
            )
        if "x" not in content.files:
            raise ValueError("it holds no array `x`")
        return {key: np.asanyarray(content[key]) for key in content.files}


def _mapped(file: Path) -> np.memmap:
    with _readable(file):
        return np.lib.format.open_memmap(file, mode="r")


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """ConfigError for whatever numpy and zipfile say of a file; they raise errors of every type for damaged ones."""
    try:
        yield
    except MemoryError as error:
        raise ConfigError(
            f"dataset.path={file} does not fit into memory: stream a .npy with dataset.workers=0"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"dataset.path={file} cannot be read as npz or npy without pickles: {reason}") from error


def _with_channels(x: np.ndarray) -> np.ndarray:
    """Images [N, H, W] as [N, 1, H, W], which convolutions need; others as they are."""
    return x[:, None] if x.ndim == 3 else x


def _check_examples(place: Path, x: np.ndarray) -> None:
    if x.ndim < 2 or x.size == 0:
        raise ConfigError(f"dataset.path={place}: x has shape {x.shape}; examples x values is needed, [N, ...]")
    if np.issubdtype(x.dtype, np.integer) and x.dtype != np.uint8:
        raise ConfigError(
            f"dataset.path={place}: x is of type {x.dtype}; save grey levels 0 .. 255 as x.astype(uint8), "
            "and other numbers as x.astype(float32)"
        )
    if x.dtype != np.bool_ and x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ConfigError(f"dataset.path={place}: x is of type {x.dtype}; use bool, uint8 or a float type")
    if np.issubdtype(x.dtype, np.floating) and x.ndim == 4 and _looks_like_bytes(x):
        raise ConfigError(
            f"dataset.path={place}: x holds whole numbers from 0 to {int(x[:_FEW].max())} as {x.dtype}, which looks "
            "like grey levels; save x.astype(np.uint8), or x / 255"
        )
    if x.ndim == 4 and x.shape[3] in (1, 3, 4) and min(x.shape[1:3]) > 4:
        raise ConfigError(
            f"dataset.path={place}: x has shape {x.shape}, which looks like images with their channels last; "
            "save x.transpose(0, 3, 1, 2)"
        )


_FEW = 100  # examples that tell what kind of values the others are


def _looks_like_bytes(x: np.ndarray) -> bool:
    few = np.asarray(x[:_FEW])
    return bool((few == np.round(few)).all() and few.min() >= 0 and 1 < few.max() <= 255)


def _held(place: Path, x: np.ndarray, y: Tensor | None, factors: Tensor | None) -> tuple[Examples, Support]:
    read = np.ascontiguousarray(as_read(x))
    check_finite(place, read)
    values = torch.from_numpy(read)
    support = support_of(values)
    return Rows(values.to(torch.uint8) if isinstance(support, Binary) else values, y, factors), support


def _labels(place: Path, y: np.ndarray, examples: int) -> Tensor:
    if y.shape != (examples,):
        raise ConfigError(f"dataset.path={place}: y has shape {y.shape}; one label for each of the {examples} examples")
    return _numbered(place, "y", y)


def _factors(place: Path, found: dict[str, np.ndarray]) -> tuple[Tensor | None, Sequence[str] | None]:
    """Their values, [N, F], and names."""
    examples, factors = len(found["x"]), found.get("factors")
    names = [str(name) for name in np.atleast_1d(found["factor_names"])] if "factor_names" in found else None
    if factors is not None and (factors.ndim != 2 or len(factors) != examples or factors.shape[1] < 1):
        raise ConfigError(
            f"dataset.path={place}: factors has shape {factors.shape}; a row for each of the {examples} examples and a "
            "column for each factor"
        )
    columns = 0 if factors is None else factors.shape[1]
    if names is not None and (len(names) != columns or len(set(names)) < columns):
        raise ConfigError(f"dataset.path={place}: factor_names holds {names}; {columns} different names, one a column")
    return None if factors is None else _numbered(place, "factors", factors), names


_MOST = 2**31  # classes, or values of a factor: what is more numbers none


def _numbered(place: Path, name: str, values: np.ndarray) -> Tensor:
    """Labels or factors as int64; ConfigError where they are not 0, 1, ... up to a number that can be classes."""
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or int(values.max()) >= _MOST:
        ends = f", from {values.min()} to {values.max()}" if np.issubdtype(values.dtype, np.number) else ""
        raise ConfigError(
            f"dataset.path={place}: {name} is of type {values.dtype}{ends}; whole numbers 0, 1, ... are needed, as "
            f"np.unique({name}, return_inverse=True)[1] gives for one column"
        )
    return torch.from_numpy(values.astype(np.int64))
