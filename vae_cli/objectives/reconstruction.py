"""No bound: what a plain autoencoder minimises."""

from collections.abc import Mapping

from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.objectives.requirements import prior_has_parameters
from vae_cli.types import Batch, Model, Objective, Spec, Terms


class Reconstruction(Objective):
    """E_q[ln p(x | z)] alone. There is no KL, so no elbo is reported: with posterior=delta there is none.

    Raises:
        ConfigError: where the prior has parameters, which nothing would train.
    """

    bounds = False

    def __init__(self, data: Spec, model: Model) -> None:
        super().__init__()
        if not model.latents:
            raise ConfigError(
                "objective=reconstruction trains a code, and this structure has none: use objective=elbo, which is "
                "ln p(x | c) there"
            )
        if len(model.latents) > 1:
            raise ConfigError(
                "objective=reconstruction trains no prior, and several latent variables need one: use elbo"
            )
        if prior_has_parameters(model):
            raise ConfigError("objective=reconstruction trains no prior: use prior=standard, or objective=elbo")
        self.schedules = {}

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -reconstruction."""
        trace = model(batch)
        reconstruction = trace.average(trace.log_px)
        return {"loss": -reconstruction, "reconstruction": reconstruction}
