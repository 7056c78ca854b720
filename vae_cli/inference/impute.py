"""What is missing of x, given what is there: draws of p(x_m | x_o).

Metropolis within Gibbs (Mattei & Frellsen 2018, algorithm 2): z is proposed by the encoder, which reads x with its
missing part filled in, and accepted so that p(z | x) stays; then the missing part is drawn from p(x_m | z). Without the
acceptance it is the pseudo-Gibbs sampler of Rezende et al. (2014, appendix F), which the first steps are.

Shape legend: B batch, X data event.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import log_weights
from vae_cli.types import Batch, Model, Values

_WARM_UP = 0.1  # of the steps, in which every proposal is taken
_MOST = 1_000_000


@dataclass(frozen=True)
class Imputing:
    """How it is done.

    Args:
        steps: of each chain.

    Raises:
        ConfigError: for a number out of range.

    """

    steps: int

    def __post_init__(self) -> None:
        if not (2 <= self.steps <= _MOST):
            raise ConfigError(f"impute.steps={self.steps}: 2 to {_MOST}")


@dataclass(frozen=True)
class Imputed:
    """Of every example, [B, *X]; what was observed is as it was."""

    draw: Tensor  # x in the end
    mean_at_draw: Tensor  # of p(x | z) at the z in the end
    mean: Tensor  # of x over the second half of the chain, without the noise of p(x | z)
    acceptance: Tensor  # of the proposals of the second half, [B], between 0 and 1


def imputed(model: Model, batch: Batch, observed: Tensor, how: Imputing) -> Imputed:
    """One chain for each example, which starts at the mean of x over the observed coordinates.

    Args:
        model: in evaluation mode, with a bound.
        batch: x where it is observed; the rest is not looked at.
        observed: 1 where x is there, 0 where it is missing, [B, *X].

    """
    known = observed.bool()
    chain = _Chain(model, batch, known)
    half, warm_up = how.steps // 2, math.ceil(_WARM_UP * how.steps)
    total, acceptance = torch.zeros_like(batch.x), torch.zeros(len(batch.x), device=batch.x.device)
    for step in range(how.steps):
        chain.step(always=step < warm_up)
        if step >= half:
            total += chain.mean
            acceptance += chain.accepted
    kept = how.steps - half
    mean = torch.where(known, batch.x, total / kept)
    return Imputed(chain.x, torch.where(known, batch.x, chain.mean), mean, acceptance / kept)


class _Chain:
    """Of all examples at once: x as filled in, and z."""

    def __init__(self, model: Model, batch: Batch, known: Tensor) -> None:
        self._model, self._batch, self._known = model, batch, known
        observed = torch.where(known, batch.x, 0).flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
        self.x = torch.where(known, batch.x, observed.view(-1, *[1] * (batch.x.ndim - 1)))
        self.mean = self.x  # of p(x | z)
        self.accepted = torch.zeros(len(batch.x), device=batch.x.device)
        self._z: Values | None = None  # [1, B, *Z]

    @torch.no_grad()
    def step(self, always: bool) -> None:
        """A proposal of z, taken or not; then the missing part of x anew."""
        filled = self._batch._replace(x=self.x)
        draw = self._model.passes(filled, self._model.read(filled))
        proposed = draw(1)
        present = proposed if self._z is None else draw(1, self._z)
        gain = (log_weights(proposed) - log_weights(present))[0]  # [B]
        taken = torch.ones_like(gain, dtype=torch.bool) if always else torch.rand_like(gain) < gain.exp()
        self._z = {name: _chosen(taken, site.value, present.sites[name].value) for name, site in proposed.sites.items()}
        self.mean = _chosen(taken, proposed.px.mean, present.px.mean)[0]
        self.x = torch.where(self._known, self._batch.x, _chosen(taken, proposed.px.sample(), present.px.sample())[0])
        self.accepted = gain.clamp(max=0).exp()


def _chosen(taken: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """[1, B, ...] by example."""
    return torch.where(taken.view(1, -1, *[1] * (new.ndim - 2)), new, old)
