"""Bounds on ln p(x).

Nats per example: summed over the event, averaged over the batch; every constant of the densities is kept.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.schedules import constant
from vae_cli.types import Batch, Model, Objective, Spec, Terms, Trace


class ELBO(Objective):
    """E_q[ln p(x | z)] - beta KL(q || p): the evidence lower bound at beta = 1 (Kingma & Welling 2014, eq. 3).

    beta weighs the KL in `loss` alone (Higgins et al. 2017, eq. 4); `elbo` is the bound whatever beta is.

    Args:
        beta: weight of the KL, 0 or more.
        num_samples: draws of z for every example.

    """

    def __init__(self, data: Spec, model: Model, *, beta: float, num_samples: int) -> None:
        super().__init__()
        if not (0 <= beta < math.inf):
            raise ConfigError(f"beta={beta}: the weight of the KL is a number of 0 or more")
        if num_samples < 1:
            raise ConfigError(f"objective.num_samples={num_samples}: at least 1 draw is needed")
        self.schedules = {"beta": constant(beta)}
        self._num_samples = num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -(reconstruction - beta kl), and the terms of the bound from the same trace."""
        terms = elbo_terms(model(batch, self._num_samples))
        loss = weights["beta"] * terms["kl"] - terms["reconstruction"]
        return {"loss": loss, **terms}


class IWAE(Objective):
    """ln 1/k sum_i w_i with w_i = p(x, z_i) / q(z_i | x): the importance-weighted bound (Burda et al. 2016, eq. 8).

    Its gradient is that of autograd through the log-mean-exp, which weighs sample i by w_i / sum w (their eq. 14).
    elbo, reconstruction and kl are those of the same k draws.

    Args:
        num_samples: k, draws of z for every example; k = 1 is the ELBO, estimated without the closed form of the KL.
    """

    def __init__(self, data: Spec, model: Model, *, num_samples: int) -> None:
        super().__init__()
        if num_samples < 1:
            raise ConfigError(f"objective.num_samples={num_samples}: at least 1 draw is needed")
        self.schedules = {}
        self._num_samples = num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -bound."""
        trace = model(batch, self._num_samples)
        bound = importance_weighted(trace).mean()
        return {"loss": -bound, "bound": bound, **elbo_terms(trace)}


def importance_weighted(trace: Trace) -> Tensor:
    """Ln 1/S sum_s w_s for each example, [B], nats (Burda et al. 2016, eq. 8).

    Raises:
        ConfigError: where the samples are enumerated classes, not draws.
    """
    if trace.weights is not None:
        raise ConfigError(
            "IWAE averages Monte Carlo samples, but this structure enumerates its classes: use objective=elbo"
        )
    log_weights = trace.px.log_prob(trace.batch.x) - sum(site.log_ratio() for site in trace.sites.values())  # [S, B]
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def elbo_terms(trace: Trace) -> Terms:
    """Elbo = reconstruction - kl, with kl the sum of kl/<site>: batch means, 0-d, nats."""
    reconstruction = trace.expect(trace.px.log_prob(trace.batch.x)).mean()
    kls = {f"kl/{name}": trace.expect(site.kl()).mean() for name, site in trace.sites.items()}
    kl = torch.stack(list(kls.values())).sum() if kls else torch.zeros_like(reconstruction)
    return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, **kls}
