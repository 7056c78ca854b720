"""MNIST and its kin: idx files, gzipped or not (LeCun's format: magic number, sizes, bytes)."""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_cli.data.base import Rows, Source
from vae_cli.data.folder import DataFolder
from vae_cli.data.packed import unpacked
from vae_cli.errors import ConfigError
from vae_cli.types import Levels

_UNSIGNED_BYTES = 0x08


def idx_images(
    *,
    folder: DataFolder,
    train_images: Sequence[str],
    train_labels: Sequence[str],
    test_images: Sequence[str],
    test_labels: Sequence[str],
    val: int,
) -> Source:
    """256 grey levels, [1, H, W], with labels; the last `val` training examples are the validation split."""
    x = read_idx(folder.find(train_images)).unsqueeze(1)
    y = read_idx(folder.find(train_labels)).long()
    train = max(0, len(x) - val)
    test = Rows(
        read_idx(folder.find(test_images)).unsqueeze(1),
        read_idx(folder.find(test_labels)).long(),
    )
    return Source(Rows(x[:train], y[:train]), Rows(x[train:], y[train:]), test, Levels(256))


def read_idx(path: Path) -> Tensor:
    """The array of one idx file, uint8.

    Raises:
        ConfigError: where the file is damaged or is not an idx file of bytes.

    """
    content = unpacked(path)
    try:
        zero, kind, rank = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    except struct.error as error:
        raise ConfigError(f"{path} is damaged or is not an idx file ({error}): fetch it again") from error
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if zero != 0 or kind != _UNSIGNED_BYTES or values.size != math.prod(shape):
        raise ConfigError(
            f"{path} is damaged or is not an idx file of bytes: its header says {shape} and it holds "
            f"{values.size} values; fetch it again"
        )
    return torch.from_numpy(values.reshape(shape).copy())
