"""Examples that stay on disk and are read as they are asked for, so that a data set may be larger than memory."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import torch
from torch import Size, Tensor

from vae_cli.data.base import Examples, Rows, Summary, check_lengths, checksum_of, evenly_spaced
from vae_cli.data.readers import read_ahead
from vae_cli.errors import ConfigError

_CPU = torch.device("cpu")
_CHUNK = 100  # examples read at once where all are wanted


class Store(ABC):
    """A file or folder of examples of one shape, known by their numbers 0, 1, ... It goes to other processes whole."""

    shape: Size  # of one example
    checksum: int  # of what it holds
    sample: int  # how many examples are read to find their mean

    @abstractmethod
    def __len__(self) -> int:
        """How many examples."""

    @abstractmethod
    def read(self, index: np.ndarray) -> np.ndarray:
        """The examples of that index [B], in its order, [B, *shape] in uint8 or float32.

        Raises:
            TrainingError: where they can no longer be read; it names the file.

        """


@dataclass(frozen=True)
class Streamed(Examples):
    """Some examples of a store, read through `workers` processes (0: in this one)."""

    store: Store
    rows: Tensor  # [N], their numbers in the store
    y: Tensor | None
    factors: Tensor | None
    workers: int
    target: torch.device = _CPU  # where they are read to

    def __post_init__(self) -> None:
        check_lengths(len(self.rows), self.y, self.factors)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> Size:
        """Of one example."""
        return self.store.shape

    @property
    def device(self) -> torch.device:
        """Numbers of rows, labels and factors stay where files are read."""
        return self.rows.device

    def take(self, index: Tensor) -> "Streamed":
        """The examples of that index, in its order; nothing is read."""
        y, factors = (None if known is None else known[index] for known in (self.y, self.factors))
        return replace(self, rows=self.rows[index], y=y, factors=factors)

    def to(self, device: torch.device) -> "Streamed":
        """Read to that device."""
        return replace(self, target=device)

    def read(self, index: Tensor) -> Rows:
        """The examples of that index, in its order, read in this process."""
        return self._with_known(self.store.read(self.rows[index].numpy()), index)

    def ahead(self, batches: Sequence[Tensor]) -> Generator[Rows, None, None]:
        """`read` of each index in turn, some of them ahead of time."""
        requests = (self.rows[index].numpy() for index in batches)
        with closing(read_ahead(self.store.read, requests, self.workers)) as found:
            for values, index in zip(found, batches, strict=True):
                yield self._with_known(values, index)

    def labelled(self, y: Tensor | None) -> "Streamed":
        """The same with other labels."""
        return replace(self, y=y)

    def summary(self) -> Summary:
        """Over all, or over as many evenly spaced examples as the store allows."""
        places = self.rows[evenly_spaced(len(self), self.store.sample)].sort().values
        requests = (chunk.numpy() for chunk in places.split(_CHUNK))
        with closing(read_ahead(self.store.read, requests, self.workers)) as found:
            return Summary.over(found, len(places))

    def checksum(self, before: int) -> int:
        """Of the store as a whole, and of which examples these are."""
        return checksum_of((self.rows, self.y, self.factors), crc32(str(self.store.checksum).encode(), before))

    def _with_known(self, x: np.ndarray, index: Tensor) -> Rows:
        y, factors = (None if known is None else known[index] for known in (self.y, self.factors))
        return Rows(torch.from_numpy(x), y, factors).to(self.target)


def all_of(store: Store, y: Tensor | None, factors: Tensor | None, workers: int) -> Streamed:
    """Every example of a store.

    Raises:
        ConfigError: where there cannot be so many processes.

    """
    if workers < 0:
        raise ConfigError(f"dataset.workers={workers}: a number of processes, 0 for none, or null to hold all examples")
    return Streamed(store, torch.arange(len(store)), y, factors, workers)
