"""How loops tell how far they are, and how long they will take."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Progress = Callable[[Iterable[Any], str, int], Iterator[Any]]  # a loop, its title, its length -> the loop, shown


def silent(things: Iterable[Any], _title: str, _total: int) -> Iterator[Any]:
    """Shows nothing."""
    yield from things


_SAMPLE = 1.0  # seconds of a loop, after which its length is estimated
_LONG = 20.0  # seconds that are worth a line


def foretold(progress: Progress, tell: Callable[[str], None]) -> Progress:
    """The same, and a line for every title whose loop is going to take long, as soon as a piece of it was timed."""
    told: set[str] = set()

    def loop(things: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        start = time.monotonic()
        for done, thing in enumerate(progress(things, title, total)):
            passed = time.monotonic() - start
            if done and passed > _SAMPLE and title not in told:
                told.add(title)
                if (left := passed / done * total) > _LONG:
                    tell(f"{title}: about {_in_words(left)}")
            yield thing

    return loop


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
