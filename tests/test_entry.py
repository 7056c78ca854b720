"""Ctrl-C while a command begins: status 130, no traceback."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_every_command_begins_where_the_signal_is_taken(script):
    module, _, name = script.partition(":")
    assert module == "vae_cli.cli.entry"
    assert callable(getattr(import_module(module), name))


# Where the signal comes: as hydra is imported, in an import that makes another error of it, in the work, at the end.
PLACES = {
    "import": "builtins.__import__ = lambda name, *a: (name != 'hydra' or os.kill(os.getpid(), 2), old(name, *a))[1]",
    "import that fails otherwise": "import vae_cli.cli.train as t\ndef main():\n try: os.kill(os.getpid(), 2); x = 1\n"
    " except BaseException: raise ImportError('numpy')\nt.main = main",
    "work": "import vae_cli.cli.train as t\ndef main(): os.kill(os.getpid(), 2); x = 1\nt.main = main",
    "end": "import atexit; atexit.register(lambda: os.kill(os.getpid(), 2))\n"
    "import vae_cli.cli.train as t\nt.main = exit",
}


@pytest.mark.parametrize("place", PLACES)
def test_interrupted_as_it_begins(place):
    code = (
        "import builtins, os, signal; old = builtins.__import__; signal.signal(2, signal.default_int_handler)\n"
        f"from vae_cli.cli import entry\n{PLACES[place]}\nentry.train()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")


def test_who_imports_the_package_keeps_their_handlers():
    code = "import signal; a = signal.getsignal(2); import vae_cli, vae_cli.cli.entry; assert signal.getsignal(2) is a"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
