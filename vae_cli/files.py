"""Files and folders that somebody else may have prepared: written whole, never through a link; read only if plain.

The folder that a user names may be a link. What lies in it is ours to write: a link there could lead anywhere, so a
file is made anew under its name, and a folder or a log that goes on must be a real one. What is read may lie behind a
link, as data often does, but must be a regular file: a pipe may never end, and a device has no end. Two processes that
write one file do so in turn.
"""

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

_WAIT = 2.0  # seconds, longer than a small file takes
_LOOK = 0.05  # seconds between two looks
_OPEN = os.O_CLOEXEC | os.O_NONBLOCK  # a pipe does not wait for its other end


# ---- reading --------------------------------------------------------------------------------------------------------


def opened(path: Path) -> BufferedReader:
    """A regular file, for reading.

    Raises:
        OSError: that names `path`, where it cannot be opened or is something else.

    """
    return open(_regular(os.open(path, os.O_RDONLY | _OPEN), path), "rb")


def read_text(path: Path, most: int) -> str:
    """What a regular file of at most so many bytes holds.

    Raises:
        OSError: that names `path`, where it cannot be read or is no regular file.
        ValueError: where it is longer, or is no UTF-8.

    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content.decode()


def _regular(descriptor: int, path: Path) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no regular file", str(path))
    return descriptor


# ---- writing --------------------------------------------------------------------------------------------------------


def created(path: Path) -> BinaryIO:
    """A new file in place of whatever has the name, for writing.

    Raises:
        OSError: that names `path`, where it cannot be made.

    """
    with suppress(FileNotFoundError):
        path.unlink()
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "wb")


def appended(path: Path) -> BinaryIO:
    """A file that is there or is made, for writing at its end.

    Raises:
        OSError: that names `path`, where it is a link or no regular file, or cannot be opened.

    """
    refuse_link(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | _OPEN
    return open(_regular(os.open(path, flags, 0o666), path), "ab")


def own_folder(path: Path) -> Path:
    """The folder, made where there is none.

    Raises:
        OSError: that names `path`, where it is a link or no folder, or cannot be made.

    """
    refuse_link(path)
    path.mkdir(exist_ok=True)
    return path


def refuse_links(folder: Path, pattern: str) -> None:
    """OSError that names it, where a file of that pattern is a link: another program writes there under such names."""
    for path in folder.glob(pattern):
        refuse_link(path)


def refuse_link(path: Path) -> None:
    """OSError that names the path, where it is one."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "It is a symbolic link, and nothing is written through one: remove it", str(path))


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write beside `path`, to the disk, then rename; a crash at any moment leaves what was there before.

    Raises:
        OSError: that names `path`, where it cannot be written; what was written of it is gone.

    """
    temporary = path.with_name(f".{path.name}.part")
    with _naming(path), _alone(temporary, lambda: created(temporary).close()), _made(temporary) as file:
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
        if os.path.lexists(path):
            path.rename(parts / "old")
        new.rename(path)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` for what becomes part of it; afterwards it is gone, whatever happened."""
    folder = path.with_name(f".{path.name}.parts")

    def make() -> None:
        _clear(folder)  # of a process that was killed
        folder.mkdir()

    with _alone(folder, make):
        try:
            yield folder
        finally:
            _clear(folder)


def _made(path: Path) -> BinaryIO:
    """A file of ours that is there, for writing."""
    return open(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb")


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


def _clear(path: Path) -> None:
    """Remove a folder with all that it holds; of a link, the link."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


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
