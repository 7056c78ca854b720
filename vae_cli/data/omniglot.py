"""Omniglot: 1,623 handwritten characters of 50 alphabets by 20 drawers each (Lake et al. 2015), at 28 x 28."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import Rows, Source, random_split
from vae_cli.data.folder import DataFolder
from vae_cli.data.numpy_files import damaged, read_npz
from vae_cli.types import Levels

_DRAWN, _SIZE = 105, 28  # pixels across


def omniglot(
    *, folder: DataFolder, background: Sequence[str], evaluation: Sequence[str], val: int, test: int
) -> Source:
    """256 grey levels, ink = 255, [1, 28, 28], labels 0 .. 1622: background characters, then evaluation ones.

    Args:
        val, test: examples of both sets together, by one fixed permutation; the rest train.

    """
    sets = [_read(folder.find(accepted)) for accepted in (background, evaluation)]
    x = torch.cat([drawings for drawings, _ in sets])
    y = torch.cat([sets[0][1], sets[1][1] + sets[0][1].max() + 1])
    return Source.of(Rows(x, y), random_split(len(x), val, test), support=Levels(256))


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """One set: drawings [characters * drawers, 1, 28, 28] and their characters 0, 1, ..."""
    (images,) = read_npz(path, ["images"])
    if images.dtype != np.bool_ or images.ndim != 4 or images.shape[2:] != (_DRAWN, _DRAWN):
        raise damaged(path, f"its images are {images.dtype} {images.shape}")
    characters, drawers = images.shape[:2]
    ink = ~torch.from_numpy(images).flatten(0, 1)  # the file has True for paper
    return shrink(ink, _SIZE).unsqueeze(1), torch.arange(characters).repeat_interleave(drawers)


def shrink(ink: Tensor, size: int) -> Tensor:
    """Squares of 0 and 1 [N, D, D] -> the part of each of `size` x `size` cells that is 1, 0 .. 255 as uint8."""
    weights = _overlaps(size, ink.shape[-1])
    shares = [weights @ some.float() @ weights.T for some in ink.split(1000)]
    return torch.cat([(255 * share).round().to(torch.uint8) for share in shares])


def _overlaps(cells: int, pixels: int) -> Tensor:
    """The part of each cell that each pixel covers, [cells, pixels]; rows add up to 1."""
    ends = torch.arange(1, cells + 1).unsqueeze(1) * pixels / cells
    ends_of_pixels = torch.arange(1, pixels + 1)
    common = torch.minimum(ends, ends_of_pixels) - torch.maximum(ends - pixels / cells, ends_of_pixels - 1)
    return common.clamp(min=0) * cells / pixels
