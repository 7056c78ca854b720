"""Mutual information of codes and factors, after sorting each dimension of the codes into bins of equal width.

Shape legend: N examples, Z dimensions of the codes, F factors. As in disentanglement_lib (Locatello et al. 2019). The
estimate is too high by about (bins - 1) (values - 1) / 2 N nats where there is no dependence.
"""

import numpy as np
from sklearn.metrics import mutual_info_score


def equal_width(codes: np.ndarray, bins: int) -> np.ndarray:
    """The bin of every value between the least and the largest of its dimension, [N, Z] in 0 .. bins - 1."""
    low, span = codes.min(0), np.ptp(codes, 0)
    places = (codes - low) / np.where(span > 0, span, 1)  # a dimension that never moves lies in one bin
    return np.minimum((places * bins).astype(np.int64), bins - 1)


def information(codes: np.ndarray, factors: np.ndarray, bins: int) -> np.ndarray:
    """I(bin of z_i; v_j), [Z, F], nats."""
    found = [[mutual_info_score(z, v) for v in factors.T] for z in equal_width(codes, bins).T]
    return np.array(found)


def entropies(factors: np.ndarray) -> np.ndarray:
    """H(v_j), [F], nats."""
    return np.array([mutual_info_score(v, v) for v in factors.T])
