"""What is asked of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_cli.classes import typed
from vae_cli.errors import ConfigError
from vae_cli.evaluation.subject import Subject
from vae_cli.loading import Run
from vae_cli.noise import derive_seed, stream
from vae_cli.types import Batch, Spec, Values

_AT_ONCE = 100  # draws, each hundred from a seed of its own: the first ones of 1000 are those of 100


@dataclass(frozen=True)
class Drawn:
    """Draws from the model."""

    values: Values  # of latent variables, [1, num, *Z]
    mean: Tensor  # of p(x | z), [num, *X]
    x: Tensor  # drawn from p(x | z), [num, *X]


@dataclass(frozen=True)
class Request:
    """Of one kind of picture.

    Args:
        subject: the run, and the examples that are started from.
        number: of draws, examples, pairs or rows; None: what suits the kind.
        temperature: what the standard deviations of the prior are multiplied with.
        words: names of classes to draw from, in turn; (): all of them.

    Raises:
        ConfigError: for a number out of range, or labels that there are not.

    """

    subject: Subject
    number: int | None
    temperature: float
    words: Sequence[object]

    def __post_init__(self) -> None:
        if self.number is not None and self.number < 1:
            raise ConfigError(f"n={self.number}: 1 or more")
        if not (0 <= self.temperature <= 100):
            raise ConfigError(f"temperature={self.temperature}: a number from 0 to 100")
        if self.words and not self.is_by_label:
            raise ConfigError(f"labels={list(self.words)}: this run was not trained with condition=label")
        typed(self.words, self.data.named_classes, "labels")

    @property
    def labels(self) -> list[int]:
        """The classes to draw from; []: all of them."""
        return typed(self.words, self.data.named_classes, "labels")

    @property
    def run(self) -> Run:
        """That is drawn from."""
        return self.subject.run

    @property
    def data(self) -> Spec:
        """Of its data."""
        return self.run.data

    @property
    def is_by_label(self) -> bool:
        """Whether the condition is the label."""
        return self.run.reads == "y"

    def num(self, usual: int) -> int:
        """How many, where `usual` suits the kind."""
        return self.number or usual

    def conditions(self, num: int) -> Batch:
        """Labels in turn (or factors of examples, or examples, evenly spaced), for the condition of so many draws."""
        x = torch.zeros((num, *self.data.shape), device=self.run.device)
        if self.is_by_label:
            assert self.data.classes is not None
            labels = torch.tensor(self.labels or range(self.data.classes), device=self.run.device)
            return Batch(x, y=labels[torch.arange(num, device=self.run.device) % len(labels)])
        if self.run.reads == "factors":
            there = self.subject.some(num).factors
            assert there is not None
            return Batch(x, factors=there[torch.arange(num, device=self.run.device) % len(there)])
        if self.run.reads == "x":
            there = self.subject.some(num)
            return there.part(torch.arange(num, device=self.run.device) % len(there.x))
        return Batch(x)

    def draws(self, conditions: Batch) -> Iterator[Drawn]:
        """From the model, a hundred at a time; what is given of x stays."""
        for number, part in enumerate(conditions.split(_AT_ONCE)):
            seed = derive_seed(self.subject.seed, "draws", number)
            drawn = self.run.generate(
                len(part.x), part.y, part.factors, part.x, seed=seed, temperature=self.temperature
            )
            with stream(self.run.device, seed, "x"):
                x = drawn.px.sample()[0]
            yield Drawn(drawn.values, part.completed(drawn.px.mean[0]), part.completed(x))

    def need_latents(self, what: str) -> None:
        """ConfigError where the model has none."""
        if not self.run.model.latents:
            raise ConfigError(
                f"what={what} needs latent variables, and this model has none: what=samples and what=reconstructions "
                "show what it makes of c"
            )

    def examples(self, num: int) -> Batch:
        """So many of the split, evenly spaced.

        Raises:
            ConfigError: where there are not so many.

        """
        if num > (there := self.subject.num_examples):
            raise ConfigError(f"n={num}: the {self.subject.split} split has {there} examples")
        return self.subject.some(num)
