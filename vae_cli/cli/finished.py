"""What the commands about finished runs have in common: their config, and the runs that it names."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

from vae_cli.cli.choices import overrides_of, refuse_added
from vae_cli.cli.errors import print_error, run_command
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.listing.places import places
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import state_of


@dataclass
class FinishedConfig:
    """Keys that all of them have."""

    run: str | None = None
    checkpoint: str = MISSING
    seed: int = MISSING
    accelerator: str = MISSING
    progress: str = MISSING
    trust: list[str] = field(default_factory=list)
    dataset: Any = MISSING


def run_finished(name: str, schema: type[FinishedConfig], work: Callable[[DictConfig], int]) -> None:
    """The command `vae-<name>`: composes `conf/<name>.yaml` with what was typed, checks it, works, and exits."""
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    run_command(lambda: _command(name, work), name)


def _command(name: str, work: Callable[[DictConfig], int]) -> int:
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise ConfigError(f"-m: vae-{name} has no sweeps; run= may name the folder of a sweep, or of any runs")
    refuse_added(overrides_of(sys.argv[1:]), groups=())
    composed: list[DictConfig] = []  # stays empty after --help
    hydra.main(version_base="1.3", config_path="pkg://vae_cli.conf", config_name=name)(composed.append)()
    for config in composed:
        _check(config, name)
    return max([work(config) for config in composed], default=0)


def for_every_run(config: DictConfig, work: Callable[[RunDirectory, DictConfig], None]) -> int:
    """`work` on the run that `run=` names, or on every finished run below a folder; the exit status.

    Raises:
        ConfigError: of the work, where it is on a single run. Of several, what one lacks is told, and others go on.

    """
    folder = Path(config.run)
    runs = [RunDirectory(place.path) for place in places([folder]) if place.problem is None]
    if not runs or runs[0].path == folder:
        work(RunDirectory(folder), config)
        return 0
    finished = [run for run in runs if state_of(run) == "finished"]
    if not finished:
        raise ConfigError(f"run={config.run}: none of the {len(runs)} runs below it has finished")
    return max([_one_of_many(run, config, work) for run in finished])


def _one_of_many(run: RunDirectory, config: DictConfig, work: Callable[[RunDirectory, DictConfig], None]) -> int:
    print(f"== {run.path} ==", flush=True)
    try:
        work(run, config)
    except (ConfigError, TrainingError) as error:
        print_error(error, "")
        return 1
    return 0


def _check(config: DictConfig, name: str) -> None:
    if not config.run:
        raise ConfigError(f"run: name the folder of a run, vae-{name} run=<folder>")
    if not Path(config.run).is_dir():
        raise ConfigError(f"run={config.run}: there is no such folder")
    if config.seed < 0:
        raise ConfigError(f"seed={config.seed}: 0 or more")
    if config.progress not in ("auto", "always", "never"):
        raise ConfigError(f"progress={config.progress}: auto, always or never")
