"""The beta-VAE score (Higgins et al. 2017, section 3): which factor do pairs share? A linear classifier says.

Shape legend: N examples, Z dimensions of the codes, F factors, P points, L pairs.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from vae_cli.metrics.points import Points
from vae_cli.metrics.sharing import Sharing


def beta_vae_score(codes: np.ndarray, factors: np.ndarray, points: Points, seed: int) -> float:
    """Accuracy on points not fitted on: 1 / F by chance, 1 at best, which rotated codes reach as well.

    A point is the mean of |z - z'| over pairs that share the value of one factor, each pair one of its own. Codes are
    divided by their standard deviations first, unlike in the paper, so that their scale does not matter.

    Args:
        codes: [N, Z], of which one dimension moves at least; what is constant is left out.
        factors: [N, F], each with two values or more.
    """
    rng = np.random.default_rng(seed)
    moving = codes[:, np.ptp(codes, 0) > 0]
    scaled = moving / moving.std(0)
    groups = [Sharing(factor) for factor in factors.T]
    kinds = rng.integers(len(groups), size=points.fitted + points.judged)  # [P]
    found = np.stack([_mean_difference(scaled, groups[kind], points.examples, rng) for kind in kinds])  # [P, Z]
    classifier = LogisticRegression(max_iter=1000).fit(found[: points.fitted], kinds[: points.fitted])
    return float(classifier.score(found[points.fitted :], kinds[points.fitted :]))


def _mean_difference(codes: np.ndarray, group: Sharing, pairs: int, rng: np.random.Generator) -> np.ndarray:
    first = rng.integers(len(codes), size=pairs)
    return abs(codes[first] - codes[group.partners(first, rng)]).mean(0)
