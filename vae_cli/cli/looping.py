"""A loop as a bar on standard error, where somebody sees it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from vae_cli.consoles import Words, console
from vae_cli.telling import is_quiet


@contextmanager
def shown(progress: str) -> Iterator[Callable[[Iterable[Any], str, int], Iterator[Any]]]:
    """What wraps a loop: (things, title, how many) -> things; `progress` is always, never, or auto: on a terminal."""
    seen = progress == "always" or (
        progress == "auto" and not is_quiet() and sys.stderr is not None and sys.stderr.isatty()
    )
    columns = (
        Words("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        Words("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True, disable=not seen) as display:

        def wrap(things: Iterable[Any], title: str, total: int) -> Iterator[Any]:
            task = display.add_task(title, total=total)
            for thing in things:
                yield thing
                display.advance(task)
            display.remove_task(task)

        yield wrap
