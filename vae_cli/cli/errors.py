"""Every command enters here: what a user can put right is one line and exit status 1; a traceback is our own fault."""

import difflib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from vae_cli import __version__
from vae_cli.cli.choices import command_line, groups, parsed, typed_choices
from vae_cli.cli.own_yaml import located, preset_slip, slip
from vae_cli.errors import ConfigError, TrainingError, UnreadError, is_out_of_memory
from vae_cli.telling import fail, say, set_loudness

_LAUNCHERS = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
}
_QUIET, _VERBOSE, _VERSION = {"-q", "--quiet"}, {"-v", "--verbose"}, {"--version"}
_MOST_COMPOSED = 20  # configs whose keys are known to an error
_TRACEBACK = "HYDRA_FULL_ERROR"  # set to 1 by a user who wants tracebacks


def run_command(command: Callable[[], int], config_name: str) -> None:
    """Runs a command and exits with its status."""
    sys.argv[1:], own = _without_own_flags(sys.argv[1:])
    command_line[:] = sys.argv[1:]
    set_loudness(quiet=bool(own & _QUIET), verbose=bool(own & _VERBOSE))
    on_request = os.environ.get(_TRACEBACK) == "1"
    os.environ[_TRACEBACK] = "1"  # Hydra then raises instead of printing in its own way
    try:
        status = _tell_version() if own & _VERSION else command()
    except KeyboardInterrupt:  # before training began; afterwards it is honoured between two steps
        status = 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read our output, `head` perhaps, has seen enough
        say_no_more()
        status = 128 + signal.SIGPIPE
    except Exception as error:
        if on_request or not is_users(error):
            raise
        print_error(error, config_name)
        status = 1
    sys.exit(status)


def _without_own_flags(arguments: list[str]) -> tuple[list[str], set[str]]:
    """What is left of a command line, and those of the flags that every command has."""
    ours = _QUIET | _VERBOSE | _VERSION
    return [one for one in arguments if one not in ours], ours & {*arguments}


def _tell_version() -> int:
    say(f"vae-{Path(sys.argv[0]).stem.removeprefix('vae-')} {__version__}")
    return 0


def say_no_more() -> None:
    """Python would try once more to write what stands in its buffers when it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_users(error: Exception) -> bool:
    """Whether it is the user who can put it right."""
    named = isinstance(error, ConfigError | TrainingError | OSError | HydraException | OmegaConfBaseException)
    return named or is_out_of_memory(error)


def print_error(error: Exception, config_name: str) -> None:
    """One line on standard error, from the first of several processes."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    fail(f"error: {' '.join(explain(error, config_name).split())}")


def explain(error: Exception, config_name: str) -> str:
    """What it says to a user, and what would work; with file and line where it stands in a file of the user's own."""
    if (where := slip(error) or preset_slip(str(error))) is not None:
        return where
    text, choices = _explained(error, config_name), typed_choices(command_line)
    key = re.search(r"full_key: ([\w.]+)", str(error)) or re.match(r"([a-z_]+[\w.]*)(?:=|: )", text)
    return located(text, key[1], choices) if key and choices else text


def _explained(error: Exception, config_name: str) -> str:
    text = str(error)
    if is_out_of_memory(error):
        return (
            "memory ran out: choose fewer or smaller examples, a smaller dataset.batch_size, dataset.eval_batch_size, "
            "objective.num_samples, latent_dim or architecture"
        )
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: {_reason(error)}"
    if raised := re.match(r"In '.*?': (\w+) raised while composing config:\s*(.*?)\s*full_key: (\S+)", text, re.DOTALL):
        unknown = raised[1] == "ConfigKeyError"
        return _unknown(raised[3], config_name) if unknown else f"{raised[3]}: {_without_types(raised[2])}"
    if isinstance(error, HydraException) and isinstance(error.__cause__, OmegaConfBaseException):
        if text.startswith("Error merging override "):
            return f"{text.removeprefix('Error merging override ')}: {_first_line(error.__cause__)}"
        text = f"{text} {error.__cause__}"
    if (key := _unknown_key(text)) is not None:
        return _unknown(key, config_name)
    if choice := re.search(r"Could not find '([^']+)'.*Available options in '([^']+)':(.*)", text, re.DOTALL):
        group, options = choice[2], choice[3].split("Config search path")[0].split()
        name = choice[1].removeprefix(f"{group}/")
        if group == "hydra/launcher" and name in _LAUNCHERS:
            return f"hydra/launcher={name} is not installed: pip install {_LAUNCHERS[name]}"
        return f"unknown {group} {name!r}{did_you_mean(name, options)} The choices are: {', '.join(options)}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: a value is needed"
    if isinstance(error, OmegaConfBaseException):
        typed = [word for word in command_line if "${" in word]
        return f"{error.full_key or ' '.join(typed)}: {_first_line(error)}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return text


def _unknown(key: str, config_name: str) -> str:
    return f"unknown key {key!r}{did_you_mean(key, _known_keys(config_name))} --help shows every key"


def key_without_reader(error: Exception) -> str | None:
    """The key that was typed and that a composition has not, or does not read; None for another error."""
    return error.key if isinstance(error, UnreadError) else _unknown_key(str(error))


def _unknown_key(text: str) -> str | None:
    unknown = re.match(r"Could not override '([^']+)'|(?:In '.*?': )?Could not find '([^'/]+)'", text)
    return unknown and (unknown[1] or unknown[2])


def _reason(error: OverrideParseException) -> str:
    """Why Hydra's grammar does not take a word; where it speaks of its own insides, what would work."""
    if function := re.search(r"while evaluating .*", error.message):
        return function[0]
    return (
        "key=value is needed; a value of other signs than letters, digits and -_./: stands in quotes within quotes, "
        "\"key='value'\""
    )


_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def _first_line(error: BaseException) -> str:
    """What OmegaConf says, without its names for types."""
    return _without_types(str(error).partition("\n")[0])


def _without_types(line: str) -> str:
    kind = re.search(r"could not be converted to (\w+)$", line)
    if kind and kind[1] in _KINDS:
        return f"{_KINDS[kind[1]]} is needed"
    if "is not a valid bool" in line:
        return "true or false is needed"
    return "a list is needed" if line.endswith("is not a ListConfig, list or tuple.") else line


def did_you_mean(word: str, known: list[str]) -> str:
    """The nearest names, comparing whole keys and last parts."""
    if word in known:
        return ": the part that was chosen has none; --cfg job shows what it has."
    by_last_part = {key.rpartition(".")[2]: key for key in reversed(known)}
    near = difflib.get_close_matches(word, known, n=3)
    near += [by_last_part[part] for part in difflib.get_close_matches(word.rpartition(".")[2], by_last_part, n=3)]
    names = list(dict.fromkeys(near))[:3]
    return f"; did you mean {' or '.join(names)}?" if names else "."


def _known_keys(config_name: str) -> list[str]:
    """Every key of the compositions that the typed choices make; of the default one, where a choice is bad."""
    ours = GlobalHydra.instance().hydra  # of the command, which may go on
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("vae_cli.conf", version_base="1.3"):
            try:
                configs = [compose(config_name, choices) for choices in _combined(typed_choices(command_line))]
            except (HydraException, OmegaConfBaseException, ValueError):
                configs = [compose(config_name)]
        keys = [key for one in configs for key in dotted_keys(OmegaConf.to_container(one, resolve=False), "")]
        return list(dict.fromkeys([*keys, *sorted(groups() - {"hydra"})]))
    finally:
        GlobalHydra.instance().hydra = ours


def _combined(choices: list[str]) -> list[list[str]]:
    """Every combination of choices that are swept, or the first of very many."""
    return BasicSweeper.split_arguments(parsed(choices), None)[0][:_MOST_COMPOSED]


def dotted_keys(node: Any, prefix: str) -> Iterator[str]:
    """Every key of a node and below, `a`, `a.b`, ...; none of those that begin with an underscore."""
    for key, value in node.items():
        if not str(key).startswith("_"):
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from dotted_keys(value, f"{prefix}{key}.")
