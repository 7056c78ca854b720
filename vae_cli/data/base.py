"""What a data set is once read: three splits of rows, held once, and how stored rows become x.

Bytes stay bytes (`uint8`) until a batch is made.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Size, Tensor

from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor, Levels, Real, Spec, Support, UnitInterval

Read = Callable[[Tensor, torch.Generator], Tensor]  # stored rows [B, *X], noise -> x [B, *X] in float32


@dataclass(frozen=True)
class Rows:
    """Examples as stored: x [N, *X] (uint8 levels or float32); labels [N] and factors [N, F] (int64) where known."""

    x: Tensor
    y: Tensor | None = None
    factors: Tensor | None = None

    def __post_init__(self) -> None:
        for name, known in (("labels", self.y), ("rows of factors", self.factors)):
            if known is not None and len(known) != len(self.x):
                raise ConfigError(f"{len(self.x)} examples have {len(known)} {name}: the files do not belong together")

    def take(self, index: Tensor) -> "Rows":
        """The rows of that index, in its order."""
        return self.each(lambda values: values[index])

    def each(self, change: Callable[[Tensor], Tensor]) -> "Rows":
        """Every array changed in the same way."""
        y, factors = (None if values is None else change(values) for values in (self.y, self.factors))
        return Rows(change(self.x), y, factors)


@dataclass(frozen=True)
class Source:
    """A data set as its files give it, before binarisation."""

    train: Rows
    val: Rows
    test: Rows
    support: Support
    factors: tuple[Factor, ...] = ()

    def __post_init__(self) -> None:
        sizes = [len(rows.x) for rows in (self.train, self.val, self.test)]
        if min(sizes) < 1:
            raise ConfigError(
                f"training, validation and test have {' / '.join(map(str, sizes))} examples: each needs at least one"
            )
        shapes = {tuple(rows.x.shape[1:]) for rows in (self.train, self.val, self.test)}
        if len(shapes) > 1:
            raise ConfigError(f"examples have different shapes, {shapes}: the files do not belong together")

    def spec(self) -> Spec:
        """Shape, support, number of labels, and size and mean of the training split."""
        labels = [int(rows.y.max()) + 1 for rows in (self.train, self.val, self.test) if rows.y is not None]
        shape, size = self.train.x.shape[1:], len(self.train.x)
        if labels and max(labels) > size:
            raise ConfigError(
                f"the highest label is {max(labels) - 1} among {size} examples: number the classes 0, 1, ..."
            )
        total = np.add.reduce(self.train.x.numpy(), axis=0, dtype=np.float64)
        mean = torch.from_numpy(np.asarray(total / (size * scale_of(self.support)), np.float32))
        classes = max(labels, default=None)
        return Spec(Size(shape), self.support, classes=classes, factors=self.factors, size=size, mean=mean)

    def fingerprint(self) -> str:
        """Changes when a stored value, an order or a split changes; a run resumes only on the data that it began on."""
        checksum = 0
        for rows in (self.train, self.val, self.test):
            for array in (rows.x, rows.y, rows.factors):
                if array is not None:
                    checksum = zlib.crc32(np.ascontiguousarray(array.numpy()).data, checksum)
                    checksum = zlib.crc32(repr(tuple(array.shape)).encode(), checksum)
        return f"{checksum:08x}"


@dataclass(frozen=True)
class Split:
    """Rows and the way to read them."""

    rows: Rows
    read: Read


@dataclass(frozen=True)
class Data:
    """A data set ready to make batches from."""

    train: Split
    val: Split
    test: Split
    spec: Spec
    fingerprint: str

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


def random_split(rows: Rows, val: int, test: int) -> tuple[Rows, Rows, Rows]:
    """Train, validation and test rows by one fixed permutation, the same for every seed of a run."""
    order = torch.randperm(len(rows.x), generator=torch.Generator().manual_seed(0))
    train = len(order) - val - test
    if min(train, val, test) < 1:
        raise ConfigError(
            f"{len(order)} examples cannot be split into {train} for training, {val} for validation and {test} for "
            "test: each needs at least one"
        )
    first, second, third = order.split([train, val, test])
    return rows.take(first), rows.take(second), rows.take(third)
