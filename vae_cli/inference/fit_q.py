"""The best q of the posterior's family for every example by itself (Cremer, Li & Duvenaud 2018).

What is fitted are the features that the posterior is made of, from those that the encoder gives.

Shape legend: S samples, B batch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.inference.memory import draws_within
from vae_cli.noise import by_example, digests
from vae_cli.progress import Progress, silent
from vae_cli.types import Batch, Features, Model

_WINDOW = 50  # steps between two looks at the bound; the features of a window are averaged (Polyak & Juditsky 1992)
_PATIENCE = 3  # windows without a better bound, after which an example is done
_BETTER = 0.01  # nats
_MOST = 10_000  # draws in a step
_LOOK = 64  # draws of a look, the same every time, so that two looks compare


@dataclass(frozen=True)
class Fitting:
    """How it is done.

    Args:
        steps: of Adam, at most; 0: none.
        samples: fresh draws of each example in a step.
        lr: of Adam.

    Raises:
        ConfigError: for a number out of range.

    """

    steps: int
    samples: int
    lr: float

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"likelihood.gaps.steps={self.steps}: 0 for none, or more")
        if not (1 <= self.samples <= _MOST):
            raise ConfigError(f"likelihood.gaps.samples={self.samples}: 1 to {_MOST}")
        if not (0 < self.lr < math.inf):
            raise ConfigError(f"likelihood.gaps.lr={self.lr}: a learning rate is a positive number")


def fitted(
    model: Model, batch: Batch, how: Fitting, *, seed: int, memory: int, progress: Progress = silent
) -> Features:
    """Features of the largest ELBO that Adam finds for each example, until it stops improving.

    Args:
        model: in evaluation mode, its parameters without gradients.
        seed: with the example, all that its fit follows from.
        memory: bytes that one pass may take, about.
        progress: of the loop over all windows of steps, which may end early.

    """
    at_once = max(1, draws_within(memory // 2, model, batch) // max(how.samples, _LOOK))  # // 2: with gradients
    parts = batch.split(at_once)
    windows = len(parts) * math.ceil(how.steps / _WINDOW)
    shown = progress(range(windows), "q of every example, at most", windows)
    found = [_Fit(model, part, how, seed).best(shown) for part in parts]
    for _ in shown:  # those that were not needed
        pass
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}


class _Fit:
    """Of one batch, all examples at once; none depends on another."""

    def __init__(self, model: Model, batch: Batch, how: Fitting, seed: int) -> None:
        self._model, self._batch, self._how, self._seed = model, batch, how, seed
        self._examples = digests(batch)
        with torch.no_grad():
            self._best = dict(model.read(batch))
        self._bound = self._look(self._best)  # [B]
        self._features = {name: value.clone().requires_grad_() for name, value in self._best.items()}
        self._adam = torch.optim.Adam(self._features.values(), lr=how.lr)
        self._waited = torch.zeros_like(self._bound)  # windows

    def best(self, windows: Iterator[int]) -> Features:
        """When no example improves any longer, or all steps are done."""
        for first in range(0, self._how.steps, _WINDOW):
            next(windows)
            self._consider(self._window(range(first, min(first + _WINDOW, self._how.steps))))
            if (self._waited >= _PATIENCE).all():
                break
        return self._best

    def _window(self, steps: range) -> Features:
        """Mean of the features over some steps."""
        sums = {name: torch.zeros_like(value) for name, value in self._best.items()}
        for step in steps:
            self._adam.zero_grad()
            with torch.enable_grad():
                self._elbo(self._features, self._how.samples, step).sum().neg().backward()
            self._adam.step()
            sums = {name: total + self._features[name].detach() for name, total in sums.items()}
        return {name: total / len(steps) for name, total in sums.items()}

    def _consider(self, candidate: Features) -> None:
        """Take the candidates that are better, unless the example is done."""
        bound = self._look(candidate)
        going = self._waited < _PATIENCE
        better, much_better = going & (bound > self._bound), going & (bound > self._bound + _BETTER)
        self._waited = torch.where(much_better, 0, self._waited + 1)
        self._bound = torch.where(better, bound, self._bound)
        for name, value in candidate.items():
            chosen = better.view(-1, *[1] * (value.ndim - 1))
            self._best[name] = torch.where(chosen, value, self._best[name])

    def _look(self, features: Features) -> Tensor:
        with torch.no_grad():
            return self._elbo(features, _LOOK, -1)

    def _elbo(self, features: Features, num_samples: int, step: int) -> Tensor:
        """[B], nats."""
        with by_example(self._examples, self._seed, "fit", step):
            trace = self._model.passes(self._batch, features)(num_samples)
        kl = sum(site.kl() for site in trace.sites.values())
        return (trace.log_px - kl).mean(0)
