"""What was typed: flags of Hydra's, and words for the groups and keys of the config."""

from argparse import ArgumentError, Namespace
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from vae_cli.errors import ConfigError

FOR_USERS = (HydraException, OmegaConfBaseException, ConfigError, OSError, MemoryError)  # what needs no other words
_OTHER_CONFIGS = ("config_name", "config_path", "experimental_rerun")  # flags that put another config in place of ours
_LONGEST = 60  # characters of a word that an error repeats
PRESETS = ("model", "experiment", "search")  # without them, the axes are as the root says

command_line: list[str] = []  # arguments of the command of this process


def check_choices(arguments: list[str], groups: Collection[str], of_hydra: Collection[str]) -> None:
    """Refuse what Hydra itself would refuse with an error of its insides, and what would make it write.

    Args:
        groups: of the command.
        of_hydra: keys of Hydra's own that the command takes; one that ends with a dot stands for all below it.

    Raises:
        ConfigError: where a flag is unknown or names another config; a group is given a number, a list or null instead
            of the name of a choice; a key is taken away, or is one of Hydra's that the command does not take.

    """
    _check_flags(arguments)
    words = overrides_of(arguments)
    for word, override in zip(words, parsed(words), strict=True):
        key = override.key_or_group
        if override.package is not None or not key:
            raise ConfigError(f"{word}: nothing reads a group in another place; group=choice is needed")
        if key.startswith(("hydra.", "hydra/")) or key == "hydra":
            _check_of_hydra(word, key, of_hydra)
        if override.is_delete() and not key.startswith("hydra") and key not in PRESETS:
            raise ConfigError(f"{word}: every key is needed; set another value")
        if (key in groups or key.startswith("hydra/")) and not override.is_delete() and not _are_names(override):
            raise ConfigError(f"{word}: the name of a choice is needed; --help shows them all")


def parsed(words: Sequence[str]) -> list[Override]:
    """Each word in Hydra's grammar.

    Raises:
        ConfigError: where the grammar takes a word and its value cannot be had.
        OverrideParseException: where the grammar does not take it.

    """
    parser, found = OverridesParser.create(), []
    for word in words:
        with typed(f"{word[:_LONGEST]!r}{'...' if len(word) > _LONGEST else ''}"):
            found += parser.parse_overrides([word])
    return found


@contextmanager
def typed(what: str) -> Iterator[None]:
    """Whatever Hydra raises in here is about what was typed, and not always made for users."""
    try:
        yield
    except FOR_USERS:
        raise
    except Exception as error:
        raise unreadable(error, what) from error


def unreadable(error: Exception, what: str) -> ConfigError:
    """In place of an error of somebody's insides."""
    return ConfigError(f"cannot read {what}: {str(error) or type(error).__name__}")


def _check_flags(arguments: Sequence[str]) -> None:
    flags = _flags(arguments)
    for flag in _OTHER_CONFIGS:
        if getattr(flags, flag) is not None:
            raise ConfigError(f"--{flag.replace('_', '-')}: the config is ours; --config-dir adds a folder of yours")
    if flags.package is not None and flags.cfg is None:
        raise ConfigError(f"--package {flags.package} is of what --cfg shows: add --cfg job")


def _check_of_hydra(word: str, key: str, of_hydra: Collection[str]) -> None:
    if not any(key == taken or (taken.endswith(".") and key.startswith(taken)) for taken in of_hydra):
        listed = ", ".join(f"{taken}*" if taken.endswith(".") else taken for taken in of_hydra)
        raise ConfigError(f"{word}: of Hydra's own keys, this command takes {listed}")


def refuse_added(overrides: Iterable[str], groups: Collection[str]) -> None:
    """ConfigError for a key that is added; `+group=choice` alone may be."""
    for override in overrides:
        key = override.split("=")[0]
        if key.startswith("+") and key.lstrip("+") not in groups:
            raise ConfigError(f"{override}: nothing reads a key that is added; set one of those that --help shows")


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """The words of a command line that are no flags of Hydra's."""
    return _flags(arguments).overrides


def own_folders() -> list[Path]:
    """Folders of configs of the user's own that the command line names."""
    flags = _flags(command_line)
    words = [word for word in flags.overrides if word.startswith("hydra.searchpath=")]
    values = [override.value() for override in parsed(words)]
    named = [one for value in values if isinstance(value, list) for one in value]
    places = [flags.config_dir] if flags.config_dir else []
    return [Path(str(place).removeprefix("file://")) for place in (*places, *named)]


def _flags(arguments: Sequence[str]) -> Namespace:
    """ConfigError for those that Hydra does not know."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        flags, unknown = parser.parse_known_args(list(arguments))
    except ArgumentError as error:
        raise ConfigError(f"{error}; --hydra-help shows every flag") from error
    if unknown:
        raise ConfigError(f"unknown flag {unknown[0]}: --hydra-help shows every flag")
    return flags


def _are_names(override: Override) -> bool:
    """Whether the value is a word, or each value of a sweep is."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return all(_is_name(one) for one in value.list)
    return isinstance(value, Glob) or _is_name(value)


def _is_name(value: object) -> bool:
    """A choice is known before anything that could be referred to."""
    return isinstance(value, str | QuotedString) and "${" not in str(value)


def typed_choices(arguments: list[str]) -> list[str]:
    """The words that choose."""
    return [word for word in arguments if "=" in word and word.partition("=")[0] in groups()]


def groups() -> set[str]:
    """Every group of `conf/`."""
    return {place.name for place in files("vae_cli.conf").iterdir() if place.is_dir()}
