"""The only code that folds the sample and batch axes together.

Shape legend: S samples, B batch.
"""

from torch import Tensor, nn


def over_samples(network: nn.Module, h: Tensor, c: Tensor | None) -> Tensor:
    """Apply a network to every sample: h [S, B, *in], c [B, *C] or None -> [S, B, *out]."""
    samples, batch = h.shape[:2]
    if c is not None:
        c = c.expand(samples, *c.shape).flatten(0, 1)  # [S B, *C]
    return network(h.flatten(0, 1), c).unflatten(0, (samples, batch))
