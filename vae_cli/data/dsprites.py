"""dSprites: 737,280 white shapes, one for each combination of five factors, 64 x 64 (Matthey et al. 2017).

All 3.0 GB are held once, and validation and test copied out of them: the memory needed is (1 + val + test) of that.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import Places, Rows, Source, factors_of, fraction_split
from vae_cli.data.folder import DataFolder
from vae_cli.data.numpy_files import damaged, read_npz
from vae_cli.types import Binary

_FACTORS = ("shape", "scale", "orientation", "pos_x", "pos_y")  # behind the colour, which is always white
_CHUNK = 10_000  # rows that are moved at once


def dsprites(*, folder: DataFolder, images: Sequence[str], val: float, test: float) -> Source:
    """0 and 1, [1, 64, 64], with the class of every factor.

    Args:
        val, test: fractions, by one fixed permutation; the rest train.

    """
    path = folder.find(images)
    pixels, classes = read_npz(path, ["imgs", "latents_classes"])
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.max(initial=0) > 1:
        raise damaged(path, f"its images are {pixels.dtype} {pixels.shape} up to {pixels.max(initial=0)}")
    if not np.issubdtype(classes.dtype, np.integer) or classes.shape != (len(pixels), 1 + len(_FACTORS)):
        raise damaged(path, f"the classes of its {len(pixels)} images are {classes.dtype} {classes.shape}")
    factors = torch.from_numpy(classes[:, 1:].astype(np.int64))
    rows = Rows(torch.from_numpy(pixels).unsqueeze(1), factors=factors)
    train, second, third = fraction_split(len(rows), val, test)
    places = train.sort().values, second, third
    return Source(*_split(rows, places), Binary(), factors_of(factors, _FACTORS), places)


def _split(rows: Rows, places: Places) -> tuple[Rows, Rows, Rows]:
    """The rows at these places; those for training, which ascend, stay where all rows were, moved together."""
    kept, *taken = places
    second, third = (rows.take(index) for index in taken)
    return rows.each(lambda values: _moved_together(values, kept)), second, third


def _moved_together(values: Tensor, kept: Tensor) -> Tensor:
    """`values[kept]`, in place: `kept` ascends, so what is overwritten was read before."""
    for start in range(0, len(kept), _CHUNK):
        index = kept[start : start + _CHUNK]
        values[start : start + len(index)] = values[index]
    return values[: len(kept)]
