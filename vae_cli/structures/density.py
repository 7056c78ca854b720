"""No latent variables: p(x | c) alone, the network that predicts x from c (the baseline of Sohn et al. 2015)."""

from collections.abc import Sequence

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.distributions.masked import masked
from vae_cli.errors import ConfigError
from vae_cli.types import Batch, Features, Generated, Model, Parts, Passes, Spec, Trace, Values


class Density(Model):
    """The decoder reads c in place of z; encoder, posterior and prior are not made.

    Every bound on ln p(x | c) is ln p(x | c) itself.
    Shape legend: S samples, B batch.

    Raises:
        ConfigError: where there is no condition.

    """

    latents = ()

    def __init__(self, data: Spec, parts: Parts) -> None:
        super().__init__()
        if data.condition is None:
            raise ConfigError(
                "structure=density needs a condition, as x is predicted from that alone: choose condition=quadrant or "
                "condition=label, or structure=single"
            )
        self.likelihood = parts.likelihood(data)
        self.decoder = parts.decoder(data.condition, self.likelihood.param_shape, None)

    def read(self, batch: Batch) -> Features:
        """Nothing."""
        return {}

    def passes(self, batch: Batch, features: Features) -> Passes:
        """All alike, as there is nothing to draw."""
        assert batch.c is not None
        h = self.decoder(batch.c)  # [B, *param_shape]

        def trace(num_samples: int, given: Values | None = None) -> Trace:
            assert not given, "there is nothing to give"
            return Trace(batch, {}, masked(self._density(h, num_samples), batch.mask))

        return trace

    def inference_parts(self) -> Sequence[nn.Module]:
        """None."""
        return []

    def decode(self, values: Values, c: Tensor | None = None) -> Distribution:
        """No values, c [B, *C] -> p(x | c), batch shape [1, B]."""
        assert c is not None
        return self._density(self.decoder(c), 1)

    def generate(self, num: int, c: Tensor | None = None, temperature: float = 1.0, samples: int = 1) -> Generated:
        """p(x | c), batch shape [S, num]; a temperature has no prior to act on.

        Raises:
            ConfigError: for another temperature than 1.

        """
        assert c is not None
        if temperature != 1:
            raise ConfigError(f"temperature={temperature}: structure=density has no prior; use temperature=1")
        return Generated({}, self._density(self.decoder(c), samples))

    def _density(self, h: Tensor, samples: int) -> Distribution:
        """H [B, *param_shape] -> batch shape [S, B]."""
        return self.likelihood(h.expand(Size((samples, *h.shape))))
