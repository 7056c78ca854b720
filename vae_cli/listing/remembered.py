"""What was read of many runs, so that they need not be read again while their files stay as they are.

It is kept in the user's own cache, not beside the runs, where others may write and where we may not. An entry counts
while every file that it was read from is the same one: inode, size, and when it was written and changed.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vae_cli import __version__
from vae_cli.files import own_folder, read_text, replacing
from vae_cli.listing.places import Place
from vae_cli.listing.record import Record
from vae_cli.runs import RunDirectory

_FILES = ("config.yaml", "status.json", "metrics.json")  # that a record is made of, with the lock
_FEWEST = 100  # runs that are worth a file
_LARGEST = 2**28  # bytes of one
_MOST = 20  # files that are kept
_SETTLED = 2 * 10**9  # nanoseconds after which a file that changes has another time, whatever its disk counts in

Stamp = list[list[int]]


def records(places: Sequence[Place], read: Callable[[Place], Record]) -> list[Record]:
    """What `read` says of every place; where many are as they were at an earlier call, what it said then."""
    if len(places) < _FEWEST:
        return [read(place) for place in places]
    paths = [os.path.abspath(place.path) for place in places]
    name = hashlib.sha256("\0".join([__version__, os.path.commonpath(paths)]).encode(errors="surrogateescape"))
    before = _load(name.hexdigest())
    found, after = [], dict[str, Any]()
    for place, path in zip(places, paths, strict=True):
        stamp = _stamp(place)
        entry = before.get(path)
        if stamp is not None and entry is not None and entry["stamp"] == stamp:
            one = Record(place, **entry["record"])
        else:
            one, entry = read(place), None
        found.append(one)
        if stamp is not None and _is_settled(stamp) and one.state != "running":
            after[path] = entry or {"stamp": stamp, "record": _content(one)}
    if after != before:
        _save(name.hexdigest(), after)
    return found


def _stamp(place: Place) -> Stamp | None:
    """Of the files of a run; None where nothing that lasts can be said of it."""
    if place.problem is not None:
        return None
    try:
        if RunDirectory(place.path).in_use():
            return None
        return [_stamp_of(place.path / name) for name in _FILES]
    except OSError:
        return None


def _stamp_of(path: Path) -> list[int]:
    """[] where there is no file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _is_settled(stamp: Stamp) -> bool:
    now = time.time_ns()
    return all(now - moment > _SETTLED for times in stamp for moment in times[2:])


def _content(record: Record) -> dict[str, Any]:
    content = asdict(record)
    del content["place"]
    return content


# ---- the file -------------------------------------------------------------------------------------------------------


def _folder() -> Path:
    return Path.home() / ".cache" / "vae-train" / "listings"


def _load(name: str) -> Mapping[str, Any]:
    """The entries by path; {} where there are none that are whole."""
    try:
        digest, _, content = read_text(_folder() / name, _LARGEST).partition("\n")
        return json.loads(content) if digest == _digest(content) else {}
    except (OSError, ValueError, RuntimeError):
        return {}


def _save(name: str, entries: Mapping[str, Any]) -> None:
    """Where it cannot be written, there is none."""
    content = json.dumps(entries)
    with suppress(OSError, RuntimeError):
        folder = _folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        own_folder(folder).chmod(0o700)
        with replacing(folder / name) as file:
            file.write(f"{_digest(content)}\n{content}".encode())
        oldest_first = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime)
        for path in oldest_first[:-_MOST]:
            path.unlink()


def _digest(content: str) -> str:
    """What tells a file that was written whole, by this code."""
    return hashlib.sha256(content.encode()).hexdigest()
