"""What was made, and how it is kept: NPZ to compute with, PNG and GIF to look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from vae_cli.callbacks.grid import is_image
from vae_cli.callbacks.pictures import save_png
from vae_cli.callbacks.sheet import Sheet, drawn
from vae_cli.files import folder_beside, replacing
from vae_cli.types import Spec

_FRAME = 100  # milliseconds


@dataclass(frozen=True)
class Result:
    """Of one kind."""

    told: str  # a sentence for the user
    arrays: Mapping[str, Tensor | np.ndarray]
    sheet: Sheet
    frames: Sequence[Sheet] = field(default=())  # of an animation, which goes there and back
    table: Tensor | None = None  # a picture of examples that are no images, [3, H, W], uint8


def keep(result: Result, name: str, folder: Path, data: Spec) -> Iterator[str]:
    """Writes the files; lines for the user. Beside labels `y` are `class_names`; what is no image is not drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder_beside(folder / name):  # the files of one kind are of one process
        yield from _kept(result, name, folder, data)


def _kept(result: Result, name: str, folder: Path, data: Spec) -> Iterator[str]:
    shape, arrays = data.shape, dict(result.arrays)
    if "y" in arrays:
        arrays["class_names"] = np.array(data.named_classes)
    yield f"{name}: {result.told}"
    with replacing(folder / f"{name}.npz") as file:
        np.savez(file, allow_pickle=False, **{key: _array(value) for key, value in arrays.items()})
    shapes = ", ".join(f"{key} {list(value.shape)}" for key, value in arrays.items())
    yield f"  {folder / name}.npz: {shapes}"
    if not is_image(shape):
        if result.table is not None:
            save_png(result.table, folder / f"{name}.png")
            yield f"  {folder / name}.png"
            return
        yield f"  x of shape {list(shape)} is no image, so there is no picture"
        return
    with replacing(folder / f"{name}.png") as file:
        drawn(result.sheet, shape).save(file, format="png")
    hidden = len(result.sheet.images) - result.sheet.shown
    yield f"  {folder / name}.png{f' (the first {result.sheet.shown})' if hidden else ''}"
    if result.frames:
        pages = [drawn(sheet, shape) for sheet in result.frames]
        more = [*pages[1:], *reversed(pages[1:-1])]
        with replacing(folder / f"{name}.gif") as file:
            pages[0].save(file, format="gif", save_all=True, append_images=more, duration=_FRAME, loop=0)
        yield f"  {folder / name}.gif"


def _array(value: Tensor | np.ndarray) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else value.cpu().numpy()
