"""The data of a run as Lightning asks for it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from vae_cli.data.base import Data
from vae_cli.data.loader import Loader
from vae_cli.errors import ConfigError
from vae_cli.types import Batch


class DataModule(LightningDataModule):
    """Three loaders over one `Data`, on the trainer's device.

    Args:
        batch_size: examples a training step, over all processes.
        eval_batch_size: examples a validation or test step; it moves figures by the noise of other draws, no more.

    """

    def __init__(
        self,
        data: Data,
        condition: Callable[[Batch], Batch],
        *,
        batch_size: int,
        eval_batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size}
        for name, value in self._sizes.items():
            if value < 1:
                raise ConfigError(f"dataset.{name}={value}: a batch needs at least 1 example")
        common: dict[str, Any] = {"condition": condition, "seed": seed}
        self.spec, self.fingerprint, self.places = data.spec, data.fingerprint, data.places
        self.class_names: Sequence[str] = data.class_names
        self.files: Sequence[str] | None = data.files  # by place
        self.told, self.warnings = data.told, data.warnings
        self.train = Loader(data.train, batch_size=batch_size, shuffle=True, **common)
        self.val = Loader(data.val, batch_size=eval_batch_size, shuffle=False, **common)
        self.test = Loader(data.test, batch_size=eval_batch_size, shuffle=False, **common)

    @property
    def loaders(self) -> tuple[Loader, Loader, Loader]:
        """Of training, validation and test."""
        return self.train, self.val, self.test

    @property
    def batch_size(self) -> int:
        """Examples a training step, over all processes."""
        return self._sizes["batch_size"]

    @property
    def eval_batch_size(self) -> int:
        """Examples a validation or test step."""
        return self._sizes["eval_batch_size"]

    def share(self, rank: int, world: int) -> None:
        """Serve one process of several; ConfigError where batches cannot be shared out evenly."""
        for name, value in self._sizes.items():
            if value % world:
                raise ConfigError(f"dataset.{name}={value}: {world} devices need a multiple of {world}")
        for loader in self.loaders:
            loader.share(rank, world)

    def setup(self, stage: str) -> None:
        """Have batches made on the trainer's device."""
        assert self.trainer is not None
        self.to(self.trainer.strategy.root_device)

    def to(self, device: torch.device) -> "DataModule":
        """Have batches made on that device."""
        for loader in self.loaders:
            loader.to(device)
        return self

    def close(self) -> None:
        """End what reads ahead, wherever training stopped."""
        for loader in self.loaders:
            loader.close()

    def train_dataloader(self) -> Loader:
        """Shuffled training batches."""
        return self.train

    def val_dataloader(self) -> Loader:
        """Validation batches, in order."""
        return self.val

    def test_dataloader(self) -> Loader:
        """Test batches, in order."""
        return self.test

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Batches are made where they are used."""
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The place in the training data, and what data it is a place in."""
        return {**self.train.state_dict(), "fingerprint": self.fingerprint, "world": self.train.world}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at that place."""
        self.train.load_state_dict({"epoch": state_dict["epoch"], "position": state_dict["position"]})

    def examples(self, num: int) -> Batch:
        """`num` validation examples for pictures: one column of a grid per class where there are labels."""
        labels = self.val.labels()
        if labels is None:
            return self.val.peek(torch.arange(min(num, self.val.num_rows())))
        return self.val.peek(_one_class_a_column(labels.cpu(), num))


def _one_class_a_column(labels: Tensor, num: int) -> Tensor:
    """Rows such that example i is of class i mod K, as far as each class has enough."""
    by_class = [torch.nonzero(labels == k).flatten().tolist() for k in labels.unique().tolist()]
    rows = [members[i] for i in range(num) for members in by_class if i < len(members)]
    return torch.tensor(rows[:num])
