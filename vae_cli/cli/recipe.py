"""A recipe (`experiment=`) sets numbers of the parts that it chose; typed choices must have them too."""

from collections.abc import Iterator, Mapping

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from vae_cli.cli.choices import own_folders
from vae_cli.cli.errors import dotted_keys
from vae_cli.cli.own_yaml import line_of, own_file
from vae_cli.cli.schema import check
from vae_cli.errors import ConfigError
from vae_cli.stored import always_named


def check_job(config: DictConfig, overrides: list[str], runtime_choices: Mapping[str, str | None]) -> None:
    """What a new run is checked for before torch is imported.

    Raises:
        ConfigError: where a value is out of range, or a recipe does not fit what was typed beside it.

    """
    choices = chosen(runtime_choices)
    _check_leaves(config, choices)
    check(config, overrides, runtime_choices)
    if "experiment" in choices:
        check_recipe(config, overrides, choices)


def _check_leaves(config: DictConfig, choices: Mapping[str, str]) -> None:
    """ConfigError where a leaf of the user's own does not say what it is."""
    for place, example in always_named().items() if own_folders() else ():
        part, key = place[0], ".".join(place)
        path = own_file(f"{part}/{choices.get(part)}")
        node = OmegaConf.select(config, key)
        if path is not None and not (isinstance(node, DictConfig) and "_target_" in node):
            inner = ".".join(place[1:])
            line = (inner and line_of(path, inner)) or 1
            where = f" below {inner}" if inner else ""
            raise ConfigError(f"{path}, line {line}: {part} needs a _target_{where}, as in _target_: {example}")


def chosen(runtime_choices: Mapping[str, str | None]) -> dict[str, str]:
    """The choice on every axis, Hydra's own left out."""
    return {axis: choice for axis, choice in runtime_choices.items() if choice and not axis.startswith("hydra/")}


def check_recipe(config: DictConfig, overrides: list[str], choices: Mapping[str, str]) -> None:
    """What the recipe sets beside what the chosen parts have.

    Raises:
        ConfigError: where `model=` is typed too, which chooses what the recipe chooses; or where a part that was typed
            lacks a number that the recipe sets.

    """
    recipe = f"experiment={choices['experiment']}"
    for override in overrides:
        if override.startswith("model="):
            raise ConfigError(
                f"{override} {recipe}: a recipe chooses its model; leave out one of them, or choose single axes "
                "(likelihood=, objective=, ...)"
            )
    axes = [f"{axis}={choice}" for axis, choice in choices.items() if axis not in ("experiment", "model")]
    known = set(_keys(compose("train", axes)))
    for key in _keys(config):
        if key not in known:
            axis = key.split(".")[0]
            raise ConfigError(
                f"{recipe} sets {key}, which {axis}={choices.get(axis)} has not: leave out one of them, or set what "
                "you need without the recipe"
            )


def _keys(config: DictConfig) -> Iterator[str]:
    return dotted_keys(OmegaConf.to_container(config, resolve=False), "")
