"""`vae-train run=<folder>`: continue a run in place. Only its budget and its place may change on the way."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf

from vae_cli.cli.choices import overrides_of, parsed
from vae_cli.cli.recorded import check_recorded
from vae_cli.cli.typed_paths import quoted, shell_word
from vae_cli.errors import ConfigError
from vae_cli.runs import RunDirectory, place_data
from vae_cli.sweeps.identity import BUDGET_AND_DEVICE, PATHS

# Of the run's own data set, which Hydra's default composition may lack.
_PLACE = tuple(f"dataset.{key}" for key in PATHS)
_BUDGET_AND_DEVICE = tuple(f"trainer.{key}" for key in BUDGET_AND_DEVICE)
_MAY_CHANGE = (*_BUDGET_AND_DEVICE, *_PLACE)
_MAY_CHANGE_BELOW = ("logging.", "hydra.", "hydra/")
_OF_THE_COMMAND = ("run", "trust")


def continuing_arguments(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The command line as Hydra is to see it, sent to work in the folder that `run=` names; and where the data lies.

    Checked before Hydra composes: it reads overrides against the default composition, which may lack keys that the
    run has.

    Raises:
        ConfigError: where the folder is not a run, or something is to change that may not.
    """
    words = overrides_of(arguments)
    if not any(word.startswith("run=") for word in words):
        return arguments, {}
    overrides = parsed(words)
    values = {override.key_or_group: override.value() for override in overrides}
    folder = values["run"]
    if folder is None:
        return arguments, {}
    if folder == "":
        raise ConfigError("run=: name the folder of a run")
    if {"-m", "--multirun"} & set(arguments) or any(override.is_sweep_override() for override in overrides):
        raise ConfigError("run= continues one run with one value for each key: leave out -m and lists of values")
    trust = values.get("trust") or []
    _, record = RunDirectory(Path(str(folder))).read_config(trust if isinstance(trust, list) else [str(trust)])
    for word, override in zip(words, overrides, strict=True):
        key = override.key_or_group
        allowed = key in (*_MAY_CHANGE, *_OF_THE_COMMAND) or key.startswith(_MAY_CHANGE_BELOW)
        if not allowed or override.type is not OverrideType.CHANGE:
            new_run = f"{shlex.join(['vae-train', *_repeatable(record), word])} {shell_word('init', str(folder))}"
            raise ConfigError(
                f"run={folder}: {word} cannot change on the way, only the budget, the place and logging can "
                f"({', '.join(_MAY_CHANGE)}, logging.*); a new run from these weights: {new_run}"
            )
    shown = [argument for argument in arguments if not argument.startswith(tuple(f"{key}=" for key in _PLACE))]
    place = {key: _as_typed(values[key]) for key in _PLACE if key in values}
    return [*shown, f"hydra.run.dir={quoted(str(folder))}"], place


def _repeatable(record: Mapping[str, Any]) -> list[str]:
    """The words of the run, for the user to type again; none of them where one could do harm."""
    try:
        check_recorded(record["overrides"], (), "")
    except ConfigError:
        return ["..."]
    return record["overrides"]


def continued_config(
    config: DictConfig, directory: RunDirectory, overrides: list[str], place: Mapping[str, Any]
) -> tuple[DictConfig, Mapping[str, Any]]:
    """The run's own config with the budget and place that the command line names, and the record of its choices."""
    own, record = directory.read_config(list(config.trust))
    for override in parsed(overrides):
        if override.key_or_group not in _OF_THE_COMMAND:
            OmegaConf.update(own, override.key_or_group, OmegaConf.select(config, override.key_or_group))
    place_data(own, {key.removeprefix("dataset."): value for key, value in place.items()})
    return own, record


def continued_in_sweep(config: DictConfig, directory: RunDirectory) -> tuple[DictConfig, Mapping[str, Any]]:
    """The config that a job of a sweep began with, its budget, place and logging as they are now asked for."""
    own, record = directory.read_config(list(config.trust))
    for key in _BUDGET_AND_DEVICE:
        if key != "trainer.threads" or OmegaConf.select(config, key) != "auto":  # which was chosen when it began
            OmegaConf.update(own, key, OmegaConf.select(config, key))
    own.logging = config.logging
    place_data(own, {name: config.dataset[name] for name in PATHS if name in config.dataset})
    return own, record


def _as_typed(value: Any) -> str | bool | None:
    """A folder may be named by a number."""
    return value if value is None or isinstance(value, bool) else str(value)
