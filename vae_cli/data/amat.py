"""Statically binarised MNIST: the text files of Larochelle (Salakhutdinov & Murray 2008), gzipped or not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vae_cli.data.base import Rows, Source
from vae_cli.data.folder import DataFolder
from vae_cli.data.packed import unpacked
from vae_cli.errors import ConfigError
from vae_cli.types import Binary

_PIXELS = 28 * 28


def static_mnist(*, folder: DataFolder, train: Sequence[str], val: Sequence[str], test: Sequence[str]) -> Source:
    """0 and 1, [1, 28, 28], without labels: 50,000 / 10,000 / 10,000 examples."""
    parts = [read_amat(folder.find(accepted)) for accepted in (train, val, test)]
    return Source(*parts, support=Binary())


def read_amat(path: Path) -> Rows:
    """Lines of 784 digits 0 or 1, each followed by one space or the end of the line.

    Raises:
        ConfigError: where the file is anything else.

    """
    content = unpacked(path)
    if len(content) % (2 * _PIXELS):
        raise ConfigError(f"{path} is damaged: a line has {2 * _PIXELS} bytes, and it holds {len(content)}")
    values = np.frombuffer(content, np.uint8).reshape(-1, _PIXELS, 2)[..., 0] - ord("0")
    if values.max(initial=0) > 1:
        raise ConfigError(f"{path} is damaged: it holds other signs than 0 and 1")
    return Rows(torch.from_numpy(values.reshape(-1, 1, 28, 28)))
