"""Splits that the files themselves name; what they leave out is cut from training."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vae_cli.data.base import Places, count_of, fixed_order

WORDS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
NAMES = ("training", "validation", "test")


def completed_split(split_of: Tensor, val: float, test: float) -> tuple[Places, tuple[str, ...]]:
    """The places of each split, and remarks; a split that has no examples takes some of training's.

    Args:
        split_of: each example's, 0, 1 or 2, [N].
        val, test: fractions of the training examples, or their numbers, by one fixed permutation.

    """
    split_of = split_of.clone()
    training = torch.nonzero(split_of == 0).flatten()
    order, remarks = fixed_order(len(training)), []
    for split, name, share in _missing(split_of, val, test):
        taken, order = order.split([count := count_of(name, share, len(training)), len(order) - count])
        split_of[training[taken]] = split
        remarks.append(f"no {NAMES[split]} examples in the files: {count:,} of training's are taken (dataset.{name})")
    first, second, third = (torch.nonzero(split_of == split).flatten() for split in range(3))
    return (first, second, third), tuple(remarks)


def _missing(split_of: Tensor, val: float, test: float) -> Iterator[tuple[int, str, float]]:
    for split, name, share in ((1, "val", val), (2, "test", test)):
        if not (split_of == split).any():
            yield split, name, share
