"""How long a command takes until it answers, and until the first training step is done; medians of some calls.

python benchmarks/startup.py [--calls 5]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

COMMAND = [str(Path(sys.executable).with_name("vae-train"))]
ONE_STEP = ["trainer.max_steps=1", "trainer.accelerator=cpu", "logging.validate_every_n_epochs=0"]
ANSWERS = {
    "--help": ["--help"],
    "completion of `model=`": ["-sc", "query=bash"],
    "--cfg job": ["--cfg", "job"],
    "an unknown key": ["bta=4"],
    "an unknown choice": ["model=betavae"],
    "a value of the wrong type": ["seed=abc"],
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5)
    calls = parser.parse_args().calls
    table = Table(title=f"seconds, median of {calls} calls", title_justify="left")
    table.add_column("")
    table.add_column("median", justify="right")
    table.add_column("range", justify="right")
    for name, words in ANSWERS.items():
        _row(table, name, [_call(words) for _ in range(calls)])
    _row(table, "import torch, nothing else", [_timed([sys.executable, "-c", "import torch"]) for _ in range(calls)])
    steps = [_first_step() for _ in range(calls)]
    _row(table, "the first training step done (digits)", [first for first, _ in steps])
    _row(table, "one step with its test, whole command", [whole for _, whole in steps])
    Console().print(table)


def _row(table: Table, name: str, seconds: list[float]) -> None:
    table.add_row(name, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f} to {max(seconds):.2f}")


def _call(words: list[str]) -> float:
    return _timed([*COMMAND, *words])


def _timed(command: list[str]) -> float:
    line = {"COMP_LINE": "vae-train model=", "COMP_POINT": "16", "COMP_CWORD": "1"}
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False, env={**os.environ, **line})
    return time.perf_counter() - started


def _first_step() -> tuple[float, float]:
    """From the command to the checkpoint after its first step, and to its end."""
    folder = Path(tempfile.mkdtemp())
    started = time.time()
    subprocess.run([*COMMAND, *ONE_STEP, f"hydra.run.dir={folder / 'run'}"], capture_output=True, check=True)
    whole = time.time() - started
    first = (folder / "run" / "checkpoints" / "last.ckpt").stat().st_mtime - started
    assert json.loads((folder / "run" / "status.json").read_text())["step"] == 1
    shutil.rmtree(folder)
    return first, whole


if __name__ == "__main__":
    main()
