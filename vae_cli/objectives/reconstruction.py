"""No bound: what a plain autoencoder minimises."""

from collections.abc import Mapping

from torch import Tensor

from vae_cli.types import Batch, Model, Objective, Spec, Terms


class Reconstruction(Objective):
    """E_q[ln p(x | z)] alone. There is no KL, so no elbo is reported: with posterior=delta there is none."""

    def __init__(self, data: Spec, model: Model) -> None:
        super().__init__()
        self.schedules = {}

    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """Loss = -reconstruction."""
        trace = model(batch)
        reconstruction = trace.expect(trace.px.log_prob(batch.x)).mean()
        return {"loss": -reconstruction, "reconstruction": reconstruction}
