"""What is evaluated, on which examples, and within which bounds."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import evenly_spaced
from vae_cli.data.loader import Loader
from vae_cli.data.module import DataModule
from vae_cli.errors import ConfigError
from vae_cli.evaluation.codes import Codes, encoded
from vae_cli.evaluation.report import NotApplicable, Parts, anew
from vae_cli.loading import Run
from vae_cli.progress import Progress, silent
from vae_cli.reuse import own_data
from vae_cli.types import Batch, Model, Spec

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Subject:
    """A run on one split of its data.

    Args:
        examples: at most so many, evenly spaced; None: all.
        seed: all noise follows from it.
        memory: bytes that one pass may take, about.
        part: a report by name, perhaps kept from before.

    Raises:
        ConfigError: for a split that there is not, a number out of range, or data that the run was not trained on.

    """

    run: Run
    split: str = "test"
    examples: int | None = None
    seed: int = 0
    memory: int = 2**30
    progress: Progress = field(default=silent)
    part: Parts = field(default=anew)

    def __post_init__(self) -> None:
        if self.split not in _SPLITS:
            raise ConfigError(f"split={self.split}: choose one of {', '.join(_SPLITS)}")
        if self.examples is not None and self.examples < 1:
            raise ConfigError(f"examples={self.examples}: 1 or more, or null for all")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: 0 or more")

    @property
    def model(self) -> Model:
        """In evaluation mode."""
        return self.run.model

    @property
    def spec(self) -> Spec:
        """Of the data."""
        return self.run.data

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.run.device

    @property
    def bounds(self) -> bool:
        """False for autoencoders: no prior was trained, so there is no likelihood and no KL."""
        return self.run.bounds

    @property
    def num_examples(self) -> int:
        """Of the split that is judged."""
        return len(self._index(self.split))

    def batches(self, size: int) -> Iterator[Batch]:
        """The examples that are judged, in order."""
        return self.batches_of(self.split, size)

    def batches_of(self, split: str, size: int) -> Iterator[Batch]:
        """The examples of a split, in order."""
        yield from self._batches(split, self._index(split), size)

    @cached_property
    def codes(self) -> Codes:
        """Of the examples that are judged; made once for all groups. NotApplicable without latent variables."""
        return self._codes(self.split, self._index(self.split))

    def training_codes(self, most: int) -> Codes:
        """Of at most so many training examples, evenly spaced."""
        return self._codes("train", evenly_spaced(self._loader("train").num_rows(), most))

    def some(self, num: int) -> Batch:
        """At most `num` of the examples that are judged, evenly spaced."""
        index = self._index(self.split)
        return self._loader(self.split).peek(index[evenly_spaced(len(index), num)])

    def _codes(self, split: str, index: Tensor) -> Codes:
        if not self.model.latents:
            raise NotApplicable("this model has no latent variables, so there are no codes")
        size = self._data.eval_batch_size
        batches = self._batches(split, index, size)
        shown = self.progress(batches, f"codes of the {split} split", -(-len(index) // size))
        codes = encoded(self.model, shown, self.seed)
        if codes.labels is None:
            return codes
        trained = codes.labels < (self.spec.classes or 0)  # no model knows of the others
        return replace(codes, labels=np.where(trained, codes.labels, -1))

    def _batches(self, split: str, index: Tensor, size: int) -> Iterator[Batch]:
        loader = self._loader(split)
        for rows in index.split(size):
            yield loader.peek(rows)

    def _index(self, split: str) -> Tensor:
        """Rows of the split."""
        rows = self._loader(split).num_rows()
        limit = rows if self.examples is None or split != self.split else self.examples
        return evenly_spaced(rows, limit)

    def _loader(self, split: str) -> Loader:
        return {"train": self._data.train, "val": self._data.val, "test": self._data.test}[split]

    @cached_property
    def _data(self) -> DataModule:
        return own_data(self.run)
