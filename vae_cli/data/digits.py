"""1,797 real handwritten digits of 8 x 8 pixels that come with scikit-learn (Alpaydin & Kaynak 1998)."""

import torch
from sklearn.datasets import load_digits

from vae_cli.data.base import Rows, Source, random_split
from vae_cli.types import Levels


def digits(*, val: int, test: int) -> Source:
    """17 grey levels, [1, 8, 8], labels 0 .. 9; `val` and `test` examples by a fixed permutation, the rest train."""
    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images).to(torch.uint8).unflatten(1, (1, 8, 8))
    rows = Rows(x, torch.from_numpy(labels).long())
    return Source.of(rows, random_split(len(rows), val, test), support=Levels(17))
