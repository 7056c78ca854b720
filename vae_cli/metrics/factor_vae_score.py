"""The FactorVAE score (Kim & Mnih 2018, section 4): which factor is fixed? The steadiest dimension votes.

Shape legend: N examples, Z dimensions of the codes, F factors, P points.
"""

import numpy as np

from vae_cli.metrics.points import Points
from vae_cli.metrics.sharing import Sharing


def factor_vae_score(codes: np.ndarray, factors: np.ndarray, points: Points, seed: int) -> float:
    """Accuracy of the majority vote on points not counted for it: about 1 / F by chance, 1 at best.

    A point is the dimension that varies least, relative to its variance over all examples, among examples of one value
    of one factor. Values that one example alone has are not drawn.

    Args:
        codes: [N, Z], of which one dimension moves at least; constant ones, which would win every vote, are left out.
        factors: [N, F], each with a value that two examples or more have.
    """
    rng = np.random.default_rng(seed)
    moving = codes[:, np.ptp(codes, 0) > 0]
    scaled = moving / moving.std(0)
    groups = [Sharing(factor) for factor in factors.T]
    kinds = rng.integers(len(groups), size=points.fitted + points.judged)  # [P]
    steadiest = np.array([_steadiest(scaled, groups[kind], points.examples, rng) for kind in kinds])  # [P]
    votes = np.zeros((moving.shape[1], len(groups)), np.int64)
    np.add.at(votes, (steadiest[: points.fitted], kinds[: points.fitted]), 1)
    found = votes.argmax(1)[steadiest[points.fitted :]]
    return float((found == kinds[points.fitted :]).mean())


def _steadiest(codes: np.ndarray, group: Sharing, examples: int, rng: np.random.Generator) -> int:
    first = rng.choice(group.not_alone())
    rows = group.partners(np.full(examples, first), rng)
    return int(codes[rows].var(0, ddof=1).argmin())
