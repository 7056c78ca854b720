"""Where every command begins: Ctrl-C ends it without a traceback and with status 130, whatever is being imported.

Only the commands come here: who imports `vae_cli` keeps their own handlers. Nothing that takes time is imported before
the signal is taken. A process that was started with SIGINT ignored goes on ignoring it.
"""

import os
import signal
from collections.abc import Callable
from importlib import import_module
from types import FrameType

COMMANDS = ("train", "encode", "eval", "sample", "export", "runs")
_came = False  # while a command was at work and had no handler of its own


def train() -> None:
    """`vae-train`."""
    run("train")


def encode() -> None:
    """`vae-encode`."""
    run("encode")


def evaluate() -> None:
    """`vae-eval`."""
    run("eval")


def sample() -> None:
    """`vae-sample`."""
    run("sample")


def export() -> None:
    """`vae-export`."""
    run("export")


def runs() -> None:
    """`vae-runs`."""
    run("runs")


def run(name: str) -> None:
    """`vae-<name>`. Before and after its work there is nothing to put in order, and the process ends at once."""
    _take(_leave)
    main = import_module(f"vae_cli.cli.{name}").main
    _take(_interrupt)
    try:
        main()
    except BaseException as error:
        if _came and not isinstance(error, SystemExit):  # what was being imported makes other errors of it
            raise SystemExit(128 + signal.SIGINT) from None
        raise
    finally:
        _take(_leave)


def _take(handler: Callable[[int, FrameType | None], None]) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    signal.default_int_handler(number, frame)
