"""Files that are whole or not there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write beside `path`, to the disk, then rename; a crash at any moment leaves what was there before.

    Raises:
        OSError: that names `path`, where it cannot be written; what was written of it is gone.

    """
    temporary = path.with_name(f".{path.name}.part")
    with _naming(path):
        try:
            with temporary.open("wb") as file:
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
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
