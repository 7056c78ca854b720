"""A table of probabilities over grey levels."""

from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Categorical

from vae_cli.distributions.unchecked import Unchecked


class CategoricalLevels(Unchecked):
    """P(x = level / (count - 1)) = softmax(logits)[level]; logits [*batch, count]."""

    def __init__(self, logits: Tensor) -> None:
        self._table = Categorical(logits=logits, validate_args=False)
        self.count = logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def logits(self) -> Tensor:
        """Of every level, [*batch, count]; softmax gives their probabilities."""
        return self._table.logits

    @property
    def mean(self) -> Tensor:
        """E[x], [*batch]."""
        probabilities = self._table.probs
        values = torch.arange(self.count, device=probabilities.device, dtype=probabilities.dtype) / (self.count - 1)
        return (probabilities * values).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log of P(x = value), nats, [*batch]."""
        return self._table.log_prob((value * (self.count - 1)).round())

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Levels between 0 and 1, [*sample_shape, *batch]."""
        return self._table.sample(Size(sample_shape)).to(self.logits.dtype) / (self.count - 1)
