"""Integrals as sums, whose nodes are made where the integrand lies: none is copied there."""

import math

import torch
from torch import Tensor


def fejer(points: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes x in (0, 1) and weights w, [points] each: the integral of f over (0, 1) is about sum w f(x).

    Fejer's first rule (1933): the nodes are those of Chebyshev; exact for polynomials of a degree below `points`.
    """
    every = {"dtype": like.dtype, "device": like.device}
    angles = (torch.arange(points, **every) + 0.5) * (math.pi / points)
    number = torch.arange(1, points // 2 + 1, **every)
    sums = ((2 * number * angles.unsqueeze(-1)).cos() / (4 * number.square() - 1)).sum(-1)
    return (1 + angles.cos()) / 2, (1 - 2 * sums) / points
