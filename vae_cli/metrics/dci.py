"""Disentanglement, completeness and informativeness (Eastwood & Williams 2018, section 2).

Shape legend: N examples, Z dimensions of the codes, F factors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier

from vae_cli.metrics.held_out import two_thirds

_TREES, _SMALLEST_LEAF = 50, 5


@dataclass(frozen=True)
class DCI:
    """Three scores between 0 and 1."""

    disentanglement: float  # does each dimension tell of one factor alone?
    completeness: float  # is each factor told by one dimension alone?
    informativeness: float  # accuracy of a factor's value, of examples not fitted on, averaged over factors


def dci(codes: np.ndarray, factors: np.ndarray, seed: int) -> DCI:
    """A random forest for each factor; each split looks at all dimensions.

    disentanglement_lib boosts trees by gradients instead, which takes a hundred times as long where factors have many
    values.

    Args:
        codes: [N, Z].
        factors: [N, F], each with two values or more.
    """
    rng = np.random.default_rng(seed)
    look_at: Any = None  # all dimensions; scikit-learn's own annotation knows of words only
    fitted, judged = two_thirds(len(codes), rng)
    importance, accuracies = [], []
    for factor in factors.T:
        forest = RandomForestClassifier(
            _TREES, max_features=look_at, min_samples_leaf=_SMALLEST_LEAF, random_state=int(rng.integers(2**31))
        )
        forest.fit(codes[fitted], factor[fitted])
        importance.append(forest.feature_importances_)
        accuracies.append(forest.score(codes[judged], factor[judged]))
    relative = np.array(importance).T  # [Z, F]
    return DCI(concentration(relative), concentration(relative.T), float(np.mean(accuracies)))


def concentration(importance: np.ndarray) -> float:
    """Mean over rows, weighted by their sums, of 1 - H(row) / ln(length of a row); 0 where nothing is important.

    Of importance [Z, F], this is disentanglement (eqs. 1 to 3); of its transpose, completeness. Rows of one number are
    as concentrated as can be, 1.
    """
    weights = importance.sum(1)
    rows = importance[weights > 0]
    if not len(rows):
        return 0.0
    spread = entropy(rows, axis=1) / np.log(max(2, rows.shape[1]))
    return float(np.average(1 - spread, weights=weights[weights > 0]))
