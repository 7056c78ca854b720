"""`vae-train run=<folder>`: continue a run in place. Only its budget and its place may change on the way."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from vae_cli.errors import ConfigError
from vae_cli.runs import RunDirectory

_MAY_CHANGE = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.accelerator",
    "trainer.devices",
    "dataset.root",
    "dataset.path",
)
_MAY_CHANGE_BELOW = ("logging.", "hydra.", "hydra/")
_OF_THE_COMMAND = ("run", "trust")


def continuing_arguments(arguments: list[str]) -> list[str]:
    """The command line, and with `run=` in it Hydra sent to work in that folder.

    Checked before Hydra composes: it reads overrides against the default composition, which may lack keys that the
    run has.

    Raises:
        ConfigError: where the folder is not a run, or something is to change that may not.

    """
    words = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    overrides = OverridesParser.create().parse_overrides(words)
    values = {override.key_or_group: override.value() for override in overrides}
    folder = values.get("run")
    if folder is None:
        return arguments
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError(f"run={folder}: -m starts runs, run= continues one; leave one of them out")
    trust = values.get("trust")
    _, record = RunDirectory(Path(str(folder))).read_config(
        [str(module) for module in trust] if isinstance(trust, list) else []
    )
    for word, override in zip(words, overrides, strict=True):
        key = override.key_or_group
        if key not in (*_MAY_CHANGE, *_OF_THE_COMMAND) and not key.startswith(_MAY_CHANGE_BELOW):
            new_run = shlex.join(["vae-train", *record["overrides"], word, f"init={folder}"])
            raise ConfigError(
                f"run={folder}: {key} cannot change on the way, only the budget, the place and logging can "
                f"({', '.join(_MAY_CHANGE)}, logging.*); a new run from these weights: {new_run}"
            )
    return [*arguments, f"hydra.run.dir={_quoted(str(folder))}"]


def _quoted(text: str) -> str:
    """For Hydra's grammar, in which a backslash is one unless it stands before a quote."""
    doubled = re.sub(r"(\\+)(?='|$)", r"\1\1", text)
    return "'" + doubled.replace("'", "\\'") + "'"


def continued_config(
    config: DictConfig, directory: RunDirectory, overrides: list[str]
) -> tuple[DictConfig, Mapping[str, Any]]:
    """The run's own config with the budget and place that the command line names, and the record of its choices."""
    own, record = directory.read_config(list(config.trust))
    for override in OverridesParser.create().parse_overrides(overrides):
        if override.key_or_group not in _OF_THE_COMMAND:
            OmegaConf.update(own, override.key_or_group, OmegaConf.select(config, override.key_or_group))
    return own, record
