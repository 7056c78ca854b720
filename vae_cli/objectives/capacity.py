"""A KL that is led to a rising capacity."""

import math
from collections.abc import Mapping

from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import elbo_terms
from vae_cli.schedules import linear
from vae_cli.types import Batch, Model, Objective, Spec, Terms


class Capacity(Objective):
    """E_q[ln p(x | z)] - gamma |KL - C(step)| with C rising linearly (Burgess et al. 2018, eq. 8).

    The KL is the whole one, summed over dimensions and averaged over the batch, and the distance is absolute.

    Args:
        gamma: weight of the distance, more than 0.
        capacity: C in the end, nats.
        steps: optimiser steps over which C rises from 0.
    """

    def __init__(self, data: Spec, model: Model, *, gamma: float, capacity: float, steps: int) -> None:
        super().__init__()
        if not (0 < gamma < math.inf):
            raise ConfigError(f"objective.gamma={gamma}: the weight of the distance is a positive number")
        if not (0 <= capacity < math.inf):
            raise ConfigError(f"objective.capacity={capacity}: a KL of 0 nats or more")
        if steps < 1:
            raise ConfigError(f"objective.steps={steps}: the capacity rises over at least 1 step")
        self.schedules = {"capacity": linear(capacity, steps)}
        self._gamma = gamma

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = gamma |kl - C| - reconstruction."""
        terms = elbo_terms(model(batch))
        loss = self._gamma * (terms["kl"] - weights["capacity"]).abs() - terms["reconstruction"]
        return {"loss": loss, **terms}
