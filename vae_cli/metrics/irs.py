"""The interventional robustness score (Suter et al. 2019, eqs. 7 to 10): one factor fixed, how far do codes move?

Shape legend: N examples, Z dimensions of the codes, F factors.
"""

import numpy as np

_QUANTILE = 0.99  # of the distances within a group, in place of the largest: as in disentanglement_lib


def interventional_robustness(codes: np.ndarray, factors: np.ndarray) -> float:
    """Mean over dimensions, weighted by how far they move, of the best factor's 1 - distance moved / largest distance.

    The distance that a dimension moves while factor j is fixed is the 0.99 quantile of |z - mean| among the examples of
    one value of it, averaged over its values. It needs many examples of each value: few lie close together by chance.

    Args:
        codes: [N, Z].
        factors: [N, F].
    """
    moving = codes[:, np.ptp(codes, 0) > 0]
    if not moving.shape[1]:
        return 0.0
    largest = abs(moving - moving.mean(0)).max(0)
    moved = np.stack([_moved(moving, factor) for factor in factors.T])  # [F, Z]
    return float(np.average((1 - moved / largest).max(0), weights=largest))


def _moved(codes: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Averaged over the values of one factor, [Z]."""
    groups = (codes[factor == value] for value in np.unique(factor))
    return np.mean([np.quantile(abs(group - group.mean(0)), _QUANTILE, axis=0) for group in groups], axis=0)
