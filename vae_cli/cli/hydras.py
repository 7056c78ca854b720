"""Hydra composes the command line and calls the command; what it raises by itself is about what was typed."""

from pathlib import Path
from traceback import walk_tb
from types import TracebackType

import hydra
from hydra.types import TaskFunction

from vae_cli.cli.choices import FOR_USERS, unreadable

_OURS = Path(__file__).parents[1]


def run_hydra(task: TaskFunction, config_name: str) -> None:
    """The composed config of `conf/` goes to the task; nothing is called where Hydra was asked to show something.

    Raises:
        ConfigError: where Hydra breaks on the command line.

    """
    try:
        hydra.main(version_base="1.3", config_path="pkg://vae_cli.conf", config_name=config_name)(task)()
    except Exception as error:
        called = error.__traceback__ and error.__traceback__.tb_next
        if isinstance(error, FOR_USERS) or _went_through_ours(called):
            raise
        raise unreadable(error, "the command line") from error


def _went_through_ours(trace: TracebackType | None) -> bool:
    return any(_OURS in Path(frame.f_code.co_filename).parents for frame, _ in walk_tb(trace))
