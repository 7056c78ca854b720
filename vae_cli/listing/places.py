"""Where runs lie: every run directory in some folders and below, each once. No link leads out of them, or around."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_cli.runs import SIGNS


@dataclass(frozen=True)
class Place:
    """A run directory, or a folder that cannot be read."""

    path: Path
    problem: str | None = None


def places(folders: Sequence[Path]) -> Iterator[Place]:
    """In order of their names; nothing below a run directory is one."""
    waiting, seen = list(reversed(folders)), set[tuple[int, int]]()
    while waiting:
        folder = waiting.pop()
        try:
            found = os.stat(folder)
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(folder) as content:
                entries = sorted(content, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            yield Place(folder, error.strerror)
            continue
        if any(entry.name in SIGNS for entry in entries):
            yield Place(folder)
        else:
            waiting += [folder / entry.name for entry in entries if _is_to_enter(entry)]


def _is_to_enter(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
    except OSError:  # it is gone
        return False
