r"""What is told to somebody: the one place that prints, and that makes words safe to print.

Names, versions, error texts and file names come from files that others wrote. What a terminal, a table or a viewer
would take for an order, or would not show, is told as Python writes it: \x1b, \n, \u202e.
"""

import sys
from typing import TextIO


def clean(words: str) -> str:
    """On one line, every sign of it seen; letters of any script and spaces stay."""
    return words if words.isprintable() else "".join(map(_seen, words))


def _seen(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


class _Loudness:
    """How much is told."""

    quiet = False  # errors and what was asked for alone
    verbose = False  # all that a log gets


def set_loudness(*, quiet: bool, verbose: bool) -> None:
    """Of this process."""
    _Loudness.quiet, _Loudness.verbose = quiet, verbose


def is_quiet() -> bool:
    """Whether nothing is told but errors and what was asked for."""
    return _Loudness.quiet


def is_verbose() -> bool:
    """Whether all that a log gets is told, too."""
    return _Loudness.verbose


def say(*lines: str, to: TextIO | None = None) -> None:
    """Lines on standard output, or on another stream, at once."""
    print("\n".join(map(clean, lines)), file=sys.stdout if to is None else to, flush=True)


def warn(line: str) -> None:
    """A line on standard error, unless the command is to be quiet."""
    if not is_quiet():
        fail(line)


def fail(line: str) -> None:
    """A line on standard error, of what went wrong."""
    print(clean(line), file=sys.stderr)
