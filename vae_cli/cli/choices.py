"""What was typed for the groups of the config, `model=vae`."""

from importlib.resources import files

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from vae_cli.errors import ConfigError


def check_choices(arguments: list[str]) -> None:
    """Refuse what Hydra itself would refuse with an error of its insides.

    Raises:
        ConfigError: where a group is given a number, a list or null instead of the name of a choice, or a key is taken
            away.

    """
    words: list[str] = get_args_parser().parse_known_args(arguments)[0].overrides
    for word, override in zip(words, OverridesParser.create().parse_overrides(words), strict=True):
        if override.is_delete() and not word.startswith("~hydra"):
            raise ConfigError(f"{word}: every key is needed; set another value")
        named = override.is_sweep_override() or isinstance(override.value(), str)
        if override.key_or_group in groups() and not named:
            raise ConfigError(f"{word}: the name of a choice is needed; --help shows them all")


def typed_choices(arguments: list[str]) -> list[str]:
    """The words that choose."""
    return [word for word in arguments if "=" in word and word.partition("=")[0] in groups()]


def groups() -> set[str]:
    """Every group of `conf/`."""
    return {place.name for place in files("vae_cli.conf").iterdir() if place.is_dir()}
