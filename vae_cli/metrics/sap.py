"""Separated attribute predictability (Kumar et al. 2018, section 3): is one dimension alone enough for each factor?

Shape legend: N examples, Z dimensions of the codes, F factors.
"""

import numpy as np
from sklearn.metrics import recall_score
from sklearn.tree import DecisionTreeClassifier

from vae_cli.metrics.held_out import two_thirds


def separated_predictability(codes: np.ndarray, factors: np.ndarray, seed: int) -> float:
    """Mean over factors of the gap between the two best balanced accuracies that one dimension alone gives.

    Every factor counts as classes, told apart by thresholds on the dimension: one fewer than there are values, as in
    the paper, found greedily. disentanglement_lib fits a linear classifier instead, which cannot tell the middle ones
    of three values. Dimensions that tell nothing reach 1 / values, so ideal codes score 1 - 1 / values.

    Args:
        codes: [N, Z].
        factors: [N, F], each with two values or more.
    """
    fitted, judged = two_thirds(len(codes), np.random.default_rng(seed))
    gaps = []
    for factor in factors.T:
        values = len(np.unique(factor))
        scores = [_balanced_accuracy(z[:, None], factor, fitted, judged, values) for z in codes.T]
        second, best = sorted([1 / values, *scores])[-2:]
        gaps.append(best - second)
    return float(np.mean(gaps))


def _balanced_accuracy(z: np.ndarray, factor: np.ndarray, fitted: np.ndarray, judged: np.ndarray, values: int) -> float:
    tree = DecisionTreeClassifier(max_leaf_nodes=values, class_weight="balanced", random_state=0)
    found = tree.fit(z[fitted], factor[fitted]).predict(z[judged])
    there = np.unique(factor[judged])
    return float(recall_score(factor[judged], found, labels=there, average="macro"))
