"""Paths and names as they are typed: `~` is the home folder, any sign is part of a name, and Hydra needs no quotes."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.errors import HydraException

from vae_cli.cli.choices import overrides_of, parsed
from vae_cli.cli.latest import LATEST, latest

PATHS = ("run", "init", "sweep", "out", "dataset.path", "dataset.root", "hydra.run.dir", "hydra.sweep.dir")
_NAMES = ("name",)
_FOLDERS = ("--config-dir", "-cd")
_SEVERAL = {"-m", "--multirun"}
_OF_HYDRA = ("'", '"', "[", "{", "choice(", "glob(", "range(", "sort(", "shuffle(", "str(")


def as_hydra_reads_them(arguments: Sequence[str], usable: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The same command line, its paths and names in words for Hydra; of a sweep, commas stand between values.

    Args:
        usable: keys that take `latest`, and the states of the runs that they can use.

    Raises:
        ConfigError: where there is no such run.

    """
    newest = {f"{key}={LATEST}": (key, states) for key, states in usable.items()}
    arguments = [f"{newest[one][0]}={latest(*newest[one])}" if one in newest else one for one in arguments]
    words, several = overrides_of(arguments), bool(_SEVERAL & {*arguments})
    return [
        _word(one, several) if one in words else _flag(one, before)
        for before, one in zip(["", *arguments], arguments, strict=False)
    ]


def shell_word(key: str, path: str | Path) -> str:
    """`key=path` to be pasted into a shell, where it names that very path."""
    text = str(path)
    return shlex.quote(f"{key}={quoted(text) if _is_of_hydra(text) or text.startswith('~') else text}")


def quoted(text: str) -> str:
    """A word for Hydra's grammar, in which a backslash is one unless it stands before a quote."""
    parts = text.split("'")
    doubled = [part + "\\" * (len(part) - len(part.rstrip("\\"))) for part in parts]
    return "'" + "\\'".join(doubled) + "'"


def home(path: str | Path) -> Path:
    """With the home folder in place of `~`."""
    return Path(path).expanduser()


def _word(word: str, several: bool) -> str:
    key, sign, value = word.partition("=")
    if key not in (*PATHS, *_NAMES) or not sign or not value:
        return word
    if _is_of_hydra(value):
        return _of_hydra(word, key)
    values = value.split(",") if several else [value]
    return f"{key}={','.join(_value(key, one) for one in values)}"


def _of_hydra(word: str, key: str) -> str:
    """What is quoted is one name all the same."""
    try:
        (override,) = parsed([word])
    except HydraException:
        return word
    whole = not override.is_sweep_override() and word.partition("=")[2][0] in "'\"" and "${" not in word
    return f"{key}={_value(key, str(override.value()))}" if whole else word


def _value(key: str, text: str) -> str:
    path = os.path.expanduser(text) if key in PATHS else text
    try:
        (override,) = parsed([f"{key}={path}"])
    except HydraException:
        return quoted(path)
    return path if not override.is_sweep_override() and override.value() == path else quoted(path)


def _is_of_hydra(value: str) -> bool:
    return value == "null" or "${" in value or value.startswith(_OF_HYDRA)


def _flag(argument: str, before: str) -> str:
    flag, sign, value = argument.partition("=")
    if sign and flag in _FOLDERS:
        return f"{flag}={os.path.expanduser(value)}"
    return os.path.expanduser(argument) if before in _FOLDERS else argument
