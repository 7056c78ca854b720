"""Arrays by name: an npz, a .npy, or a folder of .npy files, read without pickles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vae_cli.errors import ConfigError
from vae_cli.files import opened

PARTS = ("train", "val", "test")
_PLAIN = ("x", "y", "factors", "factor_names", "class_names", "split")
NAMES = (*_PLAIN, *(f"{name}_{part}" for name in ("x", "y", "factors") for part in PARTS))
_X = [name for name in NAMES if name.partition("_")[0] == "x"]


def place_of(path: str | None) -> Path:
    """The file or folder that `dataset.path` names; ConfigError where there is none."""
    if path is None:
        raise ConfigError(
            "dataset=arrays needs dataset.path=<file>: an npz with `x` and optionally `y`, a .npy, or a folder of x.npy"
        )
    place = Path(path).expanduser()
    if not place.is_file() and not place.is_dir():
        raise ConfigError(f"dataset.path={place}: there is no such file or folder")
    return place


def read_arrays(place: Path, mapped: bool) -> dict[str, np.ndarray]:
    """The arrays that are there by name, x among them: in memory, or mapped."""
    files = {name: place / f"{name}.npy" for name in NAMES} if place.is_dir() else {"x": place}
    found: dict[str, np.ndarray] = {}
    for name, file in files.items():
        if file.is_file():
            found |= {name: _mapped(file)} if mapped and name in _X else _read_file(name, file)
    if not found.keys() & {*_X}:
        raise ConfigError(f"dataset.path={place} holds no file x.npy; for pictures use dataset=image_folder")
    return found


def _read_file(name: str, file: Path) -> dict[str, np.ndarray]:
    with _readable(file), opened(file) as stream:
        start = stream.read(6)
        stream.seek(0)
        if not start.startswith((b"\x93NUMPY", b"PK")):
            raise ValueError("it is neither, save the array with np.save")
        content = np.load(stream, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {name: content}
        if other := sorted({*content.files} - {*NAMES}):
            raise ValueError(
                f"it holds {', '.join(content.files)}, and no one reads {', '.join(other)}; the names are "
                f"{', '.join(_PLAIN)}, and x_train, x_val, x_test, y_train, ..."
            )
        if not {*content.files} & {*_X}:
            raise ValueError("it holds no array `x`")
        return {key: np.asanyarray(content[key]) for key in content.files}


def _mapped(file: Path) -> np.memmap:
    with _readable(file):
        return np.lib.format.open_memmap(file, mode="r")


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """ConfigError for whatever numpy and zipfile say of a file; they raise errors of every type for damaged ones."""
    try:
        yield
    except MemoryError as error:
        raise ConfigError(
            f"dataset.path={file} does not fit into memory: stream a .npy with dataset.workers=0"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"dataset.path={file} cannot be read as npz or npy without pickles: {reason}") from error
