"""Readers of published files, on small files of the same layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from vae_cli.data.dsprites import dsprites
from vae_cli.data.folder import DataFolder
from vae_cli.data.frey_faces import frey_faces
from vae_cli.data.omniglot import omniglot
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor, Levels

RNG = np.random.default_rng(0)


def folder(path: Path) -> DataFolder:
    return DataFolder(root=str(path.parent), name=path.name, download=False, mirrors=[], checksums={})


def all_rows(source, of):
    return torch.cat([of(rows) for rows in (source.train, source.val, source.test)])


# ---- Omniglot ------------------------------------------------------------------------------------------------------

SETS = {"background": ["a.npz"], "evaluation": ["b.npz"]}


def write_omniglot(path: Path) -> np.ndarray:
    """2 + 3 characters by 4 drawers; all paper, all ink, noise. -> 1 = ink, [20, 105, 105]."""
    ink = RNG.random((5, 4, 105, 105)) < RNG.random((5, 4, 1, 1))
    ink[0, 0], ink[1, 1] = False, True
    np.savez_compressed(path / "a.npz", images=~ink[:2], labels=np.arange(2))
    np.savez_compressed(path / "b.npz", images=~ink[2:], labels=np.arange(3))
    return ink.reshape(20, 105, 105).astype(float)


def test_omniglot_is_white_ink_averaged_over_cells_and_numbered_over_both_sets(tmp_path):
    ink = write_omniglot(tmp_path)
    found = omniglot(folder=folder(tmp_path), **SETS, val=3, test=4)
    assert [len(rows.x) for rows in (found.train, found.val, found.test)] == [13, 3, 4]
    fine = ink.repeat(4, 1).repeat(4, 2)  # 105 pixels / 28 cells = 15 quarters of a pixel for each cell
    expected = np.rint(fine.reshape(20, 28, 15, 28, 15).mean((2, 4)) * 255).astype(np.uint8)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(all_rows(found, lambda rows: rows.x[:, 0]), torch.from_numpy(expected)[order])
    assert torch.equal(all_rows(found, lambda rows: rows.y), order // 4)
    assert (expected[0].max(), expected[5].min()) == (0, 255)
    assert (found.support, found.spec().classes) == (Levels(256), 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": np.arange(2)}, "images"),
        ({"images": np.ones((2, 4, 28, 28), bool)}, r"bool \(2, 4, 28, 28\)"),
        ({"images": np.ones((2, 4, 105, 105), np.uint8)}, "uint8"),
        ({"images": np.array([{}], object)}, "allow_pickle"),
    ],
)
def test_other_files_than_omniglots_are_named(tmp_path, content, message):
    write_omniglot(tmp_path)
    np.savez(tmp_path / "b.npz", **content)
    with pytest.raises(ConfigError, match=rf"b.npz is damaged .*{message}"):
        omniglot(folder=folder(tmp_path), **SETS, val=3, test=4)


# ---- Frey faces ----------------------------------------------------------------------------------------------------

FACES = RNG.integers(0, 256, (9, 28, 20), np.uint8)


def write_mat(path: Path) -> None:
    savemat(path, {"ff": FACES.reshape(9, 560).T})


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, FACES.reshape(9, 560))


@pytest.mark.parametrize(("name", "write"), [("faces.mat", write_mat), ("faces.npy", write_npy)])
def test_frey_faces_from_either_file(tmp_path, name, write):
    write(tmp_path / name)
    found = frey_faces(folder=folder(tmp_path), faces=["faces.npy", "faces.mat"], val=2, test=3)
    assert [len(rows.x) for rows in (found.train, found.val, found.test)] == [4, 2, 3]
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(all_rows(found, lambda rows: rows.x[:, 0]), torch.from_numpy(FACES)[order])
    assert found.support == Levels(256)


@pytest.mark.parametrize("name", ["faces.mat", "faces.npy"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(range(256)) * 9),
        lambda path: savemat(path, {"gg": FACES}),
        lambda path: savemat(path, {"ff": FACES}),
    ],
    ids=["empty", "noise", "without ff", "other shape"],
)
def test_damaged_faces_are_named(tmp_path, name, write):
    write(tmp_path / name)
    with pytest.raises(ConfigError, match=rf"{name} is damaged"):
        frey_faces(folder=folder(tmp_path), faces=[name], val=2, test=3)


# ---- dSprites ------------------------------------------------------------------------------------------------------

SIZES = (1, 3, 2, 4, 2, 2)  # colour, shape, scale, orientation, x, y
CLASSES = np.stack(np.unravel_index(np.arange(96), SIZES), 1).astype(np.int64)


class Poison:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def write_sprites(path: Path, **changed: np.ndarray) -> None:
    """As published, each image having its own number in binary in its first row."""
    imgs = np.zeros((96, 64, 64), np.uint8)
    imgs[:, 0, :7] = np.arange(96)[:, None] >> np.arange(7) & 1
    metadata = np.array(Poison(path / "poisoned"), object)
    content = {"metadata": metadata, "imgs": imgs, "latents_classes": CLASSES, "latents_values": CLASSES / 2, **changed}
    np.savez_compressed(path / "sprites.npz", **content)


def read_sprites(path: Path, val: float = 0.125, test: float = 0.25):
    return dsprites(folder=folder(path), images=["sprites.npz"], val=val, test=test)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_sprites_are_split_without_loss_and_keep_their_factors(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("vae_cli.data.dsprites._CHUNK", chunk)
    write_sprites(tmp_path)
    found = read_sprites(tmp_path)
    assert [len(rows.x) for rows in (found.train, found.val, found.test)] == [60, 12, 24]
    numbers = all_rows(found, lambda rows: (rows.x[:, 0, 0, :7].long() << torch.arange(7)).sum(1))
    assert sorted(numbers.tolist()) == list(range(96))
    assert torch.equal(all_rows(found, lambda rows: rows.factors), torch.from_numpy(CLASSES)[numbers, 1:])
    assert found.train.x.shape[1:] == (1, 64, 64)
    assert found.factors == tuple(map(Factor, ("shape", "scale", "orientation", "pos_x", "pos_y"), SIZES[1:]))
    assert (found.support, found.train.y) == (Binary(), None)
    val = (found.val.x[:, 0, 0, :7].long() << torch.arange(7)).sum(1)
    assert val.sort().values.diff().max() > 1, "validation is drawn from everywhere"


def test_no_pickle_of_the_file_is_read(tmp_path):
    write_sprites(tmp_path)
    read_sprites(tmp_path)
    assert not (tmp_path / "poisoned").exists()
    np.load(tmp_path / "sprites.npz", allow_pickle=True)["metadata"]
    assert (tmp_path / "poisoned").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"imgs": np.full((96, 64, 64), 255, np.uint8)}, "up to 255"),
        ({"imgs": np.zeros((96, 64, 64))}, "float64"),
        ({"imgs": np.zeros((95, 64, 64), np.uint8)}, r"classes of its 95 images are int64 \(96, 6\)"),
        ({"latents_classes": CLASSES[:, 1:]}, r"int64 \(96, 5\)"),
    ],
)
def test_other_files_than_dsprites_are_named(tmp_path, changed, message):
    write_sprites(tmp_path, **changed)
    with pytest.raises(ConfigError, match=rf"sprites.npz is damaged .*{message}"):
        read_sprites(tmp_path)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [({"val": 2.5}, "dataset.val=2.5: a fraction"), ({"test": 0.9}, "cannot be split into -2 ")],
)
def test_fractions_of_sprites_must_leave_some_to_train_on(tmp_path, fractions, message):
    write_sprites(tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_sprites(tmp_path, **fractions)
