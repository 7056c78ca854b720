"""The importance-weighted bound with another estimate of the encoder's gradient.

Shape legend: S samples, B batch, Z latent event.
"""

from collections.abc import Mapping

from torch import Tensor

from vae_cli.distributions.log_mean import log_mean_exp
from vae_cli.errors import ConfigError
from vae_cli.objectives.bounds import check_num_samples, elbo_terms, log_weights
from vae_cli.objectives.requirements import only_site, prior_uses_encoder
from vae_cli.objectives.routing import with_inference_fixed
from vae_cli.types import Batch, Model, Objective, Spec, Terms


class DReG(Objective):
    """The bound of objective=iwae, its gradient doubly reparameterised (Tucker et al. 2019).

    With v_k = w_k / sum w, encoder and posterior have sum_k v_k^2 (d ln w_k / d z_k) (d z_k / d phi), whose expectation
    is the gradient of objective=iwae and whose noise vanishes as q(z | x) comes to p(z | x); decoder and prior have
    sum_k v_k (d ln w_k / d theta) as there. elbo, reconstruction and kl are those of the same k draws.

    Args:
        num_samples: k, draws of z for every example.

    Raises:
        ConfigError: where the prior is made of the encoder, which then is part of theta as well.

    """

    def __init__(self, data: Spec, model: Model, *, num_samples: int) -> None:
        super().__init__()
        check_num_samples(num_samples)
        if prior_uses_encoder(model):
            raise ConfigError(
                "objective=dreg tells the encoder's gradient from the prior's, and this prior is made of the encoder: "
                "use objective=iwae, or prior=standard"
            )
        self.schedules = {}
        self._num_samples = num_samples

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -bound. Phi moves the draws and nothing else; the draws' gradients are weighed once more."""
        drawn = model(batch, self._num_samples)
        z = only_site(drawn, "dreg").value
        given = {name: site.value for name, site in drawn.sites.items()}

        def judged(fixed: Model) -> tuple[Tensor, Terms]:
            trace = fixed.passes(batch, fixed.read(batch))(self._num_samples, given)
            return log_weights(trace), elbo_terms(trace)

        log_w, terms = with_inference_fixed(model, judged)
        _weigh_gradient(z, log_w.detach().softmax(0))
        bound = log_mean_exp(log_w, 0).mean()
        return {"loss": -bound, "bound": bound, **terms}


def _weigh_gradient(z: Tensor, weights: Tensor) -> None:
    """Multiply the gradient that z [S, B, *Z] will be given by weights [S, B]."""
    if z.requires_grad:  # in validation nothing does
        over_event = weights.view(*weights.shape, *[1] * (z.ndim - 2))
        z.register_hook(lambda gradient: over_event * gradient)
