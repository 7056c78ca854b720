"""A bound with z from q, and one with z from the prior, as it is where x is to be predicted."""

from collections.abc import Mapping

from torch import Tensor

from vae_cli.distributions.masked import masked
from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import check_num_samples, elbo_terms
from vae_cli.objectives.requirements import prior_has_parameters
from vae_cli.types import Batch, Model, Objective, Spec, Terms, Trace


class Hybrid(Objective):
    """Alpha ELBO + (1 - alpha) E_p(z|c)[ln p(x | z, c)] (Sohn et al. 2015, eq. 8).

    The second is the bound of a Gaussian stochastic neural network, the same model with q = p(z | c) (their eq. 7); its
    gradient reaches the prior through the draws. A likelihood that keeps an average over passes (gaussian_optimal)
    counts each batch twice. At alpha = 0 q is never trained: `elbo` and `kl` then say nothing, and of `vae-eval` the
    figure with draws of the prior counts.

    Args:
        alpha: weight of the ELBO, between 0 and 1.
        num_samples: draws of z for every example, of q and of the prior each.

    Raises:
        ConfigError: for a number out of range; where there is no condition, no latent variable, or a prior with
            parameters whose draws carry no gradient to them.
    """

    def __init__(self, data: Spec, model: Model, *, alpha: float, num_samples: int) -> None:
        super().__init__()
        if not (0 <= alpha <= 1):
            raise ConfigError(f"objective.alpha={alpha}: the weight of the ELBO is a number between 0 and 1")
        check_num_samples(num_samples)
        if data.condition is None:
            raise ConfigError(
                "objective=hybrid needs a condition, as draws of a p(z) that knows nothing of x cannot predict it: use "
                "objective=elbo, or choose condition=quadrant or condition=label"
            )
        if not model.latents:
            raise ConfigError(
                "objective=hybrid draws latent variables, and this structure has none: use structure=single, or "
                "objective=elbo"
            )
        self.schedules = {}
        self._alpha, self._num_samples = alpha, num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -(alpha elbo + (1 - alpha) gsnn)."""
        trace = model(batch, self._num_samples)
        _check_draws(trace, model)
        terms = elbo_terms(trace)
        px = model.generate(len(batch.x), batch.c, samples=self._num_samples).px
        gsnn = masked(px, batch.mask).log_prob(batch.x).mean()
        return {"loss": -(self._alpha * terms["elbo"] + (1 - self._alpha) * gsnn), **terms, "gsnn": gsnn}


def _check_draws(trace: Trace, model: Model) -> None:
    """ConfigError where the prior learns, and its draws carry no gradient."""
    kinds = [type(site.p).__name__ for site in trace.sites.values() if not site.p.has_rsample]
    if kinds and prior_has_parameters(model):
        raise ConfigError(
            f"objective=hybrid trains the prior through its draws, and those of {kinds[0]} carry no gradient: use "
            "prior=conditional_mlp or prior=conditional, or objective=elbo"
        )
