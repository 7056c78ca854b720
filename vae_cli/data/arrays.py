"""Data that users bring: an npz, a .npy, or a folder of .npy files that may be larger than memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
import torch
from torch import Tensor

from vae_cli.classes import natural
from vae_cli.data.array_files import PARTS, place_of, read_arrays
from vae_cli.data.base import Examples, Rows, Source, factors_of, fraction_split
from vae_cli.data.extent import Extent
from vae_cli.data.grey import AUTO, Numbers, doubt, numbers_of
from vae_cli.data.npy import check_finite, open_npy
from vae_cli.data.splits import WORDS, completed_split
from vae_cli.data.streamed import all_of
from vae_cli.errors import ConfigError
from vae_cli.types import Real


def arrays(*, path: str | None, workers: int | None, levels: int | str, val: float, test: float) -> Source:
    """X [N, *X]: bool or 0/1 -> Binary, bytes -> grey levels, 16 bits and floats -> [0, 1] or reals.

    y [N]: labels, whole numbers or words; class_names [K] has the names of the labels 0 .. K - 1. factors [N, F]: whole
    numbers 0, 1, ... with their names in factor_names [F], else factor_0, factor_1, ... Splits: `split` [N], of words
    (train, val, test) or 0, 1, 2; or x_train, x_val, x_test, y_train, ... in place of x, y, factors. What these leave
    out of validation and test is cut from training.

    Args:
        path: an npz of arrays with these names, a .npy of x, or a folder that holds x.npy and perhaps y.npy, ...
        workers: null holds x in memory; a number leaves it in its .npy file, read through so many processes. Support,
            finiteness and checksum then take one pass over the file, and the mean is that of all training examples up
            to 100,000, else of as many evenly spaced ones.
        levels: how many grey levels whole numbers are; none: numbers as they are; auto: as `numbers_of` finds.
        val, test: fractions for validation and test, or their numbers, by one fixed permutation, where arrays do not
            say.

    Raises:
        ConfigError: where a file or an array in it cannot be used.

    """
    place = place_of(path)
    if workers is not None and is_zipfile(place):
        raise ConfigError(f"dataset.workers={workers}: {place} cannot be read in parts; save its x as a .npy file")
    found = read_arrays(place, mapped=workers is not None)
    parts = [_Part(place, name, suffix, found) for name, suffix in _named_parts(place, found)]
    opened = [part.opened(workers) for part in parts]
    extent = reduce(Extent.joined, (one.extent for one in opened))
    dtype = np.result_type(*(one.dtype for one in opened))
    _refuse_levels_as_floats(place, extent, dtype, levels)
    numbers, chosen = numbers_of(dtype, extent, levels)
    labels, class_names = _labels(place, found, parts)
    factors, names = _factors(place, found, parts)
    examples = [one.examples(numbers, y, f) for one, y, f in zip(opened, labels, factors, strict=True)]
    known = [values for values in factors if values is not None]
    return replace(
        _split(place, found, examples, val, test),
        support=numbers.support(extent),
        factors=factors_of(torch.cat(known), names) if known else (),
        class_names=class_names,
        chosen={"levels": chosen},
        warnings=doubt(dtype, extent, chosen) if levels == AUTO else (),
    )


def _named_parts(place: Path, found: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Of x, y and factors: each part's split and what its names end in."""
    given = [part for part in PARTS if f"x_{part}" in found]
    if not given:
        if other := [name for name in found if name.rpartition("_")[2] in PARTS]:
            raise ConfigError(f"dataset.path={place} holds {', '.join(other)}, and x_train is missing")
        return [("", "")]
    single = [name for name in ("x", "y", "factors", "split") if name in found]
    if single or given[0] != "train":
        raise ConfigError(
            f"dataset.path={place} holds {', '.join([*single, *(f'x_{part}' for part in given)])}: x_train with x_val "
            "or x_test, each with its own y_train, ..., or x alone with `split`"
        )
    return [(part, f"_{part}") for part in given]


@dataclass(frozen=True)
class _Part:
    """x, y and factors of one split, or of all examples."""

    place: Path
    split: str
    suffix: str
    found: Mapping[str, np.ndarray]

    def array(self, name: str) -> np.ndarray | None:
        """Of the examples of this part; None where there is none."""
        return self.found.get(f"{name}{self.suffix}")

    def opened(self, workers: int | None) -> "_Opened":
        """X checked, its values seen."""
        name = f"x{self.suffix}"
        x = _with_channels(self.found[name])
        _check_examples(self.place, name, x)
        return _held(self.place, name, x) if workers is None else _streamed(name, x, workers)


@dataclass(frozen=True)
class _Opened:
    """x of a part: its type, what it holds, and its examples once it is known how numbers are taken."""

    dtype: np.dtype
    extent: Extent
    examples: Callable[[Numbers, Tensor | None, Tensor | None], Examples]


def _held(place: Path, name: str, x: np.ndarray) -> _Opened:
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):
            check_finite(place, name, x.astype(np.float32, copy=False))

    def examples(numbers: Numbers, y: Tensor | None, factors: Tensor | None) -> Examples:
        return Rows(torch.from_numpy(np.ascontiguousarray(numbers.read(x))), y, factors)

    return _Opened(x.dtype, Extent().with_values(x), examples)


def _streamed(name: str, x: np.ndarray, workers: int) -> _Opened:
    store, extent = open_npy(x, name)

    def examples(numbers: Numbers, y: Tensor | None, factors: Tensor | None) -> Examples:
        return all_of(replace(store, numbers=numbers), y, factors, workers)

    return _Opened(x.dtype, extent, examples)


def _with_channels(x: np.ndarray) -> np.ndarray:
    """Images [N, H, W] as [N, 1, H, W], which convolutions need; others as they are."""
    return x[:, None] if x.ndim == 3 else x


def _check_examples(place: Path, name: str, x: np.ndarray) -> None:
    if x.ndim < 2 or x.size == 0:
        raise ConfigError(f"dataset.path={place}: {name} has shape {x.shape}; examples x values is needed, [N, ...]")
    if np.issubdtype(x.dtype, np.integer) and x.dtype not in (np.uint8, np.uint16):
        raise ConfigError(
            f"dataset.path={place}: {name} is of type {x.dtype}; save grey levels 0 .. 255 as {name}.astype(np.uint8) "
            f"(up to 65535: np.uint16), and other numbers as {name}.astype(np.float32)"
        )
    if x.dtype not in (np.bool_, np.uint8, np.uint16) and not np.issubdtype(x.dtype, np.floating):
        raise ConfigError(f"dataset.path={place}: {name} is of type {x.dtype}; use bool, uint8, uint16 or a float type")
    if x.ndim == 4 and x.shape[3] in (1, 3, 4) and min(x.shape[1:3]) > 4:
        raise ConfigError(
            f"dataset.path={place}: {name} has shape {x.shape}, which looks like images with their channels last; "
            f"save {name}.transpose(0, 3, 1, 2)"
        )


def _refuse_levels_as_floats(place: Path, extent: Extent, dtype: np.dtype, levels: int | str) -> None:
    """ConfigError where floats are whole numbers that bytes would hold, and nobody said how they are meant."""
    floats = np.issubdtype(dtype, np.floating)
    if levels == AUTO and floats and extent.whole and not extent.binary and extent.low >= 0 and extent.high <= 255:
        raise ConfigError(
            f"dataset.path={place}: x holds whole numbers from {extent.low:g} to {extent.high:g} as {dtype}, which "
            "looks like grey levels: dataset.levels=256 takes them so (0 to 255; or another count), as "
            "x.astype(np.uint8) would; dataset.levels=none takes them as real numbers"
        )


def _split(
    place: Path, found: Mapping[str, np.ndarray], examples: Sequence[Examples], val: float, test: float
) -> Source:
    """By arrays of their own, by `split`, or by chance."""
    if len(examples) == 1 and "split" not in found and "x" in found:
        (every,) = examples
        return Source.of(every, fraction_split(len(every), val, test), support=Real())
    if "split" in found:
        (every,) = examples
        places, remarks = completed_split(_split_of(place, found["split"], len(every)), val, test)
        return replace(Source.of(every, places, support=Real()), remarks=remarks)
    given = [part for part in PARTS if f"x_{part}" in found]
    sizes = [len(one) for one in examples]
    numbers = torch.cat([torch.full((size,), PARTS.index(part)) for part, size in zip(given, sizes, strict=True)])
    places, remarks = completed_split(numbers, val, test)
    own = dict(zip(given, examples, strict=True))
    cut = {part: examples[0].take(index) for part, index in zip(PARTS, places, strict=True) if part not in given[1:]}
    train, second, third = ({**own, **cut}[part] for part in PARTS)
    return Source(train, second, third, Real(), given_places=places, remarks=remarks)


def _split_of(place: Path, split: np.ndarray, examples: int) -> Tensor:
    """0, 1 or 2 of each example."""
    number = {**WORDS, "0": 0, "1": 1, "2": 2}
    words = [str(word) for word in split.ravel().tolist()]
    if split.shape != (examples,) or not all(word.casefold() in number for word in words):
        raise ConfigError(
            f"dataset.path={place}: split is of type {split.dtype} and shape {split.shape}; train, val or test "
            f"(or 0, 1, 2) for each of the {examples} examples"
        )
    found = torch.tensor([number[word.casefold()] for word in words])
    if not (found == 0).any():
        raise ConfigError(f"dataset.path={place}: split names no training examples")
    return found


def _labels(
    place: Path, found: Mapping[str, np.ndarray], parts: Sequence[_Part]
) -> tuple[Sequence[Tensor | None], Mapping[int, str] | None]:
    """Labels of each part, and the names of all in their order; None where they are numbers without names."""
    given = [part.array("y") for part in parts]
    _check_complete(place, "y", parts, given)
    class_names = found.get("class_names")
    for part, y in zip(parts, given, strict=True):
        examples = len(part.found[f"x{part.suffix}"])
        if y is not None and y.shape != (examples,):
            raise ConfigError(
                f"dataset.path={place}: y{part.suffix} has shape {y.shape}; one label for each of the {examples} "
                "examples"
            )
    there = [y for y in given if y is not None]
    if there and all(y.dtype.kind == "U" for y in there):
        words = np.unique(np.concatenate(there)).tolist()
        numbered = [torch.from_numpy(np.searchsorted(words, y).astype(np.int64)) for y in there]
        return numbered, {words.index(word): word for word in sorted(words, key=natural)}
    labels = [None if y is None else _numbered(place, "y", y) for y in given]
    if class_names is None or not there:
        return labels, None
    names = [str(name) for name in np.atleast_1d(class_names)]
    highest = max(int(y.max()) for y in labels if y is not None)
    if len(set(names)) < len(names) or highest >= len(names):
        raise ConfigError(
            f"dataset.path={place}: class_names holds {len(names)} names, {len(set(names))} different, and the highest "
            f"label is {highest}: a name of its own is needed for each of 0 .. {highest}"
        )
    return labels, dict(enumerate(names))


def _check_complete(place: Path, name: str, parts: Sequence[_Part], given: Sequence[np.ndarray | None]) -> None:
    """ConfigError where one part has what another lacks."""
    lacking = [f"{name}{part.suffix}" for part, array in zip(parts, given, strict=True) if array is None]
    if lacking and len(lacking) < len(parts):
        raise ConfigError(f"dataset.path={place}: {', '.join(lacking)} is missing, and other splits have {name}")


def _factors(
    place: Path, found: Mapping[str, np.ndarray], parts: Sequence[_Part]
) -> tuple[Sequence[Tensor | None], Sequence[str] | None]:
    """Their values in each part, [N, F], and names."""
    given = [part.array("factors") for part in parts]
    _check_complete(place, "factors", parts, given)
    names = [str(name) for name in np.atleast_1d(found["factor_names"])] if "factor_names" in found else None
    for part, factors in zip(parts, given, strict=True):
        examples = len(part.found[f"x{part.suffix}"])
        if factors is not None and (factors.ndim != 2 or len(factors) != examples or factors.shape[1] < 1):
            raise ConfigError(
                f"dataset.path={place}: factors{part.suffix} has shape {factors.shape}; a row for each of the "
                f"{examples} examples and a column for each factor"
            )
    columns = {0 if factors is None else factors.shape[1] for factors in given}
    if len(columns) > 1:
        raise ConfigError(
            f"dataset.path={place}: the splits have {sorted(columns)} factors; the same in each are needed"
        )
    (count,) = columns
    if names is not None and (len(names) != count or len(set(names)) < count):
        raise ConfigError(f"dataset.path={place}: factor_names holds {names}; {count} different names, one a column")
    return [None if factors is None else _numbered(place, "factors", factors) for factors in given], names


_MOST = 2**31  # classes, or values of a factor: what is more numbers none


def _numbered(place: Path, name: str, values: np.ndarray) -> Tensor:
    """Labels or factors as int64; ConfigError where they are not whole numbers from 0 up to one that can be a class."""
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or int(values.max()) >= _MOST:
        ends = f", from {values.min()} to {values.max()}" if np.issubdtype(values.dtype, np.number) else ""
        raise ConfigError(
            f"dataset.path={place}: {name} is of type {values.dtype}{ends}; whole numbers 0, 1, ... are needed, as "
            f"np.unique({name}, return_inverse=True)[1] gives for one column"
        )
    return torch.from_numpy(values.astype(np.int64))
