"""Batches by index: from rows that lie on the training device without per-sample Python, or read ahead from disk.

Order and noise follow from (seed, epoch, position), so the place in the data is two integers.
"""

import math
from collections.abc import Callable, Generator, Iterator

import torch
from torch import Tensor

from vae_cli.data.base import Rows, Split
from vae_cli.noise import derive_seed
from vae_cli.types import Batch

_NOWHERE = (0, 0)  # epoch and position of rows that are looked at, before the first batch


class Loader:
    """An endless sequence of epochs; every `iter` goes on where `epoch` and `position` say.

    Args:
        batch_size: examples a step, over all processes; a multiple of `world`.
        condition: fills in c (and a mask).
        seed: of the run; order and binarisation follow from it.
        shuffle: a new order every epoch. Without it, rows come in order and noise does not depend on the epoch.

    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        condition: Callable[[Batch], Batch],
        seed: int,
        shuffle: bool,
    ) -> None:
        self._rows, self._read = split.rows, split.read
        self._global_batch_size, self._condition = batch_size, condition
        self._seed, self._shuffle = seed, shuffle
        self._rank, self.world = 0, 1
        self._epoch, self._position = 0, 0
        self._generator = torch.Generator()
        self._reading: Generator[Rows, None, None] | None = None

    def share(self, rank: int, world: int) -> "Loader":
        """Serve process `rank` of `world`: every `world`-th example of each batch, whose size is a multiple of `world`.

        In training, the few examples that would give some processes one more than others are left out of that epoch.
        """
        self._rank, self.world = rank, world
        return self

    def to(self, device: torch.device) -> "Loader":
        """Make batches on that device; rows in memory lie there from now on."""
        self._rows = self._rows.to(device)
        self._generator = torch.Generator(device)
        return self

    def __len__(self) -> int:
        """Batches an epoch."""
        return math.ceil(self._num_own() / self._batch_size)

    @property
    def batches_of_every_process(self) -> int:
        """Batches an epoch, without one that only some processes have."""
        return math.ceil(len(self._rows) // self.world / self._batch_size)

    @property
    def within_epoch(self) -> bool:
        """Whether some, but not all, batches of an epoch have been handed out."""
        return 0 < self._position < len(self)

    @property
    def completed_epochs(self) -> int:
        """Epochs of which every batch has been handed out."""
        return self._epoch + (self._position >= len(self))

    def state_dict(self) -> dict[str, int]:
        """Batches handed out: whole epochs, and those of the present one."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that `state` says were handed out."""
        self._epoch, self._position = state["epoch"], state["position"]

    def __iter__(self) -> Iterator[Batch]:
        if self._position >= len(self):
            self._epoch, self._position = self._epoch + 1, 0
        self.close()
        own = self._order()[self._rank :: self.world][: self._num_own()]
        left = own.split(self._batch_size)[self._position :]
        self._reading = self._rows.ahead(left)
        for index, rows in zip(left, self._reading, strict=True):
            self._position += 1
            yield self._batch(index, rows, (self._epoch if self._shuffle else 0, self._position))

    def close(self) -> None:
        """End what reads ahead for an epoch that nobody goes on with."""
        if self._reading is not None:
            self._reading.close()

    def peek(self, index: Tensor) -> Batch:
        """The rows of that index, in its order, whatever was handed out; the place in the sequence stays."""
        index = index.to(self._rows.device)
        return self._batch(index, self._rows.read(index), _NOWHERE)

    def labels(self) -> Tensor | None:
        """All labels in order, [N]."""
        return self._rows.y

    def num_rows(self) -> int:
        """Rows over all processes."""
        return len(self._rows)

    @property
    def _batch_size(self) -> int:
        """Of this process."""
        return self._global_batch_size // self.world

    def _num_own(self) -> int:
        """Rows that this process sees: in training the same number for every process."""
        rows = len(self._rows) // self.world * self.world if self._shuffle else len(self._rows)
        return len(range(self._rank, rows, self.world))

    def _order(self) -> Tensor:
        if not self._shuffle:
            return torch.arange(len(self._rows), device=self._rows.device)
        shuffled = torch.Generator().manual_seed(derive_seed(self._seed, "order", self._epoch))
        return torch.randperm(len(self._rows), generator=shuffled).to(self._rows.device)

    def _batch(self, index: Tensor, rows: Rows, place: tuple[int, int]) -> Batch:
        self._generator.manual_seed(derive_seed(self._seed, "data", *place, self._rank))
        x = self._read(rows.x, self._generator)
        return self._condition(Batch(x, rows.y, index=index.to(rows.x.device), factors=rows.factors))
