"""An array in a .npy file, read by row; not mapped into memory, where a row that is gone would end the process."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
from torch import Size

from vae_cli.data.extent import Extent
from vae_cli.data.grey import Numbers
from vae_cli.data.streamed import Store
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.files import opened

_CHUNK = 2**22  # bytes read at once where all are wanted


@dataclass(frozen=True)
class Npy(Store):
    """Rows [N, *X] in C order, held as `numbers` says."""

    path: Path
    length: int
    shape: Size
    dtype: np.dtype
    offset: int  # of the first row, bytes
    checksum: int
    numbers: Numbers
    sample = 100_000

    def __len__(self) -> int:
        return self.length

    def read(self, index: np.ndarray) -> np.ndarray:
        """The rows of that index, in its order."""
        return self.numbers.read(self.raw(index))

    def raw(self, index: np.ndarray) -> np.ndarray:
        """As they stand in the file, each run of neighbours at once."""
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
        return rows


_ADVICE = "restore it and continue the run"


def open_npy(x: np.ndarray, name: str) -> tuple[Npy, Extent]:
    """The file that `x` is a memory map of as a store, and the extent of all its values; one pass over the file.

    Its numbers are those of bool, bytes or float32, to be replaced where they are taken otherwise.

    Raises:
        ConfigError: where it is in Fortran order or holds values that are not finite.

    """
    assert isinstance(x, np.memmap)
    path = Path(str(x.filename)).absolute()
    if not x.flags.c_contiguous:
        raise ConfigError(f"dataset.path={path}: {name} is in Fortran order; save np.ascontiguousarray({name})")
    kept = np.dtype(np.uint8 if x.dtype in (np.bool_, np.uint8) else np.float32)
    unchecked = Npy(path, len(x), Size(x.shape[1:]), x.dtype, x.offset, 0, Numbers(kept))
    rows = max(1, _CHUNK // x[0].nbytes)
    extent = Extent()
    checksum = crc32(repr((x.shape, x.dtype.str)).encode())
    for first in range(0, len(x), rows):
        raw = unchecked.raw(np.arange(first, min(first + rows, len(x))))
        values = unchecked.numbers.read(raw)
        check_finite(path, name, values, first)
        extent = extent.with_values(raw)
        checksum = crc32(values.data, checksum)
    return replace(unchecked, checksum=checksum), extent


def check_finite(path: Path, name: str, values: np.ndarray, first: int = 0) -> None:
    """ConfigError that names the first number that is not finite in 32 bits; `first`: the number of the first row."""
    if values.dtype != np.uint8 and not (finite := np.isfinite(values)).all():
        row, *place = map(int, np.argwhere(~finite)[0])
        columns = ",".join(map(str, place))
        count = int((~finite).sum())
        more = "" if count == 1 else f" (and {count - 1:,} more such)"
        raise ConfigError(
            f"dataset.path={path}: {name} holds {values[(row, *place)]} in row {first + row}, column {columns}{more}, "
            "counted from 0: finite numbers of 32 bits are needed; leave such rows out, or fill them in"
        )
