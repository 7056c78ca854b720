"""The variational mixture of posteriors: what the encoder says of inputs that are learned (Tomczak & Welling 2018)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from vae_cli.distributions.mixture import GaussianMixture
from vae_cli.errors import ConfigError
from vae_cli.priors.mixture import check_components
from vae_cli.types import Infer, Prior, Real, Spec, Tokens, UnitSphere


class Vamp(Prior):
    """p(z) = 1/K sum_k q(z | u_k) (Tomczak & Welling 2018, eq. 9).

    Its gradient reaches the pseudo-inputs u and the encoder. Where x lies in [0, 1], so does u: it is cut off there.

    Args:
        components: K.
        from_data: whether u starts as training examples, evenly spaced; else as `mean`, the same for every coordinate.
        mean: see above; not read with `from_data`.
        std: of the normal noise that u starts with, besides.

    Raises:
        ConfigError: where there is a condition, which u lacks; for data that is not made of numbers; for a number out
            of range.

    """

    models = (Real, UnitSphere)
    uses_encoder = True

    def __init__(self, latent: Spec, data: Spec, *, components: int, from_data: bool, mean: float, std: float) -> None:
        super().__init__()
        check_components(components)
        if data.condition is not None:
            raise ConfigError(
                "prior=vamp knows pseudo-inputs x without a condition: choose condition=none, or "
                "prior=conditional_mixture"
            )
        if isinstance(data.support, Tokens):
            raise ConfigError("prior=vamp learns inputs that are numbers, and x holds tokens: use prior=mixture")
        if not (0 <= std < math.inf) or not math.isfinite(mean):
            raise ConfigError(f"prior.mean={mean} prior.std={std}: a number, and a standard deviation of 0 or more")
        self._cut_off = not isinstance(data.support, Real)
        start = _examples(data, components) if from_data else torch.full((components, *data.shape), mean)
        self.inputs = nn.Parameter(self._within(start + std * torch.randn_like(start)))

    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """Batch shape []; one pass of the encoder over all pseudo-inputs."""
        q = infer(self.pseudo_inputs, None)
        components = q.batch_shape.numel()
        if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
            even = q.base_dist.loc.new_full((components,), -math.log(components))
            return GaussianMixture(even, q.base_dist.loc, q.base_dist.scale)
        even = Categorical(logits=self.inputs.new_zeros(components), validate_args=False)
        return MixtureSameFamily(even, q, validate_args=False)

    @property
    def pseudo_inputs(self) -> Tensor:
        """u, as the encoder reads them, [K, *X]."""
        return self._within(self.inputs)

    def pictures(self) -> Mapping[str, Tensor]:
        """The pseudo-inputs."""
        return {"pseudo_inputs": self.pseudo_inputs}

    def _within(self, values: Tensor) -> Tensor:
        return values.clamp(0, 1) if self._cut_off else values


def _examples(data: Spec, num: int) -> Tensor:
    """So many training examples, [num, *X]; zeros where the data is not at hand and weights are about to be loaded."""
    if data.examples is None:
        return torch.zeros(num, *data.shape)
    if num > data.size:
        raise ConfigError(
            f"prior.from_data=true: there are {data.size} training examples for prior.components={num} pseudo-inputs"
        )
    return data.examples(num)
