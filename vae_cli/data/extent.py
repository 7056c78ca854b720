"""Which values an array holds: from where to where, whether whole, whether 0 and 1 alone."""

from dataclasses import dataclass
from math import inf

import numpy as np


@dataclass(frozen=True)
class Extent:
    """Of all values that were looked at."""

    low: float = inf
    high: float = -inf
    whole: bool = True
    binary: bool = True

    def with_values(self, values: np.ndarray) -> "Extent":
        """And of these."""
        if values.dtype == np.bool_:
            return self.joined(Extent(0, 1))
        integer = np.issubdtype(values.dtype, np.integer)
        low, high = float(values.min()), float(values.max())
        whole = integer or bool((values == np.round(values)).all())
        return self.joined(Extent(low, high, whole, whole and low >= 0 and high <= 1))

    def joined(self, other: "Extent") -> "Extent":
        """Of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Extent(low, high, self.whole and other.whole, self.binary and other.binary)
