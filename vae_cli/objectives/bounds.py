"""Bounds on ln p(x).

Nats per example: summed over the event, averaged over the batch; every constant of the densities is kept.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from vae_cli.distributions.log_mean import log_mean_exp
from vae_cli.distributions.marginals import factors
from vae_cli.errors import ConfigError
from vae_cli.schedules import constant, cyclical
from vae_cli.types import Batch, Model, Objective, Spec, Terms, Trace


class ELBO(Objective):
    """E_q[ln p(x | z)] - beta KL(q || p): the evidence lower bound at beta = 1 (Kingma & Welling 2014, eq. 3).

    beta weighs the KL in `loss` alone (Higgins et al. 2017, eq. 4); `elbo` is the bound whatever beta is.

    Args:
        beta: weight of the KL, 0 or more.
        warmup_steps: beta rises linearly from 0 over so many optimiser steps; 0 for none.
        cycles: how often it does; in each it stays as long as it rose (Fu et al. 2019).
        free_bits: nats of every latent dimension, averaged over the batch, that cost nothing (Kingma et al. 2016):
            the KL in `loss` is sum_j max(free_bits, KL_j).
        num_samples: draws of z for every example.

    """

    def __init__(
        self,
        data: Spec,
        model: Model,
        *,
        beta: float,
        warmup_steps: int,
        cycles: int,
        free_bits: float,
        num_samples: int,
    ) -> None:
        super().__init__()
        if not (0 <= beta < math.inf):
            raise ConfigError(f"beta={beta}: the weight of the KL is a number of 0 or more")
        if warmup_steps < 0:
            raise ConfigError(f"objective.warmup_steps={warmup_steps}: 0 for none, or more")
        if cycles < 1 or (cycles > 1 and warmup_steps == 0):
            raise ConfigError(f"objective.cycles={cycles}: 1 or more, with objective.warmup_steps above 0 for several")
        if not (0 <= free_bits < math.inf):
            raise ConfigError(f"objective.free_bits={free_bits}: nats a dimension, 0 or more")
        check_num_samples(num_samples)
        self.schedules = {"beta": cyclical(beta, warmup_steps, cycles) if warmup_steps else constant(beta)}
        self._free_bits, self._num_samples = free_bits, num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -(reconstruction - beta kl), and the terms of the bound from the same trace."""
        trace = model(batch, self._num_samples)
        terms = elbo_terms(trace)
        charged = charged_kl(trace, self._free_bits) if self._free_bits else terms["kl"]
        return {"loss": weights["beta"] * charged - terms["reconstruction"], **terms}


class IWAE(Objective):
    """ln 1/k sum_i w_i with w_i = p(x, z_i) / q(z_i | x): the importance-weighted bound (Burda et al. 2016, eq. 8).

    Its gradient is that of autograd through the log-mean-exp, which weighs sample i by w_i / sum w (their eq. 14).
    elbo, reconstruction and kl are those of the same k draws.

    Args:
        num_samples: k, draws of z for every example; k = 1 is the ELBO, estimated without the closed form of the KL.
    """

    def __init__(self, data: Spec, model: Model, *, num_samples: int) -> None:
        super().__init__()
        check_num_samples(num_samples)
        self.schedules = {}
        self._num_samples = num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -bound."""
        trace = model(batch, self._num_samples)
        bound = importance_weighted(trace).mean()
        return {"loss": -bound, "bound": bound, **elbo_terms(trace)}


def check_num_samples(number: int) -> None:
    """ConfigError for fewer draws than one."""
    if number < 1:
        raise ConfigError(f"objective.num_samples={number}: at least 1 draw is needed")


def importance_weighted(trace: Trace) -> Tensor:
    """Ln 1/S sum_s w_s for each example, [B], nats (Burda et al. 2016, eq. 8)."""
    return log_mean_exp(log_weights(trace), 0)


def log_weights(trace: Trace) -> Tensor:
    """Ln w = ln p(x, z) - ln q(z | x) of every draw, [S, B], nats.

    Raises:
        ConfigError: where the samples are enumerated classes, not draws.
    """
    if trace.weights is not None:
        raise ConfigError(
            "IWAE averages Monte Carlo samples, but this structure enumerates its classes: use objective=elbo"
        )
    return trace.log_px - sum(site.log_ratio() for site in trace.sites.values())


@dataclass(frozen=True)
class Bounds:
    """Of every example, [B], nats, float64."""

    reconstruction: Tensor  # E_q[ln p(x | z)]
    kl: Tensor  # in closed form where there is one
    importance_weighted: Tensor  # ln 1/K sum_k w_k (Burda et al. 2016, eq. 8)

    @property
    def elbo(self) -> Tensor:
        """Below ln p(x) in expectation, as `importance_weighted` is, and lower."""
        return self.reconstruction - self.kl


def bounds_of(traces: Iterable[Trace]) -> Bounds:
    """From passes over the same examples, one in memory at a time, whose draws count alike.

    Raises:
        ConfigError: where the samples are enumerated classes, not draws.
    """
    parts = [_sums(trace) for trace in traces]
    number = sum(part[0] for part in parts)
    reconstruction, kl, log_w = (torch.stack(column) for column in list(zip(*parts, strict=True))[1:])  # [parts, B]
    return Bounds(reconstruction.sum(0) / number, kl.sum(0) / number, log_w.logsumexp(0) - math.log(number))


def _sums(trace: Trace) -> tuple[int, Tensor, Tensor, Tensor]:
    """Number of draws; sums over them of ln p(x | z) and of the KL, ln sum_s w_s, [B]."""
    log_w = log_weights(trace).double()
    kl = sum((site.kl().double().sum(0) for site in trace.sites.values()), torch.zeros_like(log_w[0]))
    return len(log_w), trace.log_px.double().sum(0), kl, log_w.logsumexp(0)


def charged_kl(trace: Trace, free: float) -> Tensor:
    """Sum over sites and dimensions j of max(free, E_batch[KL_j]), 0-d, nats (free bits, Kingma et al. 2016).

    Raises:
        ConfigError: where the KL is not a sum over dimensions.
    """
    charged = torch.zeros(())
    for site in trace.sites.values():
        q, p = factors(site.q), factors(site.p)
        if q is None or p is None or trace.weights is not None:
            raise ConfigError(
                f"objective.free_bits={free}: the KL of {type(site.q).__name__} to {type(site.p).__name__} is not a "
                "sum over dimensions: use posterior=diagonal and prior=standard, or objective.free_bits=0"
            )
        charged = charged + kl_divergence(q, p).flatten(0, -2).mean(0).clamp(min=free).sum()
    return charged


def elbo_terms(trace: Trace) -> Terms:
    """Elbo = reconstruction - kl, with kl the sum of kl/<site>: batch means, 0-d, nats."""
    reconstruction = trace.average(trace.log_px)
    kls = {f"kl/{name}": trace.average(site.kl()) for name, site in trace.sites.items()}
    kl = reduce(torch.add, kls.values()) if kls else torch.zeros_like(reconstruction)
    return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, **kls}
