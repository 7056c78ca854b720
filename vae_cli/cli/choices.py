"""What was typed for the groups of the config, `model=vae`."""

from collections.abc import Collection, Iterable, Sequence
from importlib.resources import files

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString

from vae_cli.errors import ConfigError

_PRESETS = ("model", "experiment", "search")  # without them, the axes are as the root says


def check_choices(arguments: list[str], groups: Collection[str]) -> None:
    """Refuse what Hydra itself would refuse with an error of its insides.

    Args:
        groups: of the command.

    Raises:
        ConfigError: where a group is given a number, a list or null instead of the name of a choice, or a key is taken
            away.

    """
    words = overrides_of(arguments)
    for word, override in zip(words, OverridesParser.create().parse_overrides(words), strict=True):
        key = override.key_or_group
        if override.is_delete() and not key.startswith("hydra") and key not in _PRESETS:
            raise ConfigError(f"{word}: every key is needed; set another value")
        if (key in groups or key.startswith("hydra/")) and not override.is_delete() and not _are_names(override):
            raise ConfigError(f"{word}: the name of a choice is needed; --help shows them all")


def refuse_added(overrides: Iterable[str], groups: Collection[str]) -> None:
    """ConfigError for a key that is added; `+group=choice` alone may be."""
    for override in overrides:
        key = override.split("=")[0]
        if key.startswith("+") and key.lstrip("+") not in groups:
            raise ConfigError(f"{override}: nothing reads a key that is added; set one of those that --help shows")


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """The words of a command line that are no flags of Hydra's."""
    return get_args_parser().parse_known_args(list(arguments))[0].overrides


def _are_names(override: Override) -> bool:
    """Whether the value is a word, or each value of a sweep is."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return all(isinstance(one, str | QuotedString) for one in value.list)
    return isinstance(value, str | Glob)


def typed_choices(arguments: list[str]) -> list[str]:
    """The words that choose."""
    return [word for word in arguments if "=" in word and word.partition("=")[0] in groups()]


def groups() -> set[str]:
    """Every group of `conf/`."""
    return {place.name for place in files("vae_cli.conf").iterdir() if place.is_dir()}
