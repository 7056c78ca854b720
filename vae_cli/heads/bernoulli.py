"""p(x | z) for binary x: one logit a coordinate (Kingma & Welling 2014, appendix C.1)."""

from torch import Tensor
from torch.distributions import Distribution

from vae_cli.distributions.bernoulli import IndependentBernoulli
from vae_cli.types import Binary, Head, Spec


class BernoulliHead(Head):
    """Independent Bernoulli variables; features are their logits, [*batch, *X].

    Args:
        from_mean: features are added to the logits of the training examples' mean, held between 0.001 and 0.999, so
            that training starts at the mean example: the output bias of the code of Burda et al. (2016).
    """

    models = (Binary,)

    def __init__(self, spec: Spec, *, from_mean: bool) -> None:
        super().__init__()
        self.param_shape = self.embed_shape = spec.shape
        start = spec.mean.clamp(0.001, 0.999).logit() if from_mean and spec.mean is not None else None
        self.register_buffer("_start", start)
        self._start: Tensor | None

    def forward(self, h: Tensor) -> Distribution:
        """Logits [*batch, *X] -> p(x | z)."""
        logits = h if self._start is None else h + self._start
        return IndependentBernoulli(logits, len(self.param_shape))
