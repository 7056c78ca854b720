"""Where data files lie."""

import os
from collections.abc import Sequence
from pathlib import Path

from vae_cli.errors import ConfigError


def data_root(root: str | None) -> Path:
    """`dataset.root`, else $VAE_DATA_ROOT, else ~/.cache/vae-train."""
    return Path(root or os.environ.get("VAE_DATA_ROOT") or Path.home() / ".cache" / "vae-train").expanduser()


def find_file(root: str | None, folder: str, accepted: Sequence[str]) -> Path:
    """The first of the accepted files of a folder of the data root that is there.

    Raises:
        ConfigError: where none is; it names the files and the place.

    """
    place = data_root(root) / folder
    for name in accepted:
        if (place / name).is_file():
            return place / name
    raise ConfigError(
        f"no {' or '.join(accepted)} in {place}: put the file there, "
        "or name the folder that holds your data sets with dataset.root=<folder> or VAE_DATA_ROOT"
    )
