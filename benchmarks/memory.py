"""Peak memory of a run beside the size of its data: held in memory, and streamed from a .npy ten times as large.

python benchmarks/memory.py [--megabytes 200]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_2_0
from rich.console import Console
from rich.table import Table

COMMAND = str(Path(sys.executable).with_name("vae-train"))
SIDE = 64
PIECE = 256  # images that are written at once
WORDS = [
    "dataset=arrays",
    "likelihood=gaussian",
    "trainer.max_steps=200",
    "trainer.accelerator=cpu",
    "logging.validate_every_n_epochs=0",
    "logging.pictures_every_n_epochs=0",
    "dataset.val=0.01",
    "dataset.test=0.01",
]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    small = parser.parse_args().megabytes
    table = Table(title="peak resident memory of 200 steps, MB", title_justify="left")
    for column in ("data", "size", "peak", "peak above that of a tiny set"):
        table.add_column(column, justify="left" if column == "data" else "right")
    with tempfile.TemporaryDirectory() as folder:
        sizes = [("tiny, in memory", 1, "null"), ("in memory", small, "null"), ("streamed", small, "0")]
        base = None
        for name, megabytes, workers in [*sizes, ("streamed", 10 * small, "0")]:
            path = _write(Path(folder), megabytes)
            peak = _peak([*WORDS, f"dataset.path={path}", f"dataset.workers={workers}"], Path(folder))
            base = peak if base is None else base
            table.add_row(name, str(megabytes), f"{peak:.0f}", f"{peak - base:.0f}")
    Console().print(table)


def _write(folder: Path, megabytes: int) -> Path:
    """Grey noise of 64 x 64 pixels."""
    path = folder / f"{megabytes}.npy"
    if not path.exists():
        count = megabytes * 2**20 // SIDE**2 // PIECE * PIECE
        rng = np.random.default_rng(0)
        with path.open("wb") as file:  # not mapped: what this process holds would count as the next one's peak
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, 1, SIDE, SIDE)}
            write_array_header_2_0(file, header)
            for _ in range(count // PIECE):
                file.write(rng.bytes(PIECE * SIDE**2))
    return path


def _peak(words: list[str], folder: Path) -> float:
    """Of the process, MB, as the system accounts for it when it ends."""
    process = subprocess.Popen([COMMAND, *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
