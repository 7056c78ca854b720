"""A folder of pictures, nested or not."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from zlib import crc32

import numpy as np
import torch
from torch import Size, Tensor

from vae_cli.classes import natural
from vae_cli.data.base import Examples, Rows, Source, evenly_spaced, fraction_split
from vae_cli.data.pictures import Pictures, UndecodableError, bombs_refused, brightness
from vae_cli.data.splits import WORDS, completed_split
from vae_cli.data.streamed import all_of
from vae_cli.errors import ConfigError
from vae_cli.types import Levels

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_DEEP = (".png", ".tif", ".tiff")  # of these, some hold greys of 16 bits


def image_folder(
    *,
    path: str | None,
    size: int,
    channels: int | str,
    bits: int | str,
    skip_broken: bool,
    workers: int | None,
    val: float,
    test: float,
) -> Source:
    """256 grey levels a channel, [channels, size, size], in the order of their relative paths.

    The sub-folders that pictures lie in are their classes; there are none where all lie in the folder itself. Where
    sub-folders are train with val or test (or training, valid, testing, ..., in any case), or train alone, these are
    the splits, and sub-folders of theirs give the classes; what of validation and test is missing is cut from training.

    Args:
        path: of the folder; hidden files are not looked at.
        size: pixels a side.
        channels: 3, or 1 for grey; auto: 1 where all pictures are grey (of a stream, as many as give its mean).
        bits: of 16-bit greys that count, 8 to 16; auto: as many as the brightest of 1,000 pictures needs.
        skip_broken: whether pictures that cannot be read are left out; else they are errors.
        workers: null decodes every picture now; a number decodes them at every access, in so many processes. The
            mean is then that of at most 1,000 evenly spaced training examples.
        val, test: fractions for validation and test, or their numbers, by one fixed permutation, where folders do not
            say.

    Raises:
        ConfigError: where there are no pictures, or some cannot be decoded, or classes are not clear.

    """
    if size < 1 or channels not in (1, 3, "auto"):
        raise ConfigError(
            f"dataset.size={size} dataset.channels={channels}: at least 1 pixel, and auto, 3 or 1 channels"
        )
    if bits != "auto" and not (isinstance(bits, int) and 8 <= bits <= 16):
        raise ConfigError(f"dataset.bits={bits}: auto, or 8 to 16")
    folder = _folder(path)
    names, others = _names(folder)
    with bombs_refused():
        kept = bits if isinstance(bits, int) else _bits(folder, names)
        wide = Pictures(folder, names, Size((1 if channels == 1 else 3, size, size)), _checksum(folder, names), kept)
        if workers is None:
            rows, broken = _held(wide)
            rows[list(broken)] = 0  # what is not read decides nothing
            grey = channels == "auto" and bool((rows == rows[:, :1]).all())
        else:
            rows, broken = None, _broken(wide) if skip_broken else {}
            grey = channels == "auto" and _are_grey(wide, broken)
    if broken and not (skip_broken and len(broken) < len(names)):
        raise _unreadable(wide, broken)
    good = [place for place in range(len(names)) if place not in broken]
    used = [names[place] for place in good]
    shape = Size((1, *wide.shape[1:])) if grey else wide.shape
    pictures = Pictures(folder, used, shape, _checksum(folder, used), kept)
    split_of, labels, class_names = _split_and_label(folder, used)
    examples: Examples = all_of(pictures, labels, None, 0 if workers is None else workers)
    if rows is not None:
        rows = rows if len(good) == len(names) else rows[good]
        examples = Rows(torch.from_numpy(np.ascontiguousarray(rows[:, :1]) if grey else rows), labels)
    if split_of is None:
        places, remarks = fraction_split(len(examples), val, test), ()
    else:
        places, remarks = completed_split(split_of, val, test)
    return replace(
        Source.of(examples, places, support=Levels(256), class_names=class_names),
        files=used,
        chosen={"channels": shape[0], "bits": kept},
        remarks=(*remarks, *_left_out(others, [names[place] for place in broken])),
    )


def _left_out(others: Sequence[str], broken: Sequence[str]) -> Iterator[str]:
    for kind, names in (("of other kinds", others), ("that cannot be read", broken)):
        if names:
            files = "1 file" if len(names) == 1 else f"{len(names):,} files"
            yield f"left out: {files} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _bits(folder: Path, names: Sequence[str]) -> int:
    """That the brightest of at most 1,000 evenly spaced 16-bit pictures needs; 16 where there are none."""
    deep = [name for name in names if name.lower().endswith(_DEEP)]
    some = (deep[place] for place in evenly_spaced(len(deep), Pictures.sample).tolist())
    brightest = max((brightness(folder / name) for name in some), default=0)
    return max(8, brightest.bit_length()) if brightest else 16


def _are_grey(pictures: Pictures, broken: Mapping[int, str]) -> bool:
    """Whether as many pictures as give the mean have three equal channels."""
    places = [place for place in range(len(pictures)) if place not in broken]
    some = (places[number] for number in evenly_spaced(len(places), Pictures.sample).tolist())
    read = (pictures.read(np.array([place])) for place in some)
    return all(bool((x == x[:, :1]).all()) for x in read)


def _folder(path: str | None) -> Path:
    if path is None:
        raise ConfigError("dataset=image_folder needs dataset.path=<folder> of pictures")
    folder = Path(path).expanduser().absolute()
    if folder.is_file():
        raise ConfigError(f"dataset.path={path} is a file: image_folder reads a folder, and dataset=arrays a file")
    if not folder.is_dir():
        raise ConfigError(f"dataset.path={path}: there is no such folder")
    return folder


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """Relative paths of all pictures, and of files of other kinds, sorted, with / between their parts."""
    names: list[str] = []
    others: list[str] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder that was read already
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith("."):
                kind = names if name.lower().endswith(_SUFFIXES) else others
                kind.append((Path(place) / name).relative_to(folder).as_posix())
    if not names:
        raise ConfigError(f"dataset.path={folder}: no pictures there ({', '.join(_SUFFIXES)})")
    return sorted(names), sorted(others)


def _refuse(error: OSError) -> None:
    raise ConfigError(f"dataset.path: {error.filename} cannot be read ({error.strerror})") from error


def _split_and_label(
    folder: Path, names: Sequence[str]
) -> tuple[Tensor | None, Tensor | None, Mapping[int, str] | None]:
    """The split (0, 1, 2) and label of each picture, [N], and the names of labels; None where folders do not say."""
    parts = [PurePosixPath(name).parts[:-1] for name in names]
    first = {found[0] if found else "" for found in parts}
    splits = {WORDS[name.casefold()] for name in first if name.casefold() in WORDS}
    alone = all(name.casefold() in WORDS for name in first)
    if len(splits) < 2 and not (splits == {0} and alone):
        return None, *_labels(folder, parts)
    if 0 not in splits or not alone:
        raise ConfigError(
            f"dataset.path={folder} holds {', '.join(sorted(first))}: are these splits or classes? Keep train with val "
            "or test alone there, or give classes other names"
        )
    split_of = torch.tensor([WORDS[found[0].casefold()] for found in parts])
    return split_of, *_labels(folder, [found[1:] for found in parts])


def _labels(folder: Path, parts: Sequence[Sequence[str]]) -> tuple[Tensor | None, Mapping[int, str] | None]:
    """The place of the first folder among all first folders; their names, obj2 before obj10."""
    if not any(parts):
        return None, None
    if not all(parts):
        raise ConfigError(
            f"dataset.path={folder}: some pictures lie in sub-folders, which number their classes, and some do not: "
            "move them into sub-folders, or away"
        )
    number = {name: label for label, name in enumerate(sorted({found[0] for found in parts}))}
    names = {number[name]: name for name in sorted(number, key=natural)}
    return torch.tensor([number[found[0]] for found in parts]), names


def _checksum(folder: Path, names: Sequence[str]) -> int:
    """Of relative names and sizes of files."""
    return crc32(repr([(name, (folder / name).stat().st_size) for name in names]).encode())


def _held(pictures: Pictures) -> tuple[np.ndarray, Mapping[int, str]]:
    """All of them, and why some, by place, cannot be read; decoded in threads (Pillow lets go of Python's lock)."""
    try:
        rows = np.empty((len(pictures), *pictures.shape), np.uint8)
    except MemoryError as error:
        raise ConfigError(
            f"{len(pictures)} pictures of {pictures.shape[-1]} pixels a side do not fit into memory: choose a smaller "
            "dataset.size, or stream them with dataset.workers=2"
        ) from error

    def fill(place: int) -> None:
        rows[place] = pictures.decoded(place)

    return rows, _tried(fill, len(pictures))


def _broken(pictures: Pictures) -> Mapping[int, str]:
    """Why some, by place, cannot be read."""
    return _tried(lambda place: pictures.decoded(place), len(pictures))


def _tried(work: Callable[[int], object], count: int) -> Mapping[int, str]:
    def reason(place: int) -> str | None:
        try:
            work(place)
        except UndecodableError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        reasons = pool.map(reason, range(count))
        return {place: why for place, why in enumerate(reasons) if why is not None}


def _unreadable(pictures: Pictures, broken: Mapping[int, str]) -> ConfigError:
    told = [f"{pictures.names[place]} ({why})" for place, why in list(broken.items())[:5]]
    more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
    return ConfigError(
        f"dataset.path={pictures.folder}: {len(broken)} of {len(pictures)} pictures cannot be read: remove or replace "
        f"them, or leave them out with dataset.skip_broken=true: {', '.join(told)}{more}"
    )
