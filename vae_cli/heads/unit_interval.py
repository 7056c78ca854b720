"""p(x | z) for grey values in [0, 1] as a density."""

from torch import Tensor
from torch.distributions import Distribution, Independent

from vae_cli.distributions.continuous_bernoulli import ContinuousBernoulli
from vae_cli.types import Head, Levels, Spec, UnitInterval


class ContinuousBernoulliHead(Head):
    """C(lambda) lambda^x (1 - lambda)^(1 - x) with its normalising constant (Loaiza-Ganem & Cunningham 2019, eq. 6)."""

    models = (UnitInterval, Levels)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.param_shape = self.embed_shape = spec.shape

    def forward(self, h: Tensor) -> Distribution:
        """Logits of lambda, [*batch, *X] -> p(x | z)."""
        return Independent(ContinuousBernoulli(h), len(self.param_shape), validate_args=False)
