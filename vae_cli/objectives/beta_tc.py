"""A KL that is taken apart by the aggregate posterior, so that its total correlation can weigh more than the rest.

Shape legend: B batch, Z dimensions, N training examples.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vae_cli.distributions.marginals import factors
from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import elbo_terms
from vae_cli.objectives.requirements import only_site
from vae_cli.schedules import constant
from vae_cli.types import Batch, Model, Objective, Site, Spec, Terms

Weigh = Callable[[Tensor], Tensor]  # ln q(z_m | x_n) -> ln of the weight of n in q(z_m), [B, B] each


class BetaTC(Objective):
    """E_q[ln p(x | z)] - alpha MI - beta TC - gamma DW: the beta-TCVAE (Chen et al. 2018, eq. 4).

    With q(z) = 1/N sum_n q(z | x_n) over the training examples, and one draw of z for each example of the batch:

        MI = E[ln q(z | x) - ln q(z)], the mutual information of z and the number of the example,
        TC = E[ln q(z) - sum_j ln q(z_j)], the total correlation of the dimensions,
        DW = sum_j E[ln q(z_j) - ln p(z_j)], the KL of each dimension.

    Their sum is the KL, estimated with the same draws; `kl` and `elbo` have it in closed form. q(z) and q(z_j) are
    estimated from the batch. N is the number of training examples in validation and test too: their batches stand for
    a training set of that size, so that the figures compare with those of training.

    Args:
        beta: weight of the total correlation, 0 or more.
        alpha: weight of the mutual information, 0 or more.
        gamma: weight of the KL of each dimension, 0 or more.
        estimator: of q(z): `stratified`, which is unbiased, or `weighted`, which theirs is by default.
    """

    def __init__(self, data: Spec, model: Model, *, beta: float, alpha: float, gamma: float, estimator: str) -> None:
        super().__init__()
        if not (0 <= beta < math.inf):
            raise ConfigError(f"beta={beta}: the weight of the total correlation is a number of 0 or more")
        for name, weight in (("alpha", alpha), ("gamma", gamma)):
            if not (0 <= weight < math.inf):
                raise ConfigError(f"objective.{name}={weight}: a weight is a number of 0 or more")
        if estimator not in _ESTIMATORS:
            raise ConfigError(f"objective.estimator={estimator}: unknown; choose one of {', '.join(_ESTIMATORS)}")
        self.schedules = {"beta": constant(beta)}
        self._alpha, self._gamma = alpha, gamma
        self._weigh: Weigh = lambda joint: _ESTIMATORS[estimator](joint, data.size)

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = alpha mutual_information + beta total_correlation + gamma dimension_wise_kl - reconstruction."""
        trace = model(batch)
        terms = elbo_terms(trace)
        parts = _decomposed(only_site(trace, "beta_tc"), self._weigh)
        penalty = (
            self._alpha * parts["mutual_information"]
            + weights["beta"] * parts["total_correlation"]
            + self._gamma * parts["dimension_wise_kl"]
        )
        return {"loss": penalty - terms["reconstruction"], **terms, **parts}


def _decomposed(site: Site, weigh: Weigh) -> Terms:
    """Mutual information, total correlation and the KL of each dimension, nats; they add up to that of the draws.

    Raises:
        ConfigError: where dimensions depend on each other in q(z | x) or p(z), or p(z) on the example.

    """
    q, p = factors(site.q), factors(site.p)
    if q is None or p is None:
        raise ConfigError(
            f"objective=beta_tc needs independent dimensions in q(z | x) and p(z), and {type(site.q).__name__} and "
            f"{type(site.p).__name__} are not both of that kind: use posterior=diagonal and prior=standard"
        )
    if site.p.batch_shape:
        raise ConfigError(
            "objective=beta_tc needs one p(z) to compare q(z) with, and this prior depends on the condition: use "
            "prior=standard"
        )
    z = site.value[0]  # [B, Z]
    each = q.log_prob(z.unsqueeze(1))  # ln q(z_mj | x_n), [B, B, Z]
    joint = each.sum(-1)
    log_weights = weigh(joint)
    log_q = (log_weights + joint).logsumexp(1)  # [B]
    log_marginals = (log_weights.unsqueeze(-1) + each).logsumexp(1).sum(-1)  # [B]
    return {
        "mutual_information": (joint.diagonal() - log_q).mean(),
        "total_correlation": (log_q - log_marginals).mean(),
        "dimension_wise_kl": (log_marginals - site.p.log_prob(z)).mean(),
    }


def _stratified(joint: Tensor, examples: int) -> Tensor:
    """Minibatch stratified sampling (appendix C.2): 1/N for a draw's own example, (N - 1) / (N (B - 1)) for the others.

    So q(z) is unbiased, and exact where the batch is the whole data set. In the paper one of the others weighs
    (N - B + 1) / (N (B - 1)) and the rest 1 / (B - 1); which one is arbitrary, and this is the mean over it. The
    authors' code and ports of it walk through the matrix of weights one entry a row short, so that every row has the
    weight 1/N in its first column, not at its own example. A batch of 1 has no others: q(z) = q(z | x), and all of the
    KL is that of each dimension.
    """
    batch = len(joint)
    other = (1 - 1 / examples) / (batch - 1) if batch > 1 else 0.0
    return torch.full_like(joint, other).fill_diagonal_(1 - (batch - 1) * other).log()


def _weighted(joint: Tensor, examples: int) -> Tensor:
    """Minibatch weighted sampling (appendix C.1): 1 / (N B) for all.

    Each density is too low by a factor of up to N, and the total correlation too high by up to (Z - 1) ln N.
    """
    return torch.full_like(joint, -math.log(examples * len(joint)))


_ESTIMATORS: dict[str, Callable[[Tensor, int], Tensor]] = {"stratified": _stratified, "weighted": _weighted}
