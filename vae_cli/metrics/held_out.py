"""Examples to fit on, and others to judge by."""

import numpy as np


def two_thirds(examples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to judge by, drawn without replacement; 2 : 1 as in disentanglement_lib."""
    order = rng.permutation(examples)
    cut = (2 * examples + 2) // 3
    return order[:cut], order[cut:]
