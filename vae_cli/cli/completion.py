"""`-sc install=bash`: completion by Tab, of groups and keys as Hydra finds them, and of paths wherever one is typed."""

import os
import sys
from pathlib import Path

from hydra import initialize_config_module
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra.core.global_hydra import GlobalHydra

from vae_cli.cli.typed_paths import PATHS
from vae_cli.telling import say

_FLAGS = {"-sc", "--shell-completion", "--shell_completion"}
# With `=` among the shell's word breaks, which stay as they are, only what follows it is replaced.
_SCRIPT = """\
_vae_completion()
{
    local line=${COMP_LINE:0:COMP_POINT} IFS=$'\\n'
    local word=${line##* }
    COMPREPLY=($(compgen -W "$(COMP_LINE=$line "$1" -sc query=bash 2>/dev/null)" -- "$word"))
    if [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
}
complete -o nospace -o default -F _vae_completion """


def completes(arguments: list[str], config_name: str) -> bool:
    """Whether the command line is of the shell's completion; then it was answered. Of other shells, Hydra answers."""
    if not _FLAGS & {*arguments}:
        return False
    name = Path(sys.argv[0]).name
    if "install=bash" in arguments:
        say(*(_SCRIPT + name).splitlines())
    elif "uninstall=bash" in arguments:
        say(f"complete -r {name}", "unset -f _vae_completion")
    elif "query=bash" in arguments:
        say(*suggestions(os.environ["COMP_LINE"], config_name))
    else:
        return False
    return True


def suggestions(line: str, config_name: str) -> list[str]:
    """What the last word of a command line may become."""
    word = line.rpartition(" ")[2]
    key, sign, value = word.partition("=")
    if sign and key in PATHS:
        return [f"{key}={path}" for path in _paths_from(value)]
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        plugin = BashCompletion(GlobalHydra.instance().config_loader())
        return plugin._query(config_name, BashCompletion.strip_python_or_app_name(line))  # noqa: SLF001


def _paths_from(value: str) -> list[str]:
    """Those that begin so, folders with a slash at the end; hidden ones where a dot was typed."""
    typed, sign, begun = value.rpartition("/")
    folder = Path(f"{typed}{sign}" or ".").expanduser()
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    hidden = begun.startswith(".")
    names = [entry.name + "/" * entry.is_dir() for entry in entries if hidden or not entry.name.startswith(".")]
    latest = ["latest"] if not sign and "latest".startswith(begun) else []
    return [*latest, *(f"{typed}{sign}{name}" for name in names if name.startswith(begun))]
