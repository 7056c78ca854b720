"""How well groups found without labels agree with the labels.

Shape legend: N examples, Z dimensions of the codes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

_STARTS = 10


@dataclass(frozen=True)
class Agreement:
    """Three scores, 1 at best."""

    accuracy: float  # with each cluster named as one class, no two alike, as well as can be
    nmi: float  # mutual information over the arithmetic mean of the entropies
    ari: float  # adjusted Rand index: 0 on average by chance


def agreement(clusters: np.ndarray, labels: np.ndarray) -> Agreement:
    """Of two lists of whole numbers, [N] each; neither's numbering matters."""
    table = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return Agreement(
        float(table[rows, columns].sum() / len(labels)),
        float(normalized_mutual_info_score(labels, clusters)),
        float(adjusted_rand_score(labels, clusters)),
    )


def k_means(codes: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Clusters of codes [N, Z], the best of ten starts, [N]; fewer where fewer codes differ."""
    distinct = len(np.unique(codes, axis=0))
    starts: Any = _STARTS  # scikit-learn's own annotation knows of words only
    state = int(np.random.default_rng(seed).integers(2**31))
    return KMeans(min(clusters, distinct), n_init=starts, random_state=state).fit_predict(codes)
