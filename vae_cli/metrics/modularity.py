"""Modularity (Ridgeway & Mozer 2018, eqs. 2 and 3): does each dimension tell of one factor alone?

Shape legend: Z dimensions of the codes, F factors.
"""

import numpy as np


def modularity(information: np.ndarray) -> float:
    """Mean over dimensions of 1 - sum_j (m_ij - t_ij)^2 / (theta_i^2 (F - 1)), between 0 and 1.

    theta_i is the largest m_ij, and t_i is theta_i there and 0 elsewhere. Dimensions that tell of no factor at all are
    left out, where disentanglement_lib counts them as 0; where none is left, 0. It is high by chance where factors
    have different numbers of values: what no dimension tells is estimated as more for a factor of more values.

    Args:
        information: m, [Z, F] with two factors or more, nats.
    """
    telling = information[information.max(1) > 0]
    if not len(telling):
        return 0.0
    shares = (telling / telling.max(1, keepdims=True)) ** 2
    return float(1 - ((shares.sum(1) - 1) / (shares.shape[1] - 1)).mean())
