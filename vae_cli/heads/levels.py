"""p(x | z) for grey levels: probabilities, not densities, so that they give bits per dimension."""

from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily

from vae_cli.distributions.discretized_logistic import DiscretizedLogistic
from vae_cli.distributions.levels import CategoricalLevels
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale
from vae_cli.heads.coordinates import per_coordinate
from vae_cli.types import Head, Levels, Spec


class DiscretizedLogisticHead(Head):
    """A logistic of its own for every coordinate, cut into levels (Kingma et al. 2016, section 5)."""

    models = (Levels,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.embed_shape = spec.shape
        self.param_shape = per_coordinate(2, spec.shape)
        self._count = _count(spec)

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 2 X_1, ...]: means, then log scales -> p(x | z)."""
        rank = len(self.param_shape)
        mean, log_scale = h.chunk(2, dim=-rank)
        logistic = DiscretizedLogistic(mean, bounded_scale(log_scale), self._count)
        return Independent(logistic, rank, validate_args=False)


class LogisticMixtureHead(Head):
    """A mixture of `components` discretised logistics for every coordinate, independent of the others.

    Salimans et al. (2017, eq. 2), without their dependence between the colours of a pixel.
    """

    models = (Levels,)

    def __init__(self, spec: Spec, *, components: int) -> None:
        super().__init__()
        if components < 1:
            raise ConfigError(f"likelihood.components={components}: a mixture needs at least 1")
        self.embed_shape = spec.shape
        self.param_shape = per_coordinate(3 * components, spec.shape)
        self._count, self._components = _count(spec), components

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 3 components X_1, ...]: mixing logits, means, log scales, each component by component."""
        rank = len(self.param_shape)
        parts = h.unflatten(-rank, (3, self._components, -1))  # [*batch, 3, components, *X]
        logits, mean, log_scale = parts.movedim((-rank - 2, -rank - 1), (0, -1)).unbind(0)
        logistics = DiscretizedLogistic(mean, bounded_scale(log_scale), self._count)
        mixing = Categorical(logits=logits, validate_args=False)
        return Independent(MixtureSameFamily(mixing, logistics, validate_args=False), rank, validate_args=False)


class CategoricalHead(Head):
    """A probability for every level of every coordinate."""

    models = (Levels,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.embed_shape = spec.shape
        self._count = _count(spec)
        self.param_shape = per_coordinate(self._count, spec.shape)

    def forward(self, h: Tensor) -> Distribution:
        """Logits [*batch, levels X_1, ...], level by level -> p(x | z)."""
        rank = len(self.param_shape)
        logits = h.unflatten(-rank, (self._count, -1)).movedim(-rank - 1, -1)
        return Independent(CategoricalLevels(logits), rank, validate_args=False)


def _count(spec: Spec) -> int:
    assert isinstance(spec.support, Levels)
    return spec.support.count
