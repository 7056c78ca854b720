"""Active units: the dimensions of a latent variable that depend on x at all."""

from torch import Tensor

_ACTIVE = 1e-2  # Burda et al. (2016), section 5.2


def active_units(means: Tensor) -> Tensor:
    """Dimensions u with Var_x(E_q[u]) > 0.01 (Burda et al. 2016, section 5.2), [Z] in bool; means [N, Z]."""
    return means.var(0, correction=0) > _ACTIVE
