"""Closed-form divergences that torch.distributions does not know."""

from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl

from vae_cli.distributions.rank_one_gaussian import RankOneGaussian
from vae_cli.distributions.sphere import HypersphericalUniform
from vae_cli.distributions.von_mises_fisher import VonMisesFisher


@register_kl(MultivariateNormal, Independent)
def full_against_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    """KL(N(m, L L^T) || N(mu, diag s^2)), nats, shape = the broadcast batch shape."""
    half_log_det = q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return _gaussian_against_diagonal(q.loc, q.variance, half_log_det, p)


@register_kl(RankOneGaussian, Independent)
def rank_one_against_diagonal(q: RankOneGaussian, p: Independent) -> Tensor:
    """KL(N(m, (D + u u^T)^-1) || N(mu, diag s^2)), nats, shape = the broadcast batch shape."""
    return _gaussian_against_diagonal(q.loc, q.variance, q.half_log_det, p)


def _gaussian_against_diagonal(mean: Tensor, variance: Tensor, half_log_det: Tensor, p: Independent) -> Tensor:
    """1/2 sum_i ((C_ii + (m_i - mu_i)^2) / s_i^2 - 1) + sum_i ln s_i - 1/2 ln |C|: of C, its diagonal is enough."""
    if not isinstance(p.base_dist, Normal) or len(p.event_shape) != 1:
        raise NotImplementedError  # as torch does where it knows no closed form
    loc, scale = p.base_dist.loc, p.base_dist.scale  # [*batch, d]
    relative = (variance + (mean - loc).square()) / scale.square() - 1
    return 0.5 * relative.sum(-1) + scale.log().sum(-1) - half_log_det


@register_kl(VonMisesFisher, HypersphericalUniform)
def von_mises_fisher_against_uniform(q: VonMisesFisher, p: HypersphericalUniform) -> Tensor:
    """KL(vMF(mu, kappa) || uniform) = kappa A - g (Davidson et al. 2018), nats, shape = the batch shape of q."""
    assert q.event_shape == p.event_shape
    return q.divergence_from_uniform
