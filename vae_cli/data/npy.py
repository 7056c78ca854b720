"""An array in a .npy file, read by row; not mapped into memory, where a row that is gone would end the process."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Size

from vae_cli.data.base import support_of
from vae_cli.data.streamed import Store
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.files import opened
from vae_cli.types import Binary, Levels, Real, Support, UnitInterval

_CHUNK = 2**22  # bytes read at once where all are wanted


@dataclass(frozen=True)
class Npy(Store):
    """Rows [N, *X] of bool, uint8 or floats, in C order; bool is read as uint8 and floats as float32."""

    path: Path
    length: int
    shape: Size
    dtype: np.dtype
    offset: int  # of the first row, bytes
    checksum: int
    sample = 100_000

    def __len__(self) -> int:
        return self.length

    def read(self, index: np.ndarray) -> np.ndarray:
        """The rows of that index, in its order, each run of neighbours at once."""
        rows = np.empty((len(index), *self.shape), self.dtype)
        runs = pairwise([0, *np.flatnonzero(np.diff(index) != 1) + 1, len(index)])
        size = rows[0].nbytes
        try:
            with opened(self.path) as file:
                for first, end in runs:
                    file.seek(self.offset + int(index[first]) * size)
                    if file.readinto(rows[first:end].data) != (end - first) * size:
                        raise TrainingError(f"{self.path} has become shorter: {_ADVICE}")
        except OSError as error:
            raise TrainingError(f"{self.path} can no longer be read ({error.strerror}): {_ADVICE}") from error
        return as_read(rows)


_ADVICE = "restore it and continue the run"


def open_npy(x: np.ndarray) -> tuple[Npy, Support]:
    """The file that `x` is a memory map of as a store, and the support of all its values; one pass over the file.

    Raises:
        ConfigError: where it is in Fortran order or holds values that are not finite.

    """
    assert isinstance(x, np.memmap)
    path = Path(str(x.filename)).absolute()
    if not x.flags.c_contiguous:
        raise ConfigError(f"dataset.path={path}: x is in Fortran order; save np.ascontiguousarray(x)")
    unchecked = Npy(path, len(x), Size(x.shape[1:]), x.dtype, x.offset, 0)
    rows = max(1, _CHUNK // x[0].nbytes)
    supports: list[Support] = [Binary()]
    checksum = crc32(repr((x.shape, x.dtype.str)).encode())
    for first in range(0, len(x), rows):
        values = unchecked.read(np.arange(first, min(first + rows, len(x))))
        check_finite(path, values)
        supports.append(support_of(torch.from_numpy(values)))
        checksum = crc32(values.data, checksum)
    return replace(unchecked, checksum=checksum), max(supports, key=_width)


def _width(support: Support) -> int:
    """Of two supports that bytes, or floats, may have, the wider one holds the other."""
    return [Binary, UnitInterval, Levels, Real].index(type(support))


def check_finite(path: Path, values: np.ndarray) -> None:
    """ConfigError where some float is not."""
    if values.dtype != np.uint8 and not np.isfinite(values).all():
        raise ConfigError(f"dataset.path={path}: x holds values that are not finite numbers of 32 bits")


def as_read(rows: np.ndarray) -> np.ndarray:
    """Bool and bytes as uint8, floats of any size as float32."""
    if rows.dtype == np.bool_:
        return rows.view(np.uint8)
    with np.errstate(over="ignore"):
        return rows if rows.dtype == np.uint8 else rows.astype(np.float32, copy=False)
