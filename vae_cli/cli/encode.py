"""vae-encode: write the codes of examples by a finished run."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from vae_cli.cli.finished import ComputingConfig, run_finished, the_run
from vae_cli.cli.looping import shown
from vae_cli.errors import ConfigError
from vae_cli.telling import say

_SPLITS = ("all", "train", "val", "test")
_SUFFIXES = (".npz", ".parquet")


@dataclass
class EncodeConfig(ComputingConfig):
    """Root of `vae-encode`."""

    out: str | None = None
    split: str = MISSING
    sample: bool = MISSING
    dataset: Any = MISSING


def main() -> None:
    """Entry point of `vae-encode`."""
    run_finished("encode", EncodeConfig, _encode, groups=["dataset"])


def _encode(config: DictConfig) -> int:
    if config.split not in _SPLITS:
        raise ConfigError(f"split={config.split}: choose one of {', '.join(_SPLITS)}")
    out = _out(config)
    _check_place(config.dataset)
    directory = the_run(config)
    from vae_cli.encoding.encode import encode

    with shown(config.progress) as progress:
        for line in encode(directory, config, out, progress):
            say(line)
    return 0


def _out(config: DictConfig) -> Path:
    """The file to write; ConfigError where that cannot be."""
    out = Path(config.run, "latents.npz") if config.out is None else Path(config.out)
    if out.suffix not in _SUFFIXES:
        raise ConfigError(f"out={out}: a name that ends in {' or '.join(_SUFFIXES)} is needed")
    if out.is_dir():
        raise ConfigError(f"out={out}: that is a folder; name a file")
    if not out.parent.is_dir():
        raise ConfigError(f"out={out}: there is no folder {out.parent}")
    if out.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigError(f"out={out}: parquet needs pyarrow, pip install pyarrow; or name a file that ends in .npz")
    return out


def _check_place(dataset: DictConfig) -> None:
    """ConfigError where a data set was chosen that lies in no such place."""
    if "source" not in dataset:
        return
    read = OmegaConf.to_yaml(dataset, resolve=False)
    for key in ("root", "path"):
        if dataset[key] is not None and f".{key}}}" not in read:
            raise ConfigError(
                f"dataset.{key}={dataset[key]}: the data set that was chosen reads no {key}; leave it out"
            )
