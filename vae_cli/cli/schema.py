"""The ranges of what users set most; a wrong value is refused before torch is imported."""

import os
import re
import secrets
from collections.abc import Collection
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf

from vae_cli.cli.choices import refuse_added
from vae_cli.errors import ConfigError, UnreadError
from vae_cli.schema import TrainConfig, check_latent_dim
from vae_cli.stored import plain

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_MATMUL_PRECISIONS = ("highest", "high", "medium")
_ACCELERATORS = ("auto", "cpu", "gpu", "cuda")
_MOST_DRAWS = 100_000  # of an importance-weighted bound: more would take hours, and say no more
_READ_BY_PARTS = ("beta",)  # root keys that leaves refer to, where they need them


def register() -> None:
    """Make the schema, and the resolver `unique` (six random hexadecimal digits, once a command), known to Hydra."""
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    OmegaConf.register_new_resolver("unique", lambda: secrets.token_hex(3), use_cache=True, replace=True)


def check(config: DictConfig, overrides: list[str], groups: Collection[str]) -> None:
    """What types alone do not say.

    Args:
        overrides: as typed.
        groups: every config group; `+group=choice` adds one, and nothing else may be added.

    Raises:
        ConfigError: where a value is out of range or cannot be stored, a key was added, or a root key was given that
            no part reads.

    """
    refuse_added(overrides, groups)
    for prefix, node in (("", config), ("trainer.", config.trainer), ("logging.", config.logging)):
        for key in map(str, node):
            if not OmegaConf.is_interpolation(node, key) and isinstance(value := node[key], int) and value >= 2**63:
                raise ConfigError(f"{prefix}{key}={value}: a number below 2 to the power of 63")
    try:
        check_latent_dim(config.latent_dim)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if config.seed < 0:
        raise ConfigError(f"seed={config.seed}: 0 or more")
    for key in ("max_epochs", "max_steps"):
        if (value := config.trainer[key]) < 1 and value != -1:
            raise ConfigError(f"trainer.{key}={value}: 1 or more, or -1 for no limit")
    if (patience := config.trainer.patience) is not None and patience < 1:
        raise ConfigError(f"trainer.patience={patience}: 1 or more, or null for no end before the budget's")
    if config.trainer.patience is not None and config.logging.validate_every_n_epochs == 0:
        raise ConfigError(
            f"trainer.patience={config.trainer.patience} waits for validations: logging.validate_every_n_epochs=1"
        )
    if config.trainer.max_epochs == config.trainer.max_steps == -1:
        raise ConfigError("trainer.max_epochs=-1 trainer.max_steps=-1: training would never end; set one of them")
    for key in ("every_n_steps", "checkpoint_every_n_steps"):
        if (value := config.logging[key]) < 1:
            raise ConfigError(f"logging.{key}={value}: 1 or more")
    for key in ("validate_every_n_epochs", "pictures_every_n_epochs"):
        if (value := config.logging[key]) < 0:
            raise ConfigError(f"logging.{key}={value}: 0 for never, or more")
    for key in ("importance_samples", "test_importance_samples"):
        if not (0 <= (value := config.logging[key]) <= _MOST_DRAWS):
            raise ConfigError(f"logging.{key}={value}: 0 for none, or more, up to {_MOST_DRAWS}")
    clip = config.trainer.gradient_clip_val
    if clip is not None and not clip > 0:
        raise ConfigError(f"trainer.gradient_clip_val={clip}: a positive number, or null for no limit")
    trainer = config.trainer
    if trainer.precision not in _PRECISIONS:
        raise ConfigError(f"trainer.precision={trainer.precision}: choose one of {', '.join(_PRECISIONS)}")
    if config.matmul_precision not in _MATMUL_PRECISIONS:
        raise ConfigError(f"matmul_precision={config.matmul_precision}: choose one of {', '.join(_MATMUL_PRECISIONS)}")
    if trainer.accelerator not in _ACCELERATORS:
        raise ConfigError(f"trainer.accelerator={trainer.accelerator}: choose one of {', '.join(_ACCELERATORS)}")
    if trainer.precision == "16-mixed" and clip is not None and config.optimizer.get("fused"):
        raise ConfigError(
            "trainer.precision=16-mixed cannot clip gradients for a fused optimiser: optimizer.fused=false"
        )
    _check_devices(trainer.devices)
    _check_threads(trainer.threads)
    if config.logging.progress not in ("auto", "always", "never"):
        raise ConfigError(f"logging.progress={config.logging.progress}: auto, always or never")
    if not re.fullmatch(r"[\w.-]+", config.name):
        raise ConfigError(f"name={config.name}: letters, digits, '.', '_' and '-' alone: folders are named after it")
    given = {override.split("=")[0] for override in overrides}
    text = OmegaConf.to_yaml(config, resolve=False)
    for key in _READ_BY_PARTS:
        if key in given and f"${{{key}}}" not in text:
            raise UnreadError(key, f"{key} was given, and no part of this model reads it: leave it out")
    plain(config)


def _check_devices(devices: Any) -> None:
    """ConfigError for what names no devices, and for more processes than a machine can hold."""
    listed = list(devices) if isinstance(devices, ListConfig) else []
    number = devices if isinstance(devices, int) and not isinstance(devices, bool) else 0
    if not (devices == "auto" or number == -1 or number >= 1 or (listed and all(map(_is_number_of_device, listed)))):
        raise ConfigError(
            f"trainer.devices={devices}: a number of devices, or their numbers as in [0,1], or auto for all there are"
        )
    most = max(2, os.cpu_count() or 1)
    if number > most:
        raise ConfigError(f"trainer.devices={number}: this machine has {most} processor cores, and each needs one")


def _check_threads(threads: Any) -> None:
    """ConfigError for what is no number of threads, and for more than there are cores to run them."""
    cores = os.cpu_count() or 1
    whole = isinstance(threads, int) and not isinstance(threads, bool)
    if threads not in ("auto", None) and not (whole and 1 <= threads <= cores):
        raise ConfigError(f"trainer.threads={threads}: auto, or 1 to {cores}, the processor cores of this machine")


def _is_number_of_device(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
