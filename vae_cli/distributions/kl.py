"""Closed-form divergences between Gaussians that torch.distributions does not know."""

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl


@register_kl(MultivariateNormal, Independent)
def full_against_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    """KL(N(m, L L^T) || N(mu, diag s^2)), nats, shape = the broadcast batch shape.

    1/2 (sum_ij (L_ij / s_i)^2 + sum_i ((m_i - mu_i) / s_i)^2 - d) + sum_i ln s_i - ln |det L|.
    """
    if not isinstance(p.base_dist, Normal) or len(p.event_shape) != 1:
        raise NotImplementedError  # as torch does where it knows no closed form
    loc, scale = p.base_dist.loc, p.base_dist.scale  # [*batch, d]
    tril = q.scale_tril  # [*batch, d, d]
    trace = (tril / scale.unsqueeze(-1)).square().sum((-2, -1))
    distance = ((q.loc - loc) / scale).square().sum(-1)
    log_det = scale.log().sum(-1) - torch.diagonal(tril, dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (trace + distance - loc.shape[-1]) + log_det
