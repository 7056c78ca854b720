"""The mutual information gap (Chen et al. 2018, eq. 5): is each factor told by one dimension, and by no second?

Shape legend: Z dimensions of the codes, F factors.
"""

import numpy as np


def mutual_information_gap(information: np.ndarray, entropies: np.ndarray) -> float:
    """Mean over factors of (largest - second largest I(z_i; v_j)) / H(v_j), between 0 and 1.

    A second dimension that does not exist tells nothing.

    Args:
        information: [Z, F], nats.
        entropies: of the factors, [F], nats, each above 0.
    """
    none = np.zeros_like(information[:1])
    second, largest = np.sort(np.concatenate([none, information]), axis=0)[-2:]
    return float(((largest - second) / entropies).mean())
