"""A picture of many small ones, under a title, with titles beside its rows and above its columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Size, Tensor

from vae_cli.callbacks.grid import grid

_FONT = 14  # pixels
_GAP = 4
_LINE = _FONT + _GAP
_MOST_TILES = 1000  # that a picture shows


@dataclass(frozen=True)
class Sheet:
    """Images [N, *X] with values in [0, 1], row by row."""

    images: Tensor
    columns: int
    row_titles: Sequence[str] = field(default=())
    column_titles: Sequence[str] = field(default=())
    title: str = ""

    @property
    def shown(self) -> int:
        """How many of them a picture shows, whole rows."""
        return min(len(self.images), max(1, _MOST_TILES // self.columns) * self.columns)


def drawn(sheet: Sheet, shape: Size) -> Image.Image:
    """The picture; shape: of one image."""
    pixels = grid(sheet.images[: sheet.shown], shape, sheet.columns).permute(1, 2, 0).squeeze(-1)
    return _titled(Image.fromarray(pixels.cpu().numpy()), sheet)


def pixels_of(sheet: Sheet, shape: Size) -> Tensor:
    """The same as [C, H, W], uint8."""
    picture = np.array(drawn(sheet, shape))
    return torch.from_numpy(picture.reshape(*picture.shape[:2], -1)).permute(2, 0, 1)


def _titled(tiles: Image.Image, sheet: Sheet) -> Image.Image:
    """On white, with the titles that there are."""
    font = ImageFont.load_default(_FONT)
    rows = -(-sheet.shown // sheet.columns)
    titles = list(sheet.row_titles[:rows])
    left = max((int(font.getlength(title)) + 2 * _GAP for title in titles), default=0)
    lines = list(_wrapped(sheet.title, left + tiles.width - 2 * _GAP, font)) if sheet.title else []
    first = len(lines) * _LINE + _GAP if lines else 0
    top = first + (_FONT + 2 * _GAP if sheet.column_titles else 0)
    page = Image.new(tiles.mode, (tiles.width + left, tiles.height + top), "white")
    page.paste(tiles, (left, top))
    writer = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        writer.text((_GAP, _GAP + number * _LINE), line, "black", font)
    for number, title in enumerate(titles):
        middle = top + (number + 0.5) * tiles.height / rows
        writer.text((left - _GAP, middle), title, "black", font, anchor="rm")
    for number, title in enumerate(sheet.column_titles):
        middle = left + (number + 0.5) * tiles.width / sheet.columns
        writer.text(
            (middle, top - _GAP), _fitting(title, font, tiles.width / sheet.columns), "black", font, anchor="mb"
        )
    return page


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Iterator[str]:
    """Lines of whole words that are no wider; a word that is wider stands alone."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            yield line
            longer = word
        line = longer
    yield line


def _fitting(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """As many of its letters as a column has room for."""
    if font.getlength(title) <= width:
        return title
    kept = next(length for length in range(len(title), -1, -1) if font.getlength(f"{title[:length]}..") <= width)
    return f"{title[:kept]}.."
