"""What a data set is once opened: three splits of examples, and how stored rows become x.

Bytes stay bytes (`uint8`) until a batch is made.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Size, Tensor

from vae_cli.classes import Classes, recognised_classes, trained_classes
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor, Levels, Real, Spec, Stored, Support, UnitInterval

Read = Callable[[Tensor, torch.Generator], Tensor]  # stored rows [B, *X], noise -> x [B, *X] in float32
Places = tuple[Tensor, Tensor, Tensor]  # of training, validation and test examples in the files, each [N]


@dataclass(frozen=True)
class Summary:
    """Of the values of examples as stored."""

    mean: np.ndarray  # [*X] in float64
    square: np.ndarray | None  # the mean of x * x, likewise; None for bytes
    low: float
    high: float

    @staticmethod
    def over(chunks: Iterable[np.ndarray], count: int) -> "Summary":
        """Of so many examples in chunks [B, *X]."""
        total = square = np.float64(0)
        low, high = np.inf, -np.inf
        real = False
        for x in chunks:
            real = x.dtype != np.uint8
            total = total + np.add.reduce(x, axis=0, dtype=np.float64)
            square = square + (np.square(x, dtype=np.float64).sum(0) if real else 0)
            low, high = min(low, float(x.min())), max(high, float(x.max()))
        return Summary(np.asarray(total / count), np.asarray(square / count) if real else None, low, high)


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
    def labelled(self, y: Tensor | None) -> Self:
        """The same with other labels."""

    @abstractmethod
    def summary(self) -> "Summary":
        """Of x as stored."""

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

    def labelled(self, y: Tensor | None) -> "Rows":
        """The same rows with other labels."""
        return replace(self, y=y)

    def summary(self) -> Summary:
        """Of x over all rows."""
        x, n = self.x.numpy(), len(self.x)
        chunked = Summary.over((x[first : first + _CHUNK] for first in range(0, n, _CHUNK)), n)
        return replace(chunked, mean=np.add.reduce(x, axis=0, dtype=np.float64) / n)

    def checksum(self, before: int) -> int:
        """Of every value, their order and their shapes."""
        return checksum_of((self.x, self.y, self.factors), before)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Rows":
        """Every array changed in the same way."""
        y, factors = (None if values is None else change(values) for values in (self.y, self.factors))
        return Rows(change(self.x), y, factors)


_CHUNK = 10_000  # rows that are looked at together


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
    """A data set as its files give it, before binarisation.

    Args:
        class_names: of the labels in the files, in the order of their classes; None: the labels as numbers.
        files: the name of each example's own file, in the order of the files.
        chosen: settings of the data set that were `auto`, as they were chosen.
        remarks: what was done to the data that a user may not expect, and what was left out.
        warnings: what of it may be wrong.
    """

    train: Examples
    val: Examples
    test: Examples
    support: Support
    factors: tuple[Factor, ...] = ()
    given_places: Places | None = None  # None: one split follows the other in the files
    class_names: Mapping[int, str] | None = None
    files: Sequence[str] | None = None
    chosen: Mapping[str, str | int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    known_classes: Sequence[str] | None = None  # of the model that the data is for; None: those of training

    @classmethod
    def of(
        cls,
        examples: Examples,
        places: Places,
        *,
        support: Support,
        factors: tuple[Factor, ...] = (),
        class_names: Mapping[int, str] | None = None,
    ) -> "Source":
        """All examples in the order of the files, split by their places in it."""
        train, val, test = (examples.take(place) for place in places)
        return cls(train, val, test, support, factors, places, class_names)

    def __post_init__(self) -> None:
        if len(self.train) < 1:
            raise ConfigError("there are no training examples")
        shapes = {tuple(examples.shape) for examples in self.splits}
        if len(shapes) > 1:
            raise ConfigError(f"examples have different shapes, {shapes}: the files do not belong together")

    def check_trainable(self) -> None:
        """ConfigError where there are too few examples: for every split, or for so many values of a factor."""
        sizes = [len(examples) for examples in self.splits]
        if min(sizes) < 1:
            raise ConfigError(
                f"training, validation and test have {' / '.join(map(str, sizes))} examples: each needs at least one "
                "(dataset.val and dataset.test say how many)"
            )
        for factor in self.factors:
            if factor.count > sum(sizes):
                raise ConfigError(
                    f"the highest value of {factor.name} is {factor.count - 1} among {sum(sizes)} examples: number "
                    "its values 0, 1, ..."
                )

    @cached_property
    def summary(self) -> Summary:
        """Of the training split."""
        return self.train.summary()

    @cached_property
    def classes(self) -> Classes | None:
        """Those of training, or of the model that the data is for; None without labels."""
        if all(examples.y is None for examples in self.splits):
            return None
        training, val, test = (_labels(examples) for examples in self.splits)
        every = training | val | test
        names = {label: str(label) for label in sorted(every)} if self.class_names is None else self.class_names
        if self.known_classes is not None:
            return recognised_classes(every, names, self.known_classes)
        return trained_classes(training, every, names)

    def spec(self) -> Spec:
        """Shape, support, classes, and size, mean and range of the training split."""
        scale, summary, classes = scale_of(self.support), self.summary, self.classes
        mean = torch.from_numpy(np.asarray(summary.mean / scale, np.float32))
        return Spec(
            self.train.shape,
            self.support,
            None if classes is None else classes.trained or None,
            self.factors,
            size=len(self.train),
            mean=mean,
            class_names=() if classes is None else classes.names[: classes.trained],
            stored=Stored(self.support, summary.low / scale, summary.high / scale),
        )

    def fingerprint(self) -> str:
        """Changes when a stored value, an order or a split changes; a run resumes only on the data that it began on."""
        checksum = 0
        for examples in self.splits:
            checksum = examples.checksum(checksum)
        return f"{checksum:08x}"

    @property
    def places(self) -> Places:
        """Where the examples of each split stand in the files, counted from 0 over all files."""
        if self.given_places is not None:
            return self.given_places
        sizes = [len(examples) for examples in self.splits]
        train, val, test = torch.arange(sum(sizes)).split(sizes)
        return train, val, test

    @property
    def splits(self) -> tuple[Examples, Examples, Examples]:
        """Training, validation, test."""
        return self.train, self.val, self.test


def known_as(data: Spec, source: Source) -> Source:
    """For a model of `data`, whose classes are the labels of their names; of a run that kept none, those numbers."""
    names = None if data.classes is not None and not data.class_names else source.class_names
    return replace(source, class_names=names, known_classes=data.named_classes)


def _labels(examples: Examples) -> set[int]:
    """That occur; hidden ones do not count."""
    return set() if examples.y is None else {label for label in examples.y.unique().tolist() if label >= 0}


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
    class_names: tuple[str, ...] = ()  # of every label: those of training first
    files: Sequence[str] | None = None  # the name of each example's own file, by its place
    told: str = ""  # what was read, in a line
    warnings: tuple[str, ...] = ()  # what of it may be wrong

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
    """`random_split` by fractions of all examples, or by their numbers.

    Raises:
        ConfigError: where they leave nothing for training.

    """
    return random_split(size, count_of("val", val, size), count_of("test", test, size))


def count_of(name: str, share: float, size: int) -> int:
    """How many of so many examples `dataset.<name>` asks for: a fraction below 1, or their number."""
    if not (0 < share < 1 or (share >= 1 and share == round(share))):
        raise ConfigError(f"dataset.{name}={share:g}: a fraction between 0 and 1, or a whole number of examples")
    return round(share * size) if share < 1 else round(share)
