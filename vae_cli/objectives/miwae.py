"""Between the ELBO and the importance-weighted bound: MIWAE, CIWAE and PIWAE (Rainforth et al. 2018).

Many draws in one importance-weighted bound drown the encoder's gradient in noise; these keep its signal.
Shape legend: M groups, K draws in each, B batch.
"""

from collections.abc import Mapping

from torch import Tensor

from vae_cli.distributions.log_mean import log_mean_exp
from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import check_num_samples, elbo_terms, importance_weighted, log_weights
from vae_cli.objectives.routing import with_generation_fixed, with_inference_fixed
from vae_cli.types import Batch, Model, Objective, Spec, Terms, Trace


class MIWAE(Objective):
    """1/M sum_m ln 1/K sum_k w_mk: the mean of M importance-weighted bounds of K draws each.

    M = 1 is objective=iwae, K = 1 the ELBO, estimated without the closed form of the KL. elbo, reconstruction and kl
    are those of all M K draws.

    Args:
        groups: M.
        num_samples: K, draws of z for every example in each group.
    """

    def __init__(self, data: Spec, model: Model, *, groups: int, num_samples: int) -> None:
        super().__init__()
        _check_groups(groups)
        check_num_samples(num_samples)
        self.schedules = {}
        self._groups, self._num_samples = groups, num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -bound."""
        trace = model(batch, self._groups * self._num_samples)
        bound = multiply_importance_weighted(trace, self._groups).mean()
        return {"loss": -bound, "bound": bound, **elbo_terms(trace)}


class PIWAE(Objective):
    """The importance-weighted bound of M K draws for decoder and prior, MIWAE for encoder and posterior.

    One pass over the batch each, with draws of its own. `bound` is the first one; elbo, reconstruction and kl are those
    of its draws. A likelihood that keeps an average over passes (gaussian_optimal) counts each batch twice.

    Args:
        groups: M.
        num_samples: K, draws of z for every example in each group.
    """

    def __init__(self, data: Spec, model: Model, *, groups: int, num_samples: int) -> None:
        super().__init__()
        _check_groups(groups)
        check_num_samples(num_samples)
        self.schedules = {}
        self._groups, self._draws = groups, groups * num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -(bound + MIWAE): each parameter has the gradient of one of them alone."""

        def generative(fixed: Model) -> tuple[Tensor, Terms]:
            trace = fixed(batch, self._draws)
            return importance_weighted(trace).mean(), elbo_terms(trace)

        bound, terms = with_inference_fixed(model, generative)
        of_encoder = with_generation_fixed(
            model, lambda fixed: multiply_importance_weighted(fixed(batch, self._draws), self._groups).mean()
        )
        return {"loss": -(bound + of_encoder), "bound": bound, **terms}


class CIWAE(Objective):
    """Beta ELBO + (1 - beta) ln 1/K sum_k w_k; the paper's beta is `weight_of_elbo` here.

    The ELBO is that of the same K draws, with the KL in closed form where there is one; in the paper it is the mean of
    ln w_k.

    Args:
        weight_of_elbo: between 0 (objective=iwae) and 1 (objective=elbo with beta = 1).
        num_samples: K, draws of z for every example.
    """

    def __init__(self, data: Spec, model: Model, *, weight_of_elbo: float, num_samples: int) -> None:
        super().__init__()
        if not (0 <= weight_of_elbo <= 1):
            raise ConfigError(f"objective.weight_of_elbo={weight_of_elbo}: a number between 0 and 1")
        check_num_samples(num_samples)
        self.schedules = {}
        self._weight, self._num_samples = weight_of_elbo, num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -bound, the combination."""
        trace = model(batch, self._num_samples)
        terms = elbo_terms(trace)
        bound = self._weight * terms["elbo"] + (1 - self._weight) * importance_weighted(trace).mean()
        return {"loss": -bound, "bound": bound, **terms}


def multiply_importance_weighted(trace: Trace, groups: int) -> Tensor:
    """1/M sum_m ln 1/K sum_k w_mk for each example, [B], nats; the first K samples are the first group."""
    return log_mean_exp(log_weights(trace).unflatten(0, (groups, -1)), 1).mean(0)


def _check_groups(number: int) -> None:
    if number < 1:
        raise ConfigError(f"objective.groups={number}: at least 1 group of draws is needed")
