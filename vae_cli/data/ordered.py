"""The examples of a data set one after another: of a split as it has them, or of all as the files hold them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_cli.data.module import DataModule
from vae_cli.errors import ConfigError
from vae_cli.types import Batch

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Ordered:
    """Some examples of a data set, each once.

    Args:
        numbers: of the examples among all, training before validation before test, [N].

    """

    data: DataModule
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def places(self) -> Tensor:
        """Where they stand in the files, counted from 0 over all files, [N]."""
        return torch.cat(self.data.places)[self.numbers]

    def batches(self, size: int) -> Iterator[Batch]:
        """All of them in order, at most so many in each."""
        return map(self._read, self.numbers.split(size))

    def _read(self, numbers: Tensor) -> Batch:
        batches, found, first = [], [], 0
        for loader in self.data.loaders:
            own = numbers - first
            here = torch.nonzero((own >= 0) & (own < loader.num_rows())).flatten()
            if len(here):
                batches.append(loader.peek(own[here]))
                found.append(here)
            first += loader.num_rows()
        return Batch.joined(batches).part(torch.cat(found).argsort())


def ordered(data: DataModule, split: str) -> Ordered:
    """The examples of `train`, `val` or `test`, or `all` of them in the order of the files.

    Raises:
        ConfigError: for a split that there is not, or that is empty.

    """
    if split == "all":
        return Ordered(data, torch.cat(data.places).argsort())
    if split not in SPLITS:
        raise ConfigError(f"split={split}: choose one of all, {', '.join(SPLITS)}")
    sizes = [loader.num_rows() for loader in data.loaders]
    numbers = torch.arange(sum(sizes)).split(sizes)[SPLITS.index(split)]
    if len(numbers) == 0:
        raise ConfigError(f"split={split}: the data has no such examples; choose split=all")
    return Ordered(data, numbers)
