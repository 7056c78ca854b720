"""Many small images as one."""

import torch
from torch import Size, Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

_SMALLEST_TILE = 48  # pixels; smaller images are enlarged by a whole factor, so that pixels stay square
_SMALLEST_SIDE, _LONGEST = 3, 8  # pixels, and times the shorter side: what lies beyond is a row of numbers, no image
_LINE = 2  # pixels between tiles


def is_image(shape: Size) -> bool:
    """[H, W], [1, H, W] or [3, H, W], and no mere strip."""
    short, long = sorted(shape[-2:]) if len(shape) in (2, 3) else (0, 0)
    return (len(shape) == 2 or shape[0] in (1, 3)) and short >= _SMALLEST_SIDE and long <= _LONGEST * short


def grid(images: Tensor, shape: Size, columns: int) -> Tensor:
    """Images [N, *shape] with values in [0, 1] (others are cut off), row by row -> one image [C, H, W], uint8."""
    tiles = images.reshape(len(images), -1, *shape[-2:]).clamp(0, 1).mul(255).round().to(torch.uint8)
    factor = max(1, -(-_SMALLEST_TILE // max(shape[-2:])))
    tiles = tiles.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    tiles = F.pad(tiles, (0, _LINE, 0, _LINE), value=128)
    missing = -len(tiles) % columns
    tiles = torch.cat([tiles, tiles.new_full((missing, *tiles.shape[1:]), 128)])
    return laid_out(tiles, columns)


def laid_out(tiles: Tensor, columns: int) -> Tensor:
    """Tiles [R columns, C, h, w], row by row -> one image [C, R h, columns w]."""
    rows = tiles.unflatten(0, (-1, columns))  # [R, columns, C, h, w]
    return rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
