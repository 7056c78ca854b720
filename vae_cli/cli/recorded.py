"""The words of a job that a sweep's folder records, which somebody else may have written there."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from vae_cli.cli.choices import check_choices, groups, parsed, refuse_added
from vae_cli.errors import ConfigError
from vae_cli.names import is_plain_name
from vae_cli.schema import TrainConfig
from vae_cli.stored import check_names

OF_THE_COMMAND = ("sweep", "retry", "search", "run", "trust")  # keys of root that make no job
_FETCHED = ("mirrors", "checksums", "root")  # say what is fetched, from where, and where to
_REFERENCE = re.compile(r"\$\{\.*[\w.]+\}")  # to another key of the config; anything else with ${ is a resolver


def check_recorded(words: Sequence[str], trust: Collection[str], where: str) -> None:
    """Refuse what would reach beyond the parts that the command's own choices and `trust` hold.

    Args:
        trust: modules that the user named in this command.
        where: the words stand, for users.

    Raises:
        ConfigError: for words that set Hydra or the command itself, resolve anything but keys of the config, choose
            files by paths, or name code or mirrors; typed again with the command, they are the user's.

    """
    try:
        overrides = parsed(list(words))
        for word, override in zip(words, overrides, strict=True):
            if reason := _refusal(word, override):
                raise ConfigError(f"{word!r} {reason}: if you want it, type the command of the sweep again")
        check_choices(list(words), groups(), ())
        refuse_added(words, groups())
    except (HydraException, ConfigError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from error
    for override in overrides:
        check_names(_nested(override), trust, where)


def _refusal(word: str, override: Override) -> str | None:
    """Why a word is none that a job may have."""
    key, value = override.key_or_group, override.value()
    if key.partition(".")[0].partition("/")[0] == "hydra" or override.package is not None:
        return "is for Hydra, not for a job"
    if key in OF_THE_COMMAND:
        return "is for the command, not for a job"
    if override.is_sweep_override():
        return "has several values"
    if _chooses(key) and not override.is_delete() and not is_plain_name(_plain(value)):
        return "chooses no leaf by its name"
    if any("${" in _REFERENCE.sub("", text) for text in [word, *_texts(_plain(value))]):
        return "resolves more than a key of the config"
    if key != "dataset.root" and {*_FETCHED} & {*_keys(_nested(override))}:
        return "says what is fetched"
    return None


def _chooses(key: str) -> bool:
    """Whether Hydra may look for a file of that name; the user's own folders of configs may hold more groups."""
    return "." not in key and (key in groups() or key not in TrainConfig.__dataclass_fields__)


def _nested(override: Override) -> Any:
    """What a word sets, from the root of the config."""
    content = _plain(override.value())
    for key in reversed(override.key_or_group.split(".")):
        content = {key: content}
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _texts(value: Any) -> Iterator[str]:
    """Every text in a plain value, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in [*value, *(value.values() if isinstance(value, dict) else ())]:
            yield from _texts(one)


def _keys(value: Any) -> Iterator[str]:
    """Every key in a plain value."""
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(one)
    yield from value if isinstance(value, dict) else ()
