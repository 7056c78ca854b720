"""What a hierarchy is made of: how it generates, and how it infers; and what both need.

Latent variables are called z1, z2, ..., and z1 is the one nearest to x.

Shape legend: S samples, B batch, Z latent event.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from vae_cli.errors import ConfigError
from vae_cli.types import Features, Infer, Parts, Real, Spec, Values


@dataclass(frozen=True)
class Layers:
    """The latent variables of a hierarchy.

    Args:
        specs: z1 first.
        skip: whether all that depends on a latent variable depends on those above it as well.

    """

    specs: tuple[Spec, ...]
    skip: bool

    @property
    def names(self) -> tuple[str, ...]:
        """z1 first."""
        return tuple(f"z{number}" for number in range(1, len(self.specs) + 1))

    @property
    def downwards(self) -> tuple[str, ...]:
        """The top one first."""
        return self.names[::-1]

    def spec(self, name: str) -> Spec:
        """Of one of them."""
        return self.specs[self.names.index(name)]

    def parents(self, name: str | None) -> tuple[str, ...]:
        """Which it depends on, the nearest first; None: x."""
        above = self.names if name is None else self.names[self.names.index(name) + 1 :]
        return above if self.skip else above[:1]

    def width(self, names: Sequence[str]) -> Size:
        """Of several of them side by side."""
        return Size((sum(self.spec(name).shape.numel() for name in names),))


def layers_of(data: Spec, parts: Parts, skip: bool) -> Layers:
    """From `latent_dim`; a single number is a hierarchy of one.

    Raises:
        ConfigError: where the posterior is over something else than real numbers.

    """
    sizes = (parts.latent_dim,) if isinstance(parts.latent_dim, int) else parts.latent_dim
    specs = tuple(Spec(Size((size,)), Real(), condition=data.condition, size=data.size) for size in sizes)
    if len(specs) > 1 and Real not in parts.posterior(specs[0]).models:
        raise ConfigError(
            "several latent variables have Gaussian priors below the top, and this posterior gives no real numbers: "
            "use posterior=diagonal, or structure=single"
        )
    return Layers(specs, skip)


def beside(values: Sequence[Tensor]) -> Tensor:
    """Vectors side by side; [S, B, *] each, or [B, *]: the same for every sample."""
    batch = torch.broadcast_shapes(*(value.shape[:-1] for value in values))
    return torch.cat([value.expand(*batch, -1) for value in values], -1)


class Generation(nn.Module, ABC):
    """p(x, z | c), from the top."""

    @abstractmethod
    def prior(self, name: str, above: Values, c: Tensor | None, infer: Infer) -> Distribution:
        """The prior of a latent variable given those above it, batch shape [], [B] or [S, B]."""

    @abstractmethod
    def decode(self, values: Values, c: Tensor | None) -> Tensor:
        """Values of all latent variables -> the features that p(x | z, c) is made of, [S, B, *]."""


class Inference(nn.Module, ABC):
    """q(z | x, c)."""

    order: tuple[str, ...]  # in which latent variables are drawn

    @abstractmethod
    def read(self, x: Tensor, c: Tensor | None) -> Features:
        """All that does not depend on draws, x [B, *embedded X]."""

    @abstractmethod
    def posterior(
        self, name: str, features: Features, drawn: Values, c: Tensor | None, prior: Callable[[], Distribution]
    ) -> Distribution:
        """The posterior of a latent variable given those drawn before, batch shape [B] or [S, B].

        Args:
            prior: p of the same variable, given those above it, where these were drawn before.

        """

    @abstractmethod
    def top(self, x: Tensor, c: Tensor | None) -> Distribution:
        """The posterior of the top latent variable given x alone, for priors that need it; ConfigError if none."""


InferenceFactory = Callable[[Layers, Size, Spec, Parts], Inference]  # shape of x as networks read it, data
GenerationFactory = Callable[[Layers, Size, Spec, Parts], Generation]  # shape of the likelihood's features, data
