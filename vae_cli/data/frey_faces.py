"""Frey faces: 1,965 frames of one face in a short film, 28 x 20 (Brendan Frey, Sam Roweis)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from vae_cli.data.base import Rows, Source, random_split
from vae_cli.data.folder import DataFolder
from vae_cli.data.numpy_files import damaged, read_npy
from vae_cli.files import opened
from vae_cli.types import Levels

_HEIGHT, _WIDTH = 28, 20


def frey_faces(*, folder: DataFolder, faces: Sequence[str], val: int, test: int) -> Source:
    """256 grey levels, [1, 28, 20], without labels; `val` and `test` by one fixed permutation, the rest train.

    The file is the published frey_rawface.mat (`ff`, a face a column), or an npy with a face a row.
    """
    path = folder.find(faces)
    values = _read_mat(path) if path.suffix == ".mat" else read_npy(path)
    if values.dtype != np.uint8 or values.ndim != 2 or values.shape[1] != _HEIGHT * _WIDTH:
        raise damaged(path, f"its faces are {values.dtype} {values.shape}")
    x = torch.from_numpy(np.ascontiguousarray(values)).unflatten(1, (1, _HEIGHT, _WIDTH))
    return Source.of(Rows(x), random_split(len(x), val, test), support=Levels(256))


def _read_mat(path: Path) -> np.ndarray:
    try:
        with opened(path) as file:
            return loadmat(file)["ff"].T
    except (OSError, EOFError, ValueError, KeyError, TypeError, MatReadError) as error:
        raise damaged(path, error) from error
