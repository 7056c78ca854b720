"""Files made to do harm, or damaged: one line that names the file, memory bounded, nothing executed."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
import yaml
from conftest import vae_train
from parts import often

MEMORY = 6 * 2**30  # bytes of address space
TWO_STEPS = ["trainer.max_steps=2"]


class Call:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def refused(folder, *arguments):
    """The one line of a command that is refused, and that executed nothing."""
    done = vae_train(*arguments, cwd=folder, memory=MEMORY)
    assert done.status == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert not (folder / "executed").exists()
    return line


# ---- data ----------------------------------------------------------------------------------------------------------


def header(shape, kind="|u1"):
    """A .npy that says it holds so much, and ends after 64 bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def pickled():
    file = io.BytesIO()
    np.save(file, np.array([Call()], dtype=object), allow_pickle=True)
    return file.getvalue()


def bomb(path):
    """It says 8 GiB, and unpacks to 64 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w", force_zip64=True) as member:
        member.write(header((2**23, 1024))[:-64])
        for _ in range(2):
            member.write(bytes(2**25))


FILES = {
    "absurd.npz": lambda path: archive(path, {"x.npy": header((10**15, 16))}),
    "negative.npz": lambda path: archive(path, {"x.npy": header((-3, 16))}),
    "overflow.npz": lambda path: archive(path, {"x.npy": header((2**40, 2**40))}),
    "bomb.npz": bomb,
    "members.npz": lambda path: archive(path, {f"m{number}.npy": header((1,)) for number in range(5000)}),
    "pickled.npz": lambda path: archive(path, {"x.npy": pickled()}),
    "nothing.npz": lambda path: archive(path, {}),
    "absurd.npy": lambda path: path.write_bytes(header((10**15, 16))),
    "pickled.npy": lambda path: path.write_bytes(pickled()),
    "python.npy": lambda path: path.write_bytes(pickle.dumps(Call())),
    "empty.npy": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("name", FILES)
def test_arrays(tmp_path, name):
    FILES[name](tmp_path / name)
    streams = [[], ["dataset.workers=0"]] if name.endswith("npy") else [[]]
    for how in streams:
        line = refused(tmp_path, "dataset=arrays", f"dataset.path={name}", *how)
        assert name in line
        assert len(line) < 300 or name == "members.npz"


@pytest.mark.parametrize("name", ["mnist", "static_mnist"])
def test_packed_bombs(tmp_path, name):
    folder, file = {
        "mnist": ("mnist", "train-images-idx3-ubyte.gz"),
        "static_mnist": ("binarized_mnist", "binarized_mnist_train.amat.gz"),
    }[name]
    (tmp_path / folder).mkdir()
    with gzip.open(tmp_path / folder / file, "wb", compresslevel=1) as packed:
        packed.write(struct.pack(">HBB3I", 0, 8, 3, 2**20, 1024, 1024))
        for _ in range(9):
            packed.write(bytes(2**25))
    line = refused(tmp_path, f"dataset={name}", "dataset.root=.", "dataset.download=false")
    assert f"{file} is damaged: it holds more than 268435456 bytes" in line


# ---- runs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(small, tmp_path):
    done = vae_train(*small, *TWO_STEPS, "hydra.run.dir=run", cwd=tmp_path)
    assert done.status == 0, done.stderr
    return tmp_path / "run"


def laughs():
    """Nine lines that stand for a billion nodes."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    return "\n".join([*lines, *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))])


def changed(path, **values):
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))


CONFIGS = {
    "laughs": lambda path: path.write_text(laughs()),
    "empty": lambda path: path.write_text(""),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "huge": lambda path: path.write_text("a: 1\n" * 10**6),
    "deep": lambda path: path.write_text("[" * 5000 + "]" * 5000),
    "list": lambda path: path.write_text("[1, 2]"),
    "date": lambda path: path.write_text("a: 2001-99-99"),
    "call": lambda path: path.write_text("a: !!python/object/apply:os.mkdir [executed]"),
    "trainer": lambda path: changed(path, trainer=5),
    "beta": lambda path: changed(path, beta=[1]),
    "dataset": lambda path: changed(path, dataset=None),
    "name": lambda path: changed(path, optimizer={"_target_": "os.mkdir", "path": "executed"}),
    "choices": lambda path: changed(path, recorded={"format": 1, "version": 1, "choices": 3, "overrides": []}),
    "overrides": lambda path: changed(path, recorded={"format": 1, "version": 1, "choices": {}, "overrides": [3]}),
    "loop": lambda path: (path.unlink(), path.symlink_to(path)),
}


def test_configs(run):
    good = (run / "config.yaml").read_bytes()
    for name, damage in CONFIGS.items():
        damage(run / "config.yaml")
        line = refused(run.parent, "run=run", "trainer.max_steps=4")
        assert len(line) < 400, name
        (run / "config.yaml").unlink()
        (run / "config.yaml").write_bytes(good)


DAMAGES = [b"", b"[1, 2]", b"\xff\xfe\x00", b"{", b"[" * 100_000, b'{"state": "finished", "steps": "a", "test": 3}']


@pytest.mark.parametrize("damage", often(DAMAGES, DAMAGES[::2]), ids=range(len(DAMAGES)))
def test_a_damaged_status_or_damaged_figures_are_written_anew(run, damage):
    figures = (run / "metrics.json").read_bytes()
    (run / "metrics.json").write_bytes(damage)
    assert vae_train("run=run", cwd=run.parent).status == 0
    assert (run / "metrics.json").read_bytes() == figures
    (run / "status.json").write_bytes(damage)
    assert vae_train("run=run", cwd=run.parent).status == 0
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def checkpoint(edit):
    def damage(path):
        content = torch.load(path, weights_only=True)
        edit(content)
        torch.save(content, path)

    return damage


CHECKPOINTS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-2000]),
    "a call": lambda path: torch.save({"state_dict": Call()}, path),
    "an old call": lambda path: path.write_bytes(pickle.dumps(Call())),
    "a list": lambda path: torch.save([1, 2], path),
    "no loops": checkpoint(lambda content: content.pop("loops")),
    "other loops": checkpoint(lambda content: content.update(loops=3)),
    "no place": checkpoint(lambda content: content.pop("DataModule")),
    "another model": checkpoint(lambda content: content["state_dict"].popitem()),
    "no weights": checkpoint(lambda content: content.update(state_dict=3)),
}


@pytest.mark.slow
def test_checkpoints(run, small):
    last, best = (run / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    good = last.read_bytes()
    for name, damage in CHECKPOINTS.items():
        damage(last)
        assert str(last.relative_to(run.parent)) in refused(run.parent, "run=run", "trainer.max_steps=4"), name
        last.write_bytes(good)
        if name not in ("other loops", "no place"):  # which nobody asks the best weights for
            damage(best)
            assert "run" in refused(run.parent, *small, "init=run"), name
            best.write_bytes(good)


def test_a_hostile_best_checkpoint_is_named_when_the_last_is_good(run):
    (run / "checkpoints" / "best.ckpt").write_bytes(pickle.dumps(Call()))
    line = refused(run.parent, "run=run", "trainer.max_steps=4")
    assert "best.ckpt is damaged" in line
    (run / "checkpoints" / "best.ckpt").unlink()
    assert vae_train("run=run", "trainer.max_steps=4", cwd=run.parent).status == 0
