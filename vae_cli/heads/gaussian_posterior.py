"""q(z | x): Gaussians whose covariance is a multiple of I, diagonal, full, or diagonal but for one direction.

Each draws z = mu + L eps with eps ~ N(0, I), so that ln q(z | x) = ln N(eps; 0, I) - ln |det L|.
"""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.rank_one_gaussian import RankOneGaussian
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale, softly_limited
from vae_cli.types import Head, Real, Spec, Staged


class Isotropic(Head):
    """N(mu, sigma^2 I): one standard deviation for all dimensions."""

    models = (Real,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.embed_shape = spec.shape
        self.param_shape = Size((spec.shape.numel() + 1,))

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, Z + 1]: means, then one log standard deviation."""
        mean, log_sigma = h[..., :-1], h[..., -1:]
        return independent_gaussian(mean, bounded_scale(log_sigma).expand_as(mean), 1)


class Diagonal(Head):
    """N(mu, diag sigma^2) (Kingma & Welling 2014, eq. 9)."""

    models = (Real,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.embed_shape = spec.shape
        self.param_shape = Size((2 * spec.shape.numel(),))

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 2 Z]: means, then log standard deviations."""
        mean, log_sigma = h.chunk(2, dim=-1)
        return independent_gaussian(mean, bounded_scale(log_sigma), 1)


class Cholesky(Head):
    """N(mu, L L^T) with L lower triangular and its diagonal positive: every covariance."""

    models = (Real,)

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        size = spec.shape.numel()
        self.embed_shape = spec.shape
        self.param_shape = Size((2 * size + size * (size - 1) // 2,))
        # Where each entry of the strictly lower triangle lies in the features; the last, appended, feature is zero.
        # Reading by index builds L without writing in place, which torch.func.vmap refuses.
        below = torch.full((size, size), self.param_shape.numel() - 2 * size)
        rows, columns = torch.tril_indices(size, size, offset=-1)
        below[rows, columns] = torch.arange(len(rows))
        self.register_buffer("_below", below, persistent=False)
        self._below: Tensor
        self._size = size

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 2 Z + Z (Z - 1) / 2]: means, log diagonal of L, then its strictly lower triangle, row by row."""
        mean, log_diagonal, below = h.tensor_split([self._size, 2 * self._size], dim=-1)
        strictly_lower = F.pad(below, (0, 1))[..., self._below]  # [*batch, Z, Z]
        tril = strictly_lower + torch.diag_embed(bounded_scale(log_diagonal))
        return MultivariateNormal(mean, scale_tril=tril, validate_args=False)


class LowRank(Head, Staged):
    """N(mu, (D + u u^T)^-1) with D diagonal (Rezende, Mohamed & Wierstra 2014, section 4.3).

    Features are D^-1/2 u in place of u: what correlates dimensions does not depend on their scales. Softly limited, the
    variance in its direction is at least the (1 + 100 Z)th part.

    Args:
        held_steps: u is zero for so many optimiser steps, which is ours: q is diagonal until the decoder has learned
            which directions matter. It is held, not started at zero: q is even in u, whose gradient would be zero there
            for ever.
    """

    models = (Real,)

    def __init__(self, spec: Spec, *, held_steps: int) -> None:
        super().__init__()
        if held_steps < 0:
            raise ConfigError(f"posterior.held_steps={held_steps}: 0 for none, or more")
        self.embed_shape = spec.shape
        self.param_shape = Size((3 * spec.shape.numel(),))
        self._held_steps, self._held = held_steps, False

    def at(self, step: int) -> None:
        """Hold the direction, or let it go."""
        self._held = step < self._held_steps

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 3 Z]: means, the logs of D^-1/2, then D^-1/2 u."""
        mean, log_scale, direction = h.chunk(3, dim=-1)
        direction = torch.zeros_like(direction) if self._held else softly_limited(direction)
        return RankOneGaussian(mean, bounded_scale(log_scale), direction)
