"""Published npz and npy files, read without pickles, which could run code."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_cli.errors import ConfigError
from vae_cli.files import opened


def read_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of those names; no other is looked at.

    Raises:
        ConfigError: where the file is damaged or lacks one of them.

    """
    try:
        with opened(path) as file, np.load(file, allow_pickle=False) as content:
            return [content[name] for name in names]
    except (OSError, EOFError, ValueError, KeyError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, error) from error


def read_npy(path: Path) -> np.ndarray:
    """The array of one npy file.

    Raises:
        ConfigError: where the file is damaged.

    """
    try:
        with opened(path) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, EOFError, ValueError, MemoryError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, reason: object) -> ConfigError:
    """A file that is not what was published."""
    return ConfigError(f"{path} is damaged ({' '.join(str(reason).split())}): fetch it again")
