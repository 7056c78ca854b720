"""c = the known factors: p(x | factors)."""

from collections.abc import Sequence

import torch
from torch import Size
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.errors import ConfigError
from vae_cli.types import Batch, Condition, Factor, Spec


class Factors(Condition):
    """c is every factor as a one-hot vector, one after another, [B, sum of their counts].

    Raises:
        ConfigError: where the data has no factors.

    """

    def __init__(self, data: Spec) -> None:
        if not data.factors:
            raise ConfigError(
                "condition=factors needs known factors and this data set has none: choose condition=none or "
                "condition=label, or a data set with factors (shapes, dsprites, an npz with `factors`)"
            )
        self.reads, self.words = "factors", f"{_listed(data.factors)} as one-hot vectors, one after another"
        self._factors = data.factors
        self._counts = [factor.count for factor in data.factors]
        self.size = Size((sum(self._counts),))

    def check(self, data: Spec) -> None:
        """ConfigError where other data has other factors, or values of them beyond those of training."""
        same = [factor.name for factor in data.factors] == [factor.name for factor in self._factors]
        if not same or any(own.count < other.count for own, other in zip(self._factors, data.factors, strict=True)):
            raise ConfigError(f"this model's condition is {self.words}, and this data set has {_listed(data.factors)}")

    def __call__(self, batch: Batch) -> Batch:
        """The batch with c filled in."""
        assert batch.factors is not None
        values = zip(batch.factors.unbind(1), self._counts, strict=True)
        return batch._replace(c=torch.cat([F.one_hot(value, count) for value, count in values], 1).to(batch.x.dtype))


def _listed(factors: Sequence[Factor]) -> str:
    """Their names and values, as in `the factors size (0 .. 3), angle (0 .. 9)`."""
    names = ", ".join(f"{factor.name} (0 .. {factor.count - 1})" for factor in factors)
    return f"the factors {names}" if names else "no factors"
