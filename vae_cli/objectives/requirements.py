"""What some objectives ask of a model."""

from vae_cli.errors import ConfigError
from vae_cli.types import Model, Prior, Site, Trace


def prior_has_parameters(model: Model) -> bool:
    """Whether there is anything of p(z) to train."""
    return any(next(part.parameters(), None) is not None for part in model.modules() if isinstance(part, Prior))


def prior_uses_encoder(model: Model) -> bool:
    """Whether p(z) is made of q(z | x)."""
    return any(part.uses_encoder for part in model.modules() if isinstance(part, Prior))


def only_site(trace: Trace, objective: str) -> Site:
    """The one latent variable of a model, of which draws were taken.

    Raises:
        ConfigError: where there are several, or the samples are enumerated classes; `objective` is how users call it.

    """
    if trace.weights is not None:
        raise ConfigError(
            f"objective={objective} needs draws of z, but this structure enumerates its classes: use objective=elbo"
        )
    if len(trace.sites) != 1:
        found = f"{len(trace.sites)} ({', '.join(trace.sites)})" if trace.sites else "none"
        raise ConfigError(
            f"objective={objective} is for one latent variable, and this structure has {found}: use structure=single, "
            "or objective=elbo"
        )
    (site,) = trace.sites.values()
    return site
