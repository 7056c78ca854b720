"""Files that are whole or not there."""

import os
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
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        cause = error if isinstance(error, OSError) else error.__context__  # torch.save fails once more as it closes
        if isinstance(cause, OSError):
            cause.filename = str(path)
            raise cause from None
        raise
