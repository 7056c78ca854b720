"""All mass at one point."""

from collections.abc import Sequence

from torch import Size, Tensor

from vae_cli.distributions.unchecked import Unchecked
from vae_cli.errors import ConfigError


class Delta(Unchecked):
    """z = location, always; it has no density, so no bound can be computed with it. Location [*batch, Z]."""

    has_rsample = True

    def __init__(self, location: Tensor) -> None:
        self._location = location
        super().__init__(location.shape[:-1], location.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self._location

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The location, [*sample_shape, *batch, Z]."""
        return self._location.expand(Size((*sample_shape, *self._location.shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Raises ConfigError: there is no density."""
        raise ConfigError(
            "posterior=delta is a point without a density, so there is no KL and no bound: use "
            "objective=reconstruction, or posterior=diagonal"
        )
