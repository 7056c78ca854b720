"""Several latent variables, one above another: p(z_L) p(z_{L-1} | z_L) ... p(x | z_1), and q of them all given x."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.distributions.drawing import drawn
from vae_cli.distributions.masked import masked
from vae_cli.structures.layers import GenerationFactory, InferenceFactory, layers_of
from vae_cli.types import Batch, Features, Generated, Model, Parts, Passes, Site, Spec, Trace, Values


class Hierarchical(Model):
    """How it generates and how it infers are parts of their own.

    Shape legend: S samples, B batch, Z latent event, X data event.

    Args:
        generation: p.
        inference: q.
        skip: whether x, and every latent variable, depends on all those above it, not on the next one alone.

    """

    def __init__(
        self, data: Spec, parts: Parts, *, generation: GenerationFactory, inference: InferenceFactory, skip: bool
    ) -> None:
        super().__init__()
        layers = layers_of(data, parts, skip)
        self.latents = layers.downwards
        self.likelihood = parts.likelihood(data)
        self.inference = inference(layers, self.likelihood.embed_shape, data, parts)
        self.generation = generation(layers, self.likelihood.param_shape, data, parts)

    def infer(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """X [B, *X], c [B, *C] -> q of the top latent variable, batch shape [B]."""
        return self.inference.top(self.likelihood.embed(x), c)

    def inference_parts(self) -> Sequence[nn.Module]:
        """Those of q."""
        return [self.inference]

    def read(self, batch: Batch) -> Features:
        """Of every latent variable, what does not depend on draws."""
        return self.inference.read(self.likelihood.embed(batch.x), batch.c)

    def passes(self, batch: Batch, features: Features) -> Passes:
        """Each draws every latent variable, in the order in which it is inferred."""

        def trace(num_samples: int, given: Values | None = None) -> Trace:
            values: dict[str, Tensor] = {}
            prior = cache(lambda name: self.generation.prior(name, values, batch.c, self.infer))
            posteriors: dict[str, Distribution] = {}
            for name in self.inference.order:
                q = self.inference.posterior(name, features, values, batch.c, lambda name=name: prior(name))
                posteriors[name] = q
                values[name] = _value(q, name, num_samples, given or {})
            sites = {name: Site(values[name], q, prior(name)) for name, q in posteriors.items()}
            return Trace(batch, sites, masked(self.decode(values, batch.c), batch.mask))

        return trace

    def decode(self, values: Values, c: Tensor | None = None) -> Distribution:
        """Values, c [B, *C] -> p(x | z, c); what is not given is at the mean of its prior, given those above it."""
        full = dict(values)
        shape = torch.broadcast_shapes(*(value.shape[:2] for value in values.values()))
        for name in self.latents:
            if name not in full:
                mean = self.generation.prior(name, full, c, self.infer).mean  # [*Z], [B, *Z] or [S, B, *Z]
                full[name] = mean.expand(*shape, mean.shape[-1])
        return self.likelihood(self.generation.decode(full, c))

    def generate(self, num: int, c: Tensor | None = None, temperature: float = 1.0, samples: int = 1) -> Generated:
        """From the top down, each [S, num, Z]; c [num, *C]."""
        values: dict[str, Tensor] = {}
        for name in self.latents:
            values[name] = drawn(self.generation.prior(name, values, c, self.infer), num, temperature, samples)
        return Generated(values, self.decode(values, c))


def _value(q: Distribution, name: str, num_samples: int, given: Values) -> Tensor:
    """[S, B, Z]: as given, or a draw from q with batch shape [B] or [S, B]."""
    if name in given:
        return given[name]
    return q.rsample(Size((num_samples,)) if len(q.batch_shape) == 1 else Size())
