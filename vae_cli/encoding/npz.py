"""Arrays of any length as one npz, of which memory holds a batch."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO
from zipfile import ZipFile, ZipInfo

import numpy as np

from vae_cli.encoding.columns import Columns
from vae_cli.files import folder_beside, replacing

_CHUNK = 2**20  # bytes copied at once


def write_npz(out: Path, examples: int, names: Mapping[str, Sequence[str]], batches: Iterable[Columns]) -> None:
    """`np.load(out)` has the arrays of all batches, and the lists of `names` that are not empty.

    Each array grows in a file of its own, in a folder beside `out`. These files are not mapped into memory: on a full
    disk, writing to a map ends the process.

    Args:
        examples: of all batches.

    Raises:
        OSError: that names `out`, where it cannot be written; nothing of it is left.

    """
    with replacing(out) as file, folder_beside(out) as folder:
        arrays: list[str] = []
        for columns in batches:
            arrays = list(columns)
            for name, values in columns.items():
                _append(folder / f"{name}.npy", values, examples)
        for key, listed in names.items():
            if listed:
                arrays.append(key)
                np.save(folder / f"{key}.npy", np.array(listed))
        _pack([folder / f"{name}.npy" for name in arrays], file)


def _append(path: Path, values: np.ndarray, examples: int) -> None:
    """`values` [B, ...] at the end of a .npy that will hold so many examples."""
    with path.open("ab") as file:
        if file.tell() == 0:
            shape = (examples, *values.shape[1:])
            header = {"descr": np.lib.format.dtype_to_descr(values.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(values).data)


def _pack(arrays: Iterable[Path], file: IO[bytes]) -> None:
    """Into a zip file without compression, equal for equal arrays; what is packed is removed: it need not fit twice."""
    with ZipFile(file, "w") as archive:
        for path in arrays:
            with path.open("rb") as array, archive.open(ZipInfo(path.name), "w", force_zip64=True) as member:
                shutil.copyfileobj(array, member, _CHUNK)
            path.unlink()
