"""Files that are whole or not there, and of one process: two that write one file do so in turn."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_WAIT = 2.0  # seconds, longer than a small file takes
_LOOK = 0.05  # seconds between two looks


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write beside `path`, to the disk, then rename; a crash at any moment leaves what was there before.

    Raises:
        OSError: that names `path`, where it cannot be written; what was written of it is gone.

    """
    temporary = path.with_name(f".{path.name}.part")
    with _naming(path), _alone(temporary, lambda: temporary.open("wb").close()), temporary.open("wb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which then takes the place of `path`; until its files are on the disk, that stays.

    Raises:
        OSError: that names `path`, where it cannot be written; what was written of it is gone.

    """
    with _naming(path), folder_beside(path) as parts:
        new = parts / "new"
        new.mkdir()
        yield new
        for file in new.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if path.exists():
            path.rename(parts / "old")
        new.rename(path)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` for what becomes part of it; afterwards it is gone, whatever happened."""
    folder = path.with_name(f".{path.name}.parts")

    def make() -> None:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        folder.mkdir()

    with _alone(folder, make):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(part: Path, make: Callable[[], None]) -> Iterator[None]:
    """Work on a file or folder beside the one that it is for; the system frees the lock when a process dies.

    Args:
        make: it anew, in place of what a process that was killed left.

    Raises:
        OSError: where another process works on it.

    """
    until = time.monotonic() + _WAIT
    while (lock := _claimed(part, make)) is None:
        if time.monotonic() > until:
            raise OSError(errno.EBUSY, "Another process writes it now: wait for it, or name another place", str(part))
        time.sleep(_LOOK)
    try:
        yield
    finally:
        os.close(lock)


def _claimed(part: Path, make: Callable[[], None]) -> int | None:
    """The descriptor that holds the lock; None where another process has it. One looks, and makes, at a time."""
    parent = os.open(part.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # on a network's file system that cannot lock folders, there is the second lock alone
            fcntl.flock(parent, fcntl.LOCK_EX)
        if _is_held(part):
            return None
        make()
        lock = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    finally:
        os.close(parent)


def _is_held(part: Path) -> bool:
    try:
        lock = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An OSError inside names `path`, unless another error was made of it."""
    try:
        yield
    except BaseException as error:
        cause = error if isinstance(error, OSError) else error.__context__  # torch.save fails once more as it closes
        if isinstance(cause, OSError) and error.__cause__ is None:
            cause.filename = str(path)
            raise cause from None
        raise
