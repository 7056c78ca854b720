"""What a data set is once opened: three splits of examples, and how stored rows become x.

Bytes stay bytes (`uint8`) until a batch is made.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Size, Tensor

from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor, Levels, Real, Spec, Support, UnitInterval

Read = Callable[[Tensor, torch.Generator], Tensor]  # stored rows [B, *X], noise -> x [B, *X] in float32
Places = tuple[Tensor, Tensor, Tensor]  # of training, validation and test examples in the files, each [N]


class Examples(ABC):
    """Some examples in their order: held in memory (`Rows`), or left where they are until they are asked for.

    What is known of them, y [N] and factors [N, F] (int64), is always held.
    """

    y: Tensor | None
    factors: Tensor | None

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @property
    @abstractmethod
    def shape(self) -> Size:
        """Of one example."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where an index of theirs lies."""

    @abstractmethod
    def take(self, index: Tensor) -> Self:
        """The examples of that index, in its order; nothing is read."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """The same; what they are read as lies on that device."""

    @abstractmethod
    def read(self, index: Tensor) -> "Rows":
        """The examples of that index, in its order, in memory."""

    @abstractmethod
    def ahead(self, batches: Sequence[Tensor]) -> Generator["Rows", None, None]:
        """`read` of each index in turn; the next ones may be read already. Close it where not all are taken."""

    @abstractmethod
    def mean(self) -> np.ndarray:
        """Of x as stored, [*X] in float64."""

    @abstractmethod
    def checksum(self, before: int) -> int:
        """Changes when a stored value or the order changes; `before` is that of what came before."""


@dataclass(frozen=True)
class Rows(Examples):
    """Examples in memory, as stored: x [N, *X] (uint8 levels or float32)."""

    x: Tensor
    y: Tensor | None = None
    factors: Tensor | None = None

    def __post_init__(self) -> None:
        check_lengths(len(self.x), self.y, self.factors)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> Size:
        """Of one example."""
        return self.x.shape[1:]

    @property
    def device(self) -> torch.device:
        """Where all of them lie."""
        return self.x.device

    def take(self, index: Tensor) -> "Rows":
        """A copy of the rows of that index, in its order."""
        return self.each(lambda values: values.index_select(0, index))

    def to(self, device: torch.device) -> "Rows":
        """All rows on that device."""
        return self.each(lambda values: values.to(device))

    def read(self, index: Tensor) -> "Rows":
        """A copy of the rows of that index, in its order."""
        return self.take(index)

    def ahead(self, batches: Sequence[Tensor]) -> Generator["Rows", None, None]:
        """`read` of each index in turn."""
        yield from map(self.take, batches)

    def mean(self) -> np.ndarray:
        """Of x over all rows, [*X] in float64."""
        return np.add.reduce(self.x.numpy(), axis=0, dtype=np.float64) / len(self.x)

    def checksum(self, before: int) -> int:
        """Of every value, their order and their shapes."""
        return checksum_of((self.x, self.y, self.factors), before)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Rows":
        """Every array changed in the same way."""
        y, factors = (None if values is None else change(values) for values in (self.y, self.factors))
        return Rows(change(self.x), y, factors)


def check_lengths(examples: int, y: Tensor | None, factors: Tensor | None) -> None:
    """ConfigError where labels or factors are of other examples."""
    for name, known in (("labels", y), ("rows of factors", factors)):
        if known is not None and len(known) != examples:
            raise ConfigError(f"{examples} examples have {len(known)} {name}: the files do not belong together")


def checksum_of(arrays: Iterable[Tensor | None], before: int) -> int:
    """Of the values and shapes of those that are there."""
    checksum = before
    for array in arrays:
        if array is not None:
            checksum = zlib.crc32(np.ascontiguousarray(array.numpy()).data, checksum)
            checksum = zlib.crc32(repr(tuple(array.shape)).encode(), checksum)
    return checksum


@dataclass(frozen=True)
class Source:
    """A data set as its files give it, before binarisation."""

    train: Examples
    val: Examples
    test: Examples
    support: Support
    factors: tuple[Factor, ...] = ()
    given_places: Places | None = None  # None: one split follows the other in the files

    @classmethod
    def of(cls, examples: Examples, places: Places, *, support: Support, factors: tuple[Factor, ...] = ()) -> "Source":
        """All examples in the order of the files, split by their places in it."""
        train, val, test = (examples.take(place) for place in places)
        return cls(train, val, test, support, factors, places)

    def __post_init__(self) -> None:
        if len(self.train) < 1:
            raise ConfigError("there are no training examples")
        shapes = {tuple(examples.shape) for examples in self._splits}
        if len(shapes) > 1:
            raise ConfigError(f"examples have different shapes, {shapes}: the files do not belong together")

    def check_trainable(self) -> None:
        """ConfigError where there are too few examples: for every split, or for so many classes."""
        sizes, size = [len(examples) for examples in self._splits], len(self.train)
        if min(sizes) < 1:
            raise ConfigError(
                f"training, validation and test have {' / '.join(map(str, sizes))} examples: each needs at least one "
                "(dataset.val and dataset.test say how many)"
            )
        if self._classes is not None and self._classes > size:
            raise ConfigError(
                f"the highest label is {self._classes - 1} among {size} examples: number the classes 0, 1, ..."
            )
        for factor in self.factors:
            if factor.count > sum(sizes):
                raise ConfigError(
                    f"the highest value of {factor.name} is {factor.count - 1} among {sum(sizes)} examples: number "
                    "its values 0, 1, ..."
                )

    def spec(self) -> Spec:
        """Shape, support, number of labels, and size and mean of the training split."""
        mean = torch.from_numpy(np.asarray(self.train.mean() / scale_of(self.support), np.float32))
        return Spec(self.train.shape, self.support, self._classes, self.factors, size=len(self.train), mean=mean)

    def fingerprint(self) -> str:
        """Changes when a stored value, an order or a split changes; a run resumes only on the data that it began on."""
        checksum = 0
        for examples in self._splits:
            checksum = examples.checksum(checksum)
        return f"{checksum:08x}"

    @property
    def places(self) -> Places:
        """Where the examples of each split stand in the files, counted from 0 over all files."""
        if self.given_places is not None:
            return self.given_places
        sizes = [len(examples) for examples in self._splits]
        train, val, test = torch.arange(sum(sizes)).split(sizes)
        return train, val, test

    @property
    def _classes(self) -> int | None:
        labelled = (examples.y for examples in self._splits if examples.y is not None and len(examples))
        return max((int(y.max()) + 1 for y in labelled), default=None)

    @property
    def _splits(self) -> tuple[Examples, Examples, Examples]:
        return self.train, self.val, self.test


@dataclass(frozen=True)
class Split:
    """Examples and how their stored rows become x."""

    rows: Examples
    read: Read


@dataclass(frozen=True)
class Data:
    """A data set ready to make batches from."""

    train: Split
    val: Split
    test: Split
    spec: Spec
    fingerprint: str
    places: Places

    def conditioned(self, condition: Size | None) -> "Data":
        """The same data, its spec completed with the shape of c."""
        return replace(self, spec=replace(self.spec, condition=condition))


def scale_of(support: Support) -> int:
    """What stored values are divided by: the highest level for levels, else 1."""
    return support.count - 1 if isinstance(support, Levels) else 1


def support_of(x: Tensor) -> Support:
    """The narrowest support that holds an array: bool and 0/1 -> Binary, bytes -> Levels(256), else by its range."""
    if x.dtype == torch.bool or bool(((x == 0) | (x == 1)).all()):
        return Binary()
    if x.dtype == torch.uint8:
        return Levels(256)
    return UnitInterval() if bool((x >= 0).all() and (x <= 1).all()) else Real()


def factors_of(values: Tensor, names: Sequence[str] | None) -> tuple[Factor, ...]:
    """The factors whose values are the columns of [N, F]; without names, factor_0, factor_1, ..."""
    found = names or [f"factor_{column}" for column in range(values.shape[1])]
    return tuple(Factor(name, int(count)) for name, count in zip(found, values.amax(0) + 1, strict=True))


def fixed_order(size: int) -> Tensor:
    """One permutation of 0 .. size - 1, the same for every seed of a run."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(0))


def evenly_spaced(size: int, most: int) -> Tensor:
    """At most that many of 0 .. size - 1, ascending."""
    count = min(size, most)
    return torch.arange(count) * size // count


def random_split(size: int, val: int, test: int) -> Places:
    """0 .. size - 1 by one fixed permutation, the same for every seed of a run."""
    train = size - val - test
    if train < 1 or min(val, test) < 0:
        raise ConfigError(
            f"{size} examples cannot be split into {train} for training, {val} for validation and {test} for "
            "test: each needs at least one (dataset.val and dataset.test say how many)"
        )
    first, second, third = fixed_order(size).split([train, val, test])
    return first, second, third


def fraction_split(size: int, val: float, test: float) -> Places:
    """`random_split` by fractions of all examples.

    Raises:
        ConfigError: where they leave nothing for training.

    """
    for name, fraction in (("val", val), ("test", test)):
        if not (0 < fraction < 1):
            raise ConfigError(f"dataset.{name}={fraction}: a fraction between 0 and 1")
    return random_split(size, round(val * size), round(test * size))
