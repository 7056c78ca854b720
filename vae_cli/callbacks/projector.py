"""The files that TensorBoard's PROJECTOR tab reads: points, what is known of each, and a small picture of each.

`SummaryWriter.add_embedding` keeps a folder for every step but its list only for as long as a process lives, writes
files that can be caught half-written, takes sheets of any size, and fails for pictures that are higher than wide. Here
there is one set of files, replaced as a whole, its paths relative to the run directory.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from google.protobuf import text_format
from tensorboard.plugins.projector import metadata, projector_config_pb2
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.callbacks.grid import laid_out
from vae_cli.callbacks.pictures import save_png
from vae_cli.files import own_folder, replacing
from vae_cli.telling import clean

_FOLDER = "projector"
_FEWEST_DIMENSIONS = 3
_LARGEST_TILE = 64  # pixels a side: 1,000 examples make a sheet of 2048 x 2048, and browsers take 8192 x 8192


def write_projector(
    run: Path, name: str, points: Tensor, known: Mapping[str, Sequence[str | int]], images: Tensor | None
) -> None:
    """Points [N, Z] under the tensor's name, columns [N] of what is known, images [N, *image shape] in [0, 1].

    Zeros fill up what three dimensions lack: of fewer, the projector shows nothing at all.
    """
    points = F.pad(points, (0, max(0, _FEWEST_DIMENSIONS - points.shape[1])))
    folder = own_folder(run / _FOLDER)
    protocol: Any = projector_config_pb2  # generated at run time, so that no type checker sees what is in it
    config = protocol.ProjectorConfig()
    entry = config.embeddings.add(tensor_name=name, tensor_shape=points.shape)
    entry.tensor_path, entry.metadata_path = f"{_FOLDER}/tensors.tsv", f"{_FOLDER}/metadata.tsv"
    _write_table(folder / "tensors.tsv", points.tolist())
    _write_table(folder / "metadata.tsv", [*_header(known), *zip(*known.values(), strict=True)])
    if images is not None:
        tiles = small(images)
        save_png(sheet(tiles), folder / "sprites.png")
        entry.sprite.image_path = f"{_FOLDER}/sprites.png"
        entry.sprite.single_image_dim.extend([tiles.shape[3], tiles.shape[2]])  # width, height
    with replacing(run / metadata.PROJECTOR_FILENAME) as file:
        file.write(text_format.MessageToString(config).encode())


def small(images: Tensor) -> Tensor:
    """Images [N, H, W] or [N, C, H, W] -> [N, 3, h, w] with sides of at most 64 pixels, in the same proportion."""
    tiles = images.reshape(len(images), -1, *images.shape[-2:]).clamp(0, 1)
    factor = min(1.0, _LARGEST_TILE / max(tiles.shape[-2:]))
    size = [max(1, round(factor * side)) for side in tiles.shape[-2:]]
    return F.interpolate(tiles, size=size, mode="area").expand(-1, 3, -1, -1)


def sheet(tiles: Tensor) -> Tensor:
    """Tiles [N, 3, h, w] in [0, 1], row by row in a square number of places -> [3, H, W], uint8."""
    side = math.ceil(math.sqrt(len(tiles)))
    places = tiles.new_zeros((side * side, *tiles.shape[1:]))
    places[: len(tiles)] = tiles
    return laid_out(places.mul(255).round().to(torch.uint8), side)


def _header(known: Mapping[str, Sequence[str | int]]) -> list[list[str]]:
    """The projector takes the first line for names only where there are several columns."""
    return [list(known)] if len(known) > 1 else []


def _write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with replacing(path) as file:
        file.writelines(("\t".join(clean(str(cell)) for cell in row) + "\n").encode() for row in rows)
