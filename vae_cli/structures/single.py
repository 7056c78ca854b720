"""One latent variable: p(z | c) p(x | z, c) with q(z | x, c) (Kingma & Welling 2014; Sohn et al. 2015)."""

from collections.abc import Sequence

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.distributions.drawing import drawn
from vae_cli.distributions.masked import masked
from vae_cli.errors import ConfigError
from vae_cli.shapes import over_samples
from vae_cli.types import Batch, Features, Generated, Model, Parts, Passes, Real, Site, Spec, Trace, Values


class Single(Model):
    """Encoder, posterior, prior, decoder, likelihood.

    Shape legend: S samples, B batch, Z latent event, X data event.
    """

    latents = ("z",)

    def __init__(self, data: Spec, parts: Parts) -> None:
        super().__init__()
        if not isinstance(parts.latent_dim, int):
            raise ConfigError(
                f"latent_dim={list(parts.latent_dim)}: structure=single has one latent variable, latent_dim=20; for "
                "several choose structure=hierarchical, top_down, ladder or dlgm"
            )
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

        def trace(num_samples: int, given: Values | None = None) -> Trace:
            z = given["z"] if given else q.rsample(Size((num_samples,)))  # [S, B, Z]
            return Trace(batch, {"z": Site(z, q, p)}, masked(self.decode({"z": z}, batch.c), batch.mask))

        return trace

    def inference_parts(self) -> Sequence[nn.Module]:
        """Encoder and posterior."""
        return self.encoder, self.posterior

    def decode(self, values: Values, c: Tensor | None = None) -> Distribution:
        """Z [S, B, Z], c [B, *C] -> p(x | z, c), batch shape [S, B]."""
        return self.likelihood(over_samples(self.decoder, self.posterior.embed(values["z"]), c))

    def generate(self, num: int, c: Tensor | None = None, temperature: float = 1.0, samples: int = 1) -> Generated:
        """Draws from the prior, z [S, num, Z]; c [num, *C]."""
        values = {"z": drawn(self.prior(c, self.infer), num, temperature, samples)}
        return Generated(values, self.decode(values, c))

    def _features(self, x: Tensor, c: Tensor | None) -> Tensor:
        return self.encoder(self.likelihood.embed(x), c)
