"""c = the known factors: p(x | factors)."""

import torch
from torch import Size
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.errors import ConfigError
from vae_cli.types import Batch, Condition, Spec


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
        self.reads = "factors"
        self._counts = [factor.count for factor in data.factors]
        self.size = Size((sum(self._counts),))

    def __call__(self, batch: Batch) -> Batch:
        """The batch with c filled in."""
        assert batch.factors is not None
        values = zip(batch.factors.unbind(1), self._counts, strict=True)
        return batch._replace(c=torch.cat([F.one_hot(value, count) for value, count in values], 1).to(batch.x.dtype))
