"""p(x | z) for binary x: one logit a coordinate (Kingma & Welling 2014, appendix C.1)."""

from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

from vae_cli.types import Binary, Head, Spec


class BernoulliHead(Head):
    """Independent Bernoulli variables; features are their logits, [*batch, *X]."""

    models = (Binary,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.param_shape = self.embed_shape = spec.shape

    def forward(self, h: Tensor) -> Distribution:
        """Logits [*batch, *X] -> p(x | z)."""
        return Independent(Bernoulli(logits=h, validate_args=False), len(self.param_shape), validate_args=False)
