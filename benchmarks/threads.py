"""How long a run takes on a quiet machine and on a busy one, by how many threads it has and how they wait.

    python benchmarks/threads.py [--rounds 3] [--busy 8] [--cases small large]

Every round runs each setting once, in turn, as a command of its own; busy: beside so many processes that only count.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

CASES = {
    "small": ["trainer.max_epochs=40"],  # digits, 64-256-20: 15 steps an epoch
    "large": ["dataset=shapes", "dataset.size=32", "architecture=conv", "trainer.max_steps=60"],
}
QUIET = ["logging.pictures_every_n_epochs=0", "trainer.accelerator=cpu", "logging.progress=never"]
SETTINGS = {
    "all cores, as OpenMP waits by itself": {"OMP_NUM_THREADS": str(os.cpu_count()), "GOMP_SPINCOUNT": "300000"},
    "all cores, spin 10000": {"OMP_NUM_THREADS": str(os.cpu_count()), "GOMP_SPINCOUNT": "10000"},
    "all cores, spin 1000": {"OMP_NUM_THREADS": str(os.cpu_count()), "GOMP_SPINCOUNT": "1000"},
    "all cores, passive": {"OMP_NUM_THREADS": str(os.cpu_count()), "OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "vae-train by itself": {},
}
OURS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
LIMIT = 180.0  # seconds, after which a command is stopped


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Of one whole command; infinity where it is stopped."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vae_cli.cli.train", *words, *QUIET, f"hydra.run.dir={folder}/run"]
        start = time.monotonic()
        try:
            subprocess.run(command, env={**kept, **environment}, check=True, capture_output=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.monotonic() - start


@contextmanager
def company(number: int) -> Iterator[None]:
    """So many processes that keep the cores busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    """Print a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=8)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    arguments = parser.parse_args()
    for case in arguments.cases:
        columns = {}
        for name, number in (("quiet", 0), (f"beside {arguments.busy} others", arguments.busy)):
            with company(number):
                rounds = [
                    [seconds(CASES[case], environment) for environment in SETTINGS.values()]
                    for _ in range(arguments.rounds)
                ]
            columns[name] = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print(f"\n{case}: vae-train {' '.join(CASES[case])}\n")
        print("\n".join(table(columns)), flush=True)


def table(columns: dict[str, list[float]]) -> Iterator[str]:
    """Markdown: medians in seconds."""
    yield f"| seconds | {' | '.join(columns)} |"
    yield "| --- |" + " --- |" * len(columns)
    for setting, values in zip(SETTINGS, zip(*columns.values(), strict=True), strict=True):
        shown = (f"{value:.1f}" if value < LIMIT else f"> {LIMIT:.0f}" for value in values)
        yield f"| {setting} | {' | '.join(shown)} |"


if __name__ == "__main__":
    main()
