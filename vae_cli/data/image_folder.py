"""A folder of pictures, nested or not."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from zlib import crc32

import numpy as np
import torch
from torch import Size, Tensor

from vae_cli.data.base import Examples, Places, Rows, Source, fixed_order, fraction_split
from vae_cli.data.pictures import Pictures, UndecodableError, bombs_refused, decode
from vae_cli.data.streamed import all_of
from vae_cli.errors import ConfigError
from vae_cli.types import Levels

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_SPLITS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}


def image_folder(*, path: str | None, size: int, channels: int, workers: int | None, val: float, test: float) -> Source:
    """256 grey levels a channel, [channels, size, size], in the order of their relative paths.

    Labels number the sub-folders that pictures lie in, in alphabetical order; there are none where all lie in the
    folder itself. Where its sub-folders are train, test and perhaps val (or training, testing, valid, ..., in any
    case), these are the splits, and the sub-folders of theirs give the labels.

    Args:
        path: of the folder; hidden files and files of other kinds are not looked at.
        size: pixels a side.
        channels: 3, or 1 for grey.
        workers: null decodes every picture now; a number decodes them at every access, in so many processes. The
            mean is then that of at most 1,000 evenly spaced training examples.
        val, test: fractions for validation and test, by one fixed permutation, where folders do not say.

    Raises:
        ConfigError: where there are no pictures, or some cannot be decoded, or labels are not clear.

    """
    if size < 1 or channels not in (1, 3):
        raise ConfigError(f"dataset.size={size} dataset.channels={channels}: at least 1 pixel, and 3 channels or 1")
    folder = _folder(path)
    names = _names(folder)
    pictures = Pictures(folder, names, Size((channels, size, size)), _checksum(folder, names))
    split_of, labels = _split_and_label(folder, names, val)
    examples = _held(pictures, labels) if workers is None else all_of(pictures, labels, None, workers)
    places = fraction_split(len(examples), val, test) if split_of is None else _places(split_of)
    return Source.of(examples, places, support=Levels(256))


def _folder(path: str | None) -> Path:
    if path is None:
        raise ConfigError("dataset=image_folder needs dataset.path=<folder> of pictures")
    folder = Path(path).expanduser().absolute()
    if folder.is_file():
        raise ConfigError(f"dataset.path={path} is a file: image_folder reads a folder, and dataset=arrays a file")
    if not folder.is_dir():
        raise ConfigError(f"dataset.path={path}: there is no such folder")
    return folder


def _names(folder: Path) -> list[str]:
    """Relative paths of all pictures, sorted, with / between their parts."""
    names: list[str] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder that was read already
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = [name for name in files if name.lower().endswith(_SUFFIXES) and not name.startswith(".")]
        names += [(Path(place) / name).relative_to(folder).as_posix() for name in found]
    if not names:
        raise ConfigError(f"dataset.path={folder}: no pictures there ({', '.join(_SUFFIXES)})")
    return sorted(names)


def _refuse(error: OSError) -> None:
    raise ConfigError(f"dataset.path: {error.filename} cannot be read ({error.strerror})") from error


def _split_and_label(folder: Path, names: Sequence[str], val: float) -> tuple[Tensor | None, Tensor | None]:
    """The split (0, 1, 2) and the label of each picture, [N]; None where folders do not say.

    Without a folder for validation, the fraction `val` of the training pictures is taken, by one fixed permutation.
    """
    parts = [PurePosixPath(name).parts[:-1] for name in names]
    first = {found[0] if found else "" for found in parts}
    splits = {_SPLITS[name.casefold()] for name in first if name.casefold() in _SPLITS}
    if len(splits) < 2:
        return None, _labels(folder, parts)
    if not {0, 2} <= splits or not all(name.casefold() in _SPLITS for name in first):
        raise ConfigError(
            f"dataset.path={folder} holds {', '.join(sorted(first))}: are these splits or classes? Keep train, test "
            "and perhaps val alone there, or give classes other names"
        )
    split_of = torch.tensor([_SPLITS[found[0].casefold()] for found in parts])
    if 1 not in splits:
        training = torch.nonzero(split_of == 0).flatten()
        split_of[training[fixed_order(len(training))[: round(val * len(training))]]] = 1
    return split_of, _labels(folder, [found[1:] for found in parts])


def _places(split_of: Tensor) -> Places:
    train, val, test = (torch.nonzero(split_of == split).flatten() for split in range(3))
    return train, val, test


def _labels(folder: Path, parts: Sequence[Sequence[str]]) -> Tensor | None:
    """The place of the first folder among all first folders."""
    if not any(parts):
        return None
    if not all(parts):
        raise ConfigError(
            f"dataset.path={folder}: some pictures lie in sub-folders, which number their classes, and some do not: "
            "move them into sub-folders, or away"
        )
    number = {name: label for label, name in enumerate(sorted({found[0] for found in parts}))}
    return torch.tensor([number[found[0]] for found in parts])


def _checksum(folder: Path, names: Sequence[str]) -> int:
    """Of relative names and sizes of files."""
    return crc32(repr([(name, (folder / name).stat().st_size) for name in names]).encode())


def _held(pictures: Pictures, labels: Tensor | None) -> Examples:
    """All of them, decoded in threads (Pillow lets go of Python's lock); ConfigError names those that cannot be."""
    try:
        rows = np.empty((len(pictures), *pictures.shape), np.uint8)
    except MemoryError as error:
        raise ConfigError(
            f"{len(pictures)} pictures of {pictures.shape[-1]} pixels a side do not fit into memory: choose a smaller "
            "dataset.size, or stream them with dataset.workers=2"
        ) from error

    def fill(place: int) -> str | None:
        """Why it could not be done."""
        name = pictures.names[place]
        try:
            rows[place] = decode(pictures.folder / name, pictures.shape)
        except UndecodableError as error:
            return f"{name} ({error})"
        return None

    with bombs_refused(), ThreadPoolExecutor() as pool:
        broken = [found for found in pool.map(fill, range(len(rows))) if found is not None]
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise ConfigError(
            f"dataset.path={pictures.folder}: {len(broken)} of {len(rows)} pictures cannot be read, remove or replace "
            f"them: {', '.join(broken[:5])}{more}"
        )
    return Rows(torch.from_numpy(rows), labels)
