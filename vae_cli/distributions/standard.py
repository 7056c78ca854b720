"""Standard noise, drawn as torch.distributions draws it, so that it can be recorded, replayed and made by example."""

from collections.abc import Sequence

import torch
from torch import Tensor


def standard_normal(shape: Sequence[int], like: Tensor) -> Tensor:
    """N(0, 1), of the type and on the device of another tensor."""
    return torch.empty(tuple(shape), dtype=like.dtype, device=like.device).normal_()


def standard_uniform(shape: Sequence[int], like: Tensor) -> Tensor:
    """Between 0 and 1, either of which may occur; likewise."""
    return torch.empty(tuple(shape), dtype=like.dtype, device=like.device).uniform_()
