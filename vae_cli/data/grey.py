"""How the numbers of a file are taken: as grey levels of which count, or as they are."""

from dataclasses import dataclass

import numpy as np

from vae_cli.data.extent import Extent
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Levels, Real, Support, UnitInterval

AUTO, NONE, BYTES = "auto", "none", "bytes"
_BYTES = 256
_DARK = 127  # bytes up to here are not the usual ones, so they say how many levels there are


@dataclass(frozen=True)
class Numbers:
    """Of one array.

    Args:
        dtype: in which they are held, uint8 or float32.
        top: what they are divided by when they are read.
        levels: how many grey levels they are; None where they are no levels, or too many to be held as such.

    """

    dtype: np.dtype
    top: int = 1
    levels: int | None = None

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the file as they are held."""
        if rows.dtype == np.bool_:
            return rows.view(np.uint8)
        with np.errstate(over="ignore"):
            read = rows.astype(self.dtype, copy=False)
        return read if self.top == 1 else read / np.float32(self.top)

    def support(self, extent: Extent) -> Support:
        """Of x, whose values in the files have this extent."""
        if extent.binary:
            return Binary()
        if self.levels is not None:
            return Levels(self.levels)
        return UnitInterval() if extent.low >= 0 and extent.high / self.top <= 1 else Real()


def numbers_of(dtype: np.dtype, extent: Extent, levels: int | str) -> tuple[Numbers, int | str]:
    """How values of that type and extent are taken, and the `dataset.levels` that says so.

    0 and 1 are taken as they are. auto: bytes up to 127 have as many levels as the highest says, other bytes 256;
    16-bit values as many as a power of two that the highest needs; other numbers are none. bytes: bytes have 256, other
    numbers are none. A count: whole numbers are so many levels, and fractions are taken as they are.

    Raises:
        ConfigError: where they cannot be taken so.

    """
    count = _chosen(dtype, extent.high, levels)
    if extent.binary or count is None or not extent.whole:
        return Numbers(np.dtype(np.uint8 if extent.binary else np.float32)), levels
    if extent.low < 0 or extent.high > count - 1:
        raise ConfigError(
            f"dataset.levels={count}: x holds numbers from {extent.low:g} to {extent.high:g}, and {count} grey levels "
            f"are 0 to {count - 1}"
        )
    if count <= _BYTES:
        return Numbers(np.dtype(np.uint8), levels=count), count
    return Numbers(np.dtype(np.float32), top=count - 1), count


def _chosen(dtype: np.dtype, high: float, levels: int | str) -> int | None:
    """How many levels there are; None for numbers that are none."""
    if isinstance(levels, int):
        if not (2 <= levels <= 2**16):
            raise ConfigError(f"dataset.levels={levels}: auto, bytes, none, or 2 to 65536")
        return levels
    if levels not in (AUTO, NONE, BYTES):
        raise ConfigError(f"dataset.levels={levels}: auto, bytes, none, or a count of grey levels")
    if levels == BYTES:
        return _BYTES if dtype == np.uint8 else None
    if levels == NONE or dtype not in (np.uint8, np.uint16):
        return None
    if dtype == np.uint16:
        return 2 ** max(1, int(high).bit_length())
    return int(high) + 1 if 1 < high <= _DARK else _BYTES


def doubt(dtype: np.dtype, extent: Extent, levels: int | str) -> tuple[str, ...]:
    """What to say of a count that was found, where it is not that of the type."""
    full = 2 ** (8 * dtype.itemsize)
    if extent.binary or levels in (AUTO, full):
        return ()
    assert isinstance(levels, int)
    return (
        f"x holds {dtype} up to {extent.high:g}, taken as {levels} grey levels, level / {levels - 1}; "
        f"dataset.levels={full} takes them as of {full}",
    )
