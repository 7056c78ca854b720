"""A density that a chain of invertible maps makes of standard normal noise (Rezende & Mohamed 2015)."""

from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.quasirandom import SobolEngine
from zuko.distributions import NormalizingFlow
from zuko.transforms import ComposedTransform

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.unchecked import Unchecked


class Flow(Unchecked):
    """z = f(eps), eps ~ N(0, I): ln q(z) = ln N(eps; 0, I) - ln |det df / deps|.

    Maps may be fast in one direction alone. Of its latest draw, `log_prob` knows the density from drawing it, and does
    not look for its eps again; for every other value it does.

    Args:
        to_z: f; its parameters have batch shape [*batch].
        like: of the type and on the device of the noise, [*batch, Z].
        probes: of `mean`, [P, Z].
    """

    has_rsample = True

    def __init__(self, to_z: ComposedTransform, like: Tensor, probes: Tensor) -> None:
        noise = independent_gaussian(torch.zeros_like(like), torch.ones_like(like), 1)
        self._flow = NormalizingFlow(to_z.inv, noise)
        self._to_z, self._probes = to_z, probes
        self._latest: tuple[Tensor, Tensor, bool] | None = None  # draw, its ln q, whether that has a gradient
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """An estimate, [*batch, Z]: f averaged over the probes, which are the same for every distribution."""
        noise = self._probes.view(-1, *[1] * len(self.batch_shape), *self.event_shape)
        values, _ = self._to_z.call_and_ladj(noise.expand(-1, *self.batch_shape, -1))
        return values.mean(0)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """[*sample_shape, *batch, Z]."""
        value, log_prob = self._flow.rsample_and_log_prob(Size(sample_shape))
        self._latest = value, log_prob, torch.is_grad_enabled()
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [*batch]."""
        if self._latest is not None:
            latest, log_prob, with_gradient = self._latest
            if value is latest and (with_gradient or not torch.is_grad_enabled()):
                return log_prob
        return self._flow.log_prob(value)


def antithetic_probes(pairs: int, dimensions: int) -> Tensor:
    """Quasi-random eps ~ N(0, I), so many (a power of two spreads best), and then -eps: [2 pairs, dimensions].

    They are scrambled Sobol points from a seed of their own. What is odd about 0 averages to 0 exactly.
    """
    points = SobolEngine(dimensions, scramble=True, seed=0).draw(pairs, dtype=torch.float64)
    eps = torch.special.ndtri(points.clamp(1e-6, 1 - 1e-6))
    return torch.cat([eps, -eps]).to(torch.get_default_dtype())
