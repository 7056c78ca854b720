"""Rich as we use it: what names say is text, never markup."""

from typing import TextIO

from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

from vae_cli.telling import clean


def console(file: TextIO | None = None, width: int | None = None) -> Console:
    """On a stream; on standard error where none is named."""
    return Console(file=file, stderr=file is None, width=width, highlight=False, markup=False, emoji=False)


class Words(ProgressColumn):
    """A column of a progress display: a format of the `task`."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self._form = form

    def render(self, task: Task) -> Text:
        """On one line."""
        return Text(clean(self._form.format(task=task)))
