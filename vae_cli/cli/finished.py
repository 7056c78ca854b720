"""What the commands about finished runs have in common: their config, and the runs that it names."""

import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

from vae_cli.cli.choices import check_choices, overrides_of, refuse_added
from vae_cli.cli.completion import completes
from vae_cli.cli.errors import print_error, run_command
from vae_cli.cli.hydras import run_hydra
from vae_cli.cli.typed_paths import as_hydra_reads_them
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.listing.places import places
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import state_of
from vae_cli.telling import say

_OF_HYDRA = ("hydra.searchpath",)
_PRECISIONS = ("32-true", "bf16-mixed")


@dataclass
class FinishedConfig:
    """Keys that all of them have."""

    run: str | None = None
    checkpoint: str = MISSING
    trust: list[str] = field(default_factory=list)


@dataclass
class ComputingConfig(FinishedConfig):
    """Keys of those that compute with the model."""

    seed: int = MISSING
    accelerator: str = MISSING
    precision: str = MISSING
    progress: str = MISSING


def run_finished(
    name: str, schema: type[FinishedConfig], work: Callable[[DictConfig], int], groups: Collection[str] = ()
) -> None:
    """The command `vae-<name>`: composes `conf/<name>.yaml` with what was typed, checks it, works, and exits.

    Args:
        groups: of `conf/`, of which the command takes a choice.

    """
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    signal.signal(signal.SIGTERM, _end)
    run_command(lambda: _command(name, work, groups), name)


def _end(number: int, _frame: object) -> None:
    """As Ctrl-C does, leave nothing half-written."""
    sys.exit(128 + number)


def _command(name: str, work: Callable[[DictConfig], int], groups: Collection[str]) -> int:
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise ConfigError(f"-m: vae-{name} has no sweeps; leave it out")
    if completes(sys.argv[1:], name):
        return 0
    sys.argv[1:] = as_hydra_reads_them(sys.argv[1:], {"run": ("finished",)})
    check_choices(sys.argv[1:], groups, _OF_HYDRA)
    refuse_added(overrides_of(sys.argv[1:]), groups=())
    composed: list[DictConfig] = []  # stays empty after --help
    run_hydra(composed.append, name)
    for config in composed:
        _check(config, name)
    return max([work(config) for config in composed], default=0)


def the_run(config: DictConfig) -> RunDirectory:
    """The one that `run=` names; ConfigError for a folder that holds others."""
    folder = Path(config.run)
    runs = _runs_at(folder)
    if runs and runs[0].path != folder:
        raise ConfigError(f"run={config.run} is no run itself; name one of those below it, as in run={runs[0].path}")
    return RunDirectory(folder)


def for_every_run(config: DictConfig, work: Callable[[RunDirectory, DictConfig], None]) -> int:
    """`work` on the run that `run=` names, or on every finished run below a folder; the exit status.

    Raises:
        ConfigError: of the work, where it is on a single run. Of several, what one lacks is told, and others go on.

    """
    folder = Path(config.run)
    runs = _runs_at(folder)
    if not runs or runs[0].path == folder:
        work(RunDirectory(folder), config)
        return 0
    finished = [run for run in runs if state_of(run) == "finished"]
    if not finished:
        raise ConfigError(f"run={config.run}: none of the {len(runs)} runs below it has finished")
    return max([_one_of_many(run, config, work) for run in finished])


def _runs_at(folder: Path) -> list[RunDirectory]:
    return [RunDirectory(place.path) for place in places([folder]) if place.problem is None]


def _one_of_many(run: RunDirectory, config: DictConfig, work: Callable[[RunDirectory, DictConfig], None]) -> int:
    say(f"== {run.path} ==")
    try:
        work(run, config)
    except (ConfigError, TrainingError) as error:
        print_error(error, "")
        return 1
    return 0


def _check(config: DictConfig, name: str) -> None:
    """The keys that the command has."""
    if not config.run:
        raise ConfigError(f"run: name the folder of a run, vae-{name} run=<folder>")
    if not Path(config.run).is_dir():
        raise ConfigError(f"run={config.run}: there is no such folder")
    if config.get("memory", 1) < 1:
        raise ConfigError(f"memory={config.memory}: megabytes, 1 or more")
    if config.get("seed", 0) < 0:
        raise ConfigError(f"seed={config.seed}: 0 or more")
    if config.get("precision", _PRECISIONS[0]) not in _PRECISIONS:
        raise ConfigError(f"precision={config.precision}: choose one of {', '.join(_PRECISIONS)}")
    if config.get("progress", "auto") not in ("auto", "always", "never"):
        raise ConfigError(f"progress={config.progress}: auto, always or never")
