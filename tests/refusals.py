"""Lines that the commands about finished runs refuse, each with what the refusal says."""

from pathlib import Path

import numpy as np
from conftest import command

COMMON = {
    "": "run: name the folder of a run, vae-",
    "run=nowhere": "run=nowhere: there is no such folder",
    "run=run/checkpoints": "run/checkpoints is not a run directory: it has no config.yaml",
    "run=run checkpoint=first": "checkpoint=first: best or last",
    "run=run trust=mine": "trust=mine: a list is needed",
    "run=run chekpoint=last": "unknown key 'chekpoint'; did you mean checkpoint?",
    "run=run +more=3": "nothing reads a key that is added",
    "run=run ~checkpoint": "~checkpoint: every key is needed",
    "run=run -m": "has no sweeps",
}
COMPUTING = {
    "run=run precision=16": "precision=16: choose one of 32-true, bf16-mixed",
    "run=run seed=-1": "seed=-1: 0 or more",
    "run=run seed=abc": "seed=abc: a whole number is needed",
    "run=run accelerator=cuda": "accelerator=cuda: there is no CUDA device",
    "run=run progress=maybe": "progress=maybe: auto, always or never",
}
OWN_DATA = {
    "run=run dataset.root=.": "dataset.root=.: the data set of this run has no root",
    "run=run dataset.path=nowhere.npz": "nowhere.npz: there is no such file",
    "run=run dataset.path=other.npz": "the data is not what this run was trained on",
}


def write_other(small_npz: Path, path: Path) -> None:
    """The small data set with one value changed."""
    content = dict(np.load(small_npz))
    content["x"][0, 0, 0, 0] += 1
    np.savez(path, **content)


def assert_refused(folder: Path, name: str, line: str, message: str) -> None:
    """`vae-<name> <line>` says that in one line, and leaves the folder and the run in it as they were."""
    before = _files(folder)
    done = command(name, *line.split(), cwd=folder)
    assert (done.status, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert _files(folder) == before


def _files(folder: Path) -> dict[Path, int]:
    """What is there, and when it was written."""
    streams = ("stdout.txt", "stderr.txt", ".lock")
    found = [path for path in folder.rglob("*") if path.name not in streams]
    return {path: path.stat().st_mtime_ns if path.is_file() else 0 for path in found}
