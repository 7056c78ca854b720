"""Figures that validation and test report besides those of the objective, so that runs under any objective compare.

Shape legend: S samples, B batch.
"""

import math
from collections.abc import Callable, Iterable, Iterator

from vae_cli.objectives.bounds import bounds_of
from vae_cli.types import Batch, Model, Terms

Pause = Callable[[], None]  # called where a long computation may be stopped; then it raises
Monitor = Callable[[Model, Batch, Terms, Pause], Terms]  # the terms that the objective gave -> more of them

_MOST_NUMBERS = 20_000_000  # that the decoder hands on at a time; a pass holds several times as many


def no_pause() -> None:
    """Go on."""


class ImportanceWeightedBound:
    """`iwae_<K>`: ln 1/K sum_k w_k with exactly K draws for every example (Burda et al. 2016, eq. 8), nats."""

    def __init__(self, num_samples: int, features: int) -> None:
        """Features: numbers that the likelihood takes for one draw of one example."""
        self._num_samples, self._features = num_samples, features

    def __call__(self, model: Model, batch: Batch, terms: Terms, pause: Pause = no_pause) -> Terms:
        """The batch mean; draws are taken a few at a time, with a pause before each time."""
        at_once = max(1, _MOST_NUMBERS // (self._features * len(batch.x)))
        sizes = [min(at_once, self._num_samples - first) for first in range(0, self._num_samples, at_once)]
        draw = model.passes(batch, model.read(batch))
        return {f"iwae_{self._num_samples}": bounds_of(map(draw, _with(pause, sizes))).importance_weighted.mean()}


class BitsPerDimension:
    """`bits_per_dimension`: -elbo / (D ln 2), for likelihoods that give probabilities of levels.

    D is how many numbers of x the likelihood counts.
    """

    def __call__(self, model: Model, batch: Batch, terms: Terms, pause: Pause = no_pause) -> Terms:
        """An upper bound on the bits that a code for x needs."""
        nats = batch.dimensions * math.log(2)
        return {"bits_per_dimension": -terms["elbo"] / nats} if "elbo" in terms else {}


def _with(pause: Pause, sizes: Iterable[int]) -> Iterator[int]:
    for size in sizes:
        pause()
        yield size
