"""Examples that share the value of one factor, drawn from those at hand.

The papers draw new pictures for every pair; here only combinations of factors that the split holds are met. Shape
legend: N examples, F factors.
"""

import numpy as np


class Sharing:
    """The examples of each value of one factor."""

    def __init__(self, factor: np.ndarray) -> None:
        """Its values, [N], whole numbers from 0."""
        self._factor = factor
        self._counts = np.bincount(factor)
        self._starts = self._counts.cumsum() - self._counts
        self._order = np.argsort(factor, kind="stable")

    def partners(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each of some rows one of the same value, evenly with replacement: any shape, [*rows]."""
        values = self._factor[rows]
        return self._order[self._starts[values] + (rng.random(rows.shape) * self._counts[values]).astype(np.int64)]

    def not_alone(self) -> np.ndarray:
        """Rows of values that two examples or more have."""
        return np.flatnonzero(self._counts[self._factor] > 1)


def telling(factors: np.ndarray) -> np.ndarray:
    """Which factors have two values or more that each occur twice or more, [F] in bool: others cannot be judged."""
    return np.array([(np.bincount(factor) > 1).sum() > 1 for factor in factors.T], bool)
