"""c = some quadrants of the picture, and the others are to be modelled: p(x_rest | x_given) (Sohn et al. 2015)."""

import torch
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.types import Batch, Condition, Spec

_UNKNOWN = 0.5  # which pixels are unknown is the same in every example, so any value would do
_NAMES = ("bottom left", "top left", "top right")  # in the order in which they are given


class Quadrant(Condition):
    """c is the picture with its unknown pixels at 0.5, [B, *X]; the mask is 1 at these, and x stays whole.

    So q(z | x, c) sees all of x, and the likelihood counts the unknown pixels alone. Given are the bottom left
    quadrant, then the top left, then the top right one, as in Pyro's example of the paper. Where a side is odd, its
    middle line belongs to the lower or right half.

    Args:
        given: how many quadrants, 1 to 3.

    Raises:
        ConfigError: for another number, and where x is no picture.

    """

    def __init__(self, data: Spec, *, given: int) -> None:
        if not (1 <= given <= len(_NAMES)):
            raise ConfigError(f"condition.given={given}: 1, 2 or 3 quadrants of the picture")
        if len(data.shape) not in (2, 3) or min(data.shape[-2:]) < 2:
            raise ConfigError(
                f"condition=quadrant needs pictures of at least 2 x 2 pixels, and x has shape {list(data.shape)}: "
                "choose condition=none, or bring the data as [examples, channels, height, width]"
            )
        self.size, self.reads, self._given = data.shape, "x", given
        self.words = (
            f"x where it is given ({', '.join(_NAMES[:given])} quadrant{'s' * (given > 1)}), {_UNKNOWN} elsewhere"
        )

    def check(self, data: Spec) -> None:
        """Nothing: a picture of the shape that the model takes has these quadrants."""

    def __call__(self, batch: Batch) -> Batch:
        """The batch with c and the mask filled in."""
        mask = self._unknown(batch.x)
        return batch._replace(c=torch.where(mask.bool(), _UNKNOWN, batch.x), mask=mask)

    def _unknown(self, x: Tensor) -> Tensor:
        """1 at the pixels that are not given, else 0, [B, *X]."""
        (upper, lower), (left, right) = (_halves(side) for side in x.shape[-2:])
        mask = torch.ones_like(x)
        for rows, columns in ((lower, left), (upper, left), (upper, right))[: self._given]:
            mask[..., rows, columns] = 0
        return mask


def _halves(side: int) -> tuple[slice, slice]:
    return slice(side // 2), slice(side // 2, side)
