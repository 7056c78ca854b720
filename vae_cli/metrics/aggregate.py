"""The aggregate posterior q(z) = 1/N sum_n q(z | x_n), as the exact mixture of all N posteriors at hand.

With z_i ~ q(z | x_i) for M of the examples, and means over these draws (Hoffman & Johnson 2016; Chen et al. 2018,
eq. 2):

    E KL(q(z | x) || p(z))  =  I(x; z)  +  KL(q(z) || p(z))
    KL(q(z) || p(z))        =  TC(z)    +  sum_j KL(q(z_j) || p(z_j))

hold exactly between the estimates, as the same draws give all of them. I(x; z) is of x as one of the N examples, so it
cannot exceed ln N. Shape legend: N components, M draws, Z dimensions.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_cli.distributions.log_mean import log_mean_exp
from vae_cli.distributions.marginals import factors

_ARRAYS = 8  # as large as draws x components x dimensions, that `log_prob` and the sums hold at a time

Watch = Callable[[Iterable[Any], str, int], Iterator[Any]]  # a loop, its title, its length -> the loop


@dataclass(frozen=True)
class Aggregate:
    """Estimates of each draw, [M] in float64, nats; their means are the figures."""

    kl: Tensor  # ln q(z | x) - ln p(z)
    mutual_information: Tensor  # ln q(z | x) - ln q(z)
    kl_to_prior: Tensor  # ln q(z) - ln p(z)
    total_correlation: Tensor | None  # ln q(z) - sum_j ln q(z_j); None where p(z) or the marginals have no closed form
    dimension_wise_kl: Tensor | None  # sum_j ln q(z_j) - ln p(z_j)


def aggregate(
    q: Distribution, marginals: Distribution | None, p: Distribution, z: Tensor, own: Tensor, memory: int, watch: Watch
) -> Aggregate:
    """All of them from draws z [M, Z], a few draws at a time.

    Args:
        q: q(z | x_n), batch shape [N].
        marginals: q(z_j | x_n), batch shape [N, Z]; None where there is no closed form.
        p: p(z), batch shape [].
        own: which of the N components each draw came from, [M].
        memory: bytes to take at a time, about.
        watch: shows how far the loop is.
    """
    size = max(1, memory // (_ARRAYS * z.element_size() * q.batch_shape.numel() * z.shape[1]))
    parts = list(zip(z.split(size), own.split(size), strict=True))
    log_q_x, log_q, log_marginals = [], [], []
    by_dimension = None if factors(p) is None else marginals
    for draws, components in watch(parts, "aggregate posterior", len(parts)):
        each = q.log_prob(draws[:, None]).double()  # [M, N]
        log_q_x.append(each.gather(1, components[:, None])[:, 0])
        log_q.append(log_mean_exp(each, 1))
        if by_dimension is not None:
            alone = by_dimension.log_prob(draws[:, None])  # [M, N, Z]
            log_marginals.append(log_mean_exp(alone, 1).double().sum(1))
    told, mixed, log_p = torch.cat(log_q_x), torch.cat(log_q), p.log_prob(z).double()
    alone = torch.cat(log_marginals) if log_marginals else None
    return Aggregate(
        kl=told - log_p,
        mutual_information=told - mixed,
        kl_to_prior=mixed - log_p,
        total_correlation=None if alone is None else mixed - alone,
        dimension_wise_kl=None if alone is None else alone - log_p,
    )
