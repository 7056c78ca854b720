"""The folders that a command made: Hydra makes that of a run before anybody has looked whether there can be a run."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

_made: list[Path] = []  # which were not there before, the innermost first


class NewFolders(Callback):
    """Notes those of a run that are still to be made; Hydra calls it just before it makes them."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Before a single run, not one of a sweep."""
        HydraConfig.instance().set_config(config)
        folder = Path(config.hydra.run.dir).absolute()
        _made[:] = [place for place in (folder, *folder.parents) if not place.exists()]


def remove_empty_folders() -> None:
    """Those that were made, as far as nothing is in them."""
    for folder in _made:
        if not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
