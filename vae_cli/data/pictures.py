"""Pictures of any size and mode as squares of bytes, decoded when they are read.

The shorter side is scaled to `size` pixels (Lanczos, with anti-aliasing) and the middle square is kept, after the
camera's orientation (EXIF) has been applied. Transparent parts are white; 16-bit values keep their high byte; of an
animation the first frame is taken.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Size

from vae_cli.data.streamed import Store
from vae_cli.errors import TrainingError
from vae_cli.files import opened

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")  # what is another under such a name could start Ghostscript


@dataclass(frozen=True)
class Pictures(Store):
    """Files of a folder, relative to it, as squares of that shape, uint8."""

    folder: Path
    names: Sequence[str]
    shape: Size  # [C, S, S]
    checksum: int  # of names and sizes of the files
    bits: int = 16  # of 16-bit greys that count
    sample = 1000

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: np.ndarray) -> np.ndarray:
        """The pictures of that index, in its order."""
        with bombs_refused():
            return np.stack([self._read_one(int(place)) for place in index])

    def decoded(self, place: int) -> np.ndarray:
        """One of them; UndecodableError where it cannot be."""
        return decode(self.folder / self.names[place], self.shape, self.bits)

    def _read_one(self, place: int) -> np.ndarray:
        name = self.names[place]
        try:
            return self.decoded(place)
        except UndecodableError as error:
            raise TrainingError(
                f"{self.folder / name} cannot be read as a picture ({error}): restore it and continue the run, "
                "or remove it and start a new one"
            ) from error


class UndecodableError(ValueError):
    """Why a file is no picture that can be used."""


def decode(path: Path, shape: Size, bits: int = 16) -> np.ndarray:
    """One picture in the middle square of that shape [C, S, S], uint8; call it where `bombs_refused`.

    Args:
        shape: with 1 channel for grey, 3 for colour.
        bits: of 16-bit greys that count: the eight highest of them are kept.

    Raises:
        UndecodableError: where there is no such file, or it is damaged, or far too large.

    """
    channels, size, _ = shape
    try:
        with opened(path) as file, Image.open(file, formats=FORMATS) as image:
            image.draft(None, (2 * size, 2 * size))  # a large JPEG need not be decoded in full
            upright = _bytes(ImageOps.exif_transpose(image), bits).convert("RGB" if channels == 3 else "L")
    except Exception as error:  # Pillow's decoders raise errors of every type for damaged files
        raise UndecodableError(_reason(error, path)) from error
    square = np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(square.reshape(size, size, channels).transpose(2, 0, 1))


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Pictures of more pixels than Pillow deems safe are errors inside, not warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def brightness(path: Path) -> int:
    """The largest value of a picture of 16-bit greys; 0 of any other, and of what cannot be read."""
    try:
        with opened(path) as file, Image.open(file, formats=FORMATS) as image:
            return int(np.asarray(image).max()) if image.mode.startswith("I") else 0
    except Exception:
        return 0


def _bytes(image: Image.Image, bits: int) -> Image.Image:
    """8 bits a channel without transparency."""
    if image.mode == "F":
        raise ValueError("it holds real numbers; use dataset=arrays")
    if image.mode == "I" and np.asarray(image).max() > 65535:
        raise ValueError("it has more than 16 bits; use dataset=arrays")
    if image.mode.startswith("I"):
        values = np.asarray(image).clip(0, 65535)
        if values.max() >> bits:
            raise ValueError(
                f"it has values above {2**bits - 1}: they need dataset.bits={int(values.max()).bit_length()}"
            )
        return Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture"
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return " ".join(text.replace(repr(str(path)), "it").split()) or type(error).__name__
