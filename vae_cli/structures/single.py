"""One latent variable: p(z | c) p(x | z, c) with q(z | x, c) (Kingma & Welling 2014; Sohn et al. 2015)."""

from torch import Size, Tensor
from torch.distributions import Distribution

from vae_cli.distributions.masked import Masked
from vae_cli.errors import ConfigError
from vae_cli.shapes import over_samples
from vae_cli.types import Batch, Features, Model, Parts, Passes, Real, Site, Spec, Trace


class Single(Model):
    """Encoder, posterior, prior, decoder, likelihood.

    Shape legend: S samples, B batch, Z latent event, X data event.
    """

    def __init__(self, data: Spec, parts: Parts) -> None:
        super().__init__()
        if parts.latent_dim < 1:
            raise ConfigError(f"latent_dim={parts.latent_dim}: the latent needs at least 1 dimension")
        latent = Spec(Size((parts.latent_dim,)), Real(), condition=data.condition, size=data.size)
        self.likelihood = parts.likelihood(data)
        self.posterior = parts.posterior(latent)
        self.encoder = parts.encoder(self.likelihood.embed_shape, self.posterior.param_shape, data.condition)
        self.decoder = parts.decoder(self.posterior.embed_shape, self.likelihood.param_shape, data.condition)
        self.prior = parts.prior(latent, data)

    def infer(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """X [B, *X], c [B, *C] -> q(z | x, c), batch shape [B]."""
        return self.posterior(self._features(x, c))

    def read(self, batch: Batch) -> Features:
        """Of z alone."""
        return {"z": self._features(batch.x, batch.c)}

    def passes(self, batch: Batch, features: Features) -> Passes:
        """Each draws z for every example."""
        q = self.posterior(features["z"])
        p = self.prior(batch.c, self.infer)

        def trace(num_samples: int) -> Trace:
            z = q.rsample(Size((num_samples,)))  # [S, B, Z]
            px = self.decode(z, batch.c)
            return Trace(batch, {"z": Site(z, q, p)}, px if batch.mask is None else Masked(px, batch.mask))

        return trace

    def decode(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """Z [S, B, Z], c [B, *C] -> p(x | z, c), batch shape [S, B]."""
        return self.likelihood(over_samples(self.decoder, self.posterior.embed(z), c))

    def generate(self, num: int, c: Tensor | None = None) -> Distribution:
        """p(x | z, c) at `num` draws from the prior, batch shape [1, num]; c [num, *C]."""
        prior = self.prior(c, self.infer).expand(Size((num,)))
        return self.decode(prior.sample(Size((1,))), c)

    def _features(self, x: Tensor, c: Tensor | None) -> Tensor:
        return self.encoder(self.likelihood.embed(x), c)
