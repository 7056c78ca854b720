"""Where every example stands in the files of its data set, read back."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from parts import choices
from PIL import Image
from sklearn.datasets import load_digits
from test_data import FILES, idx
from test_published import FACES, SETS, folder, write_npy, write_omniglot, write_sprites

from vae_cli.conditions.none import Unconditional
from vae_cli.data.amat import static_mnist
from vae_cli.data.arrays import arrays
from vae_cli.data.base import Source
from vae_cli.data.binarize import binarize
from vae_cli.data.digits import digits
from vae_cli.data.dsprites import dsprites
from vae_cli.data.frey_faces import frey_faces
from vae_cli.data.idx import idx_images
from vae_cli.data.image_folder import image_folder
from vae_cli.data.module import DataModule
from vae_cli.data.omniglot import omniglot
from vae_cli.data.ordered import Ordered, ordered
from vae_cli.data.sprites import shapes
from vae_cli.errors import ConfigError

RNG = np.random.default_rng(0)
Written = tuple[Source, np.ndarray]  # a data set, and the x of its files in their order


def images(number: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (number, *shape), np.uint8)


def an_idx(path: Path) -> Written:
    x = images(16, 5, 4)
    (path / "a").write_bytes(idx(x[:12]))
    (path / "c").write_bytes(idx(x[12:]))
    (path / "b").write_bytes(idx(np.arange(12, dtype=np.uint8)))
    (path / "d").write_bytes(idx(np.arange(4, dtype=np.uint8)))
    return idx_images(folder=folder(path), val=3, **FILES), x[:, None]


def an_amat(path: Path) -> Written:
    x = RNG.integers(0, 2, (9, 784))
    for name, rows in zip("abc", x.reshape(3, 3, 784), strict=True):
        text = "".join(" ".join(map(str, row)) + "\n" for row in rows)
        (path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return static_mnist(folder=folder(path), train=["a.gz"], val=["b.gz"], test=["c.gz"]), x.reshape(9, 1, 28, 28)


def an_omniglot(path: Path) -> Written:
    ink = write_omniglot(path)
    fine = ink.repeat(4, 1).repeat(4, 2).reshape(20, 28, 15, 28, 15)
    return omniglot(folder=folder(path), **SETS, val=3, test=4), np.rint(fine.mean((2, 4)) * 255)[:, None]


def some_faces(path: Path) -> Written:
    write_npy(path / "faces.npy")
    return frey_faces(folder=folder(path), faces=["faces.npy"], val=2, test=3), FACES[:, None]


def a_dsprites(path: Path) -> Written:
    write_sprites(path)
    x = np.load(path / "sprites.npz")["imgs"]
    return dsprites(folder=folder(path), images=["sprites.npz"], val=0.125, test=0.25), x[:, None]


def drawn(path: Path) -> Written:
    """They have no file: every combination of the factors in turn is their order."""
    found = shapes(size=16, scales=2, orientations=3, positions=3, val=0.1, test=0.1)
    splits = (found.train, found.val, found.test)
    x, factors = (torch.cat([getattr(split, name) for split in splits]).numpy() for name in ("x", "factors"))
    return found, x[np.lexsort(factors.T[::-1])]


def some_digits(path: Path) -> Written:
    return digits(val=180, test=180), load_digits().images[:, None]


def an_npz(path: Path) -> Written:
    x = images(40, 3, 4)
    np.savez(path / "x.npz", x=x)
    return arrays(path=str(path / "x.npz"), workers=None, levels="auto", val=0.2, test=0.1), x[:, None]


def a_stream(path: Path) -> Written:
    x = RNG.normal(size=(40, 7)).astype(np.float32)
    np.save(path / "x.npy", x)
    return arrays(path=str(path), workers=0, levels="auto", val=0.2, test=0.1), x


def pictures(path: Path, names: list[str], workers: int | None) -> Written:
    x = images(len(names), 8, 8)
    for name, picture in zip(names, x, strict=True):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path / name)
    in_order = x[np.argsort(names)]
    return image_folder(
        path=str(path), size=8, channels=1, bits=16, skip_broken=False, workers=workers, val=0.3, test=0.2
    ), in_order[:, None]


def a_folder(path: Path) -> Written:
    return pictures(path, [f"{'ab'[i % 2]}/{i * 7 % 10}.png" for i in range(10)], None)


def folders_of_splits(path: Path) -> Written:
    names = [f"{split}/{i}.png" for split, number in (("train", 6), ("val", 2), ("test", 3)) for i in range(number)]
    return pictures(path, names, 0)


def a_folder_to_cut(path: Path) -> Written:
    return pictures(
        path, [f"{split}/{i}.png" for split, number in (("train", 9), ("test", 3)) for i in range(number)], 0
    )


WRITERS = {
    "mnist": [an_idx],
    "fashion_mnist": [an_idx],
    "static_mnist": [an_amat],
    "omniglot": [an_omniglot],
    "frey_faces": [some_faces],
    "dsprites": [a_dsprites],
    "shapes": [drawn],
    "digits": [some_digits],
    "arrays": [an_npz, a_stream],
    "image_folder": [a_folder, folders_of_splits, a_folder_to_cut],
}


def module(source: Source, choice: str = "none") -> DataModule:
    data = binarize(source, choice)
    return DataModule(data, Unconditional(data.spec), batch_size=7, eval_batch_size=7, seed=0)


def read(examples: Ordered, size: int) -> torch.Tensor:
    return torch.cat([batch.x for batch in examples.batches(size)])


def test_every_data_set_is_among_them():
    assert sorted(WRITERS) == choices("dataset")


@pytest.mark.parametrize("write", dict.fromkeys(write for writers in WRITERS.values() for write in writers))
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_x_is_that_of_the_file_at_its_place(tmp_path, write, size):
    source, x = write(tmp_path)
    data = module(source)
    scale = getattr(source.support, "count", 2) - 1
    expected = torch.from_numpy(np.asarray(x / scale, np.float32))
    everything = ordered(data, "all")
    assert everything.places.tolist() == list(range(len(x)))
    if size == 1 and len(x) > 100:
        everything = Ordered(data, everything.numbers[:100])
    torch.testing.assert_close(read(everything, size), expected[: len(everything)])
    for split, loader in zip(("train", "val", "test"), data.loaders, strict=True):
        examples = ordered(data, split)
        assert len(examples) == loader.num_rows()
        own = loader.peek(torch.arange(loader.num_rows())).x
        torch.testing.assert_close(own, expected[examples.places])
        assert torch.equal(read(examples, 1000), own)


def test_labels_and_factors_stay_with_their_examples(small_npz):
    content = np.load(small_npz)
    everything = ordered(
        module(arrays(path=str(small_npz), workers=None, levels="auto", val=0.15, test=0.15), "static"), "all"
    )
    (batch,) = everything.batches(100)
    assert np.array_equal(batch.y, content["y"])
    assert np.array_equal(batch.factors, content["factors"])
    assert batch.c is batch.mask is None
    likely = torch.from_numpy(content["x"] / 255)
    assert float((batch.x - likely).mean().abs()) < 0.02, "draws are of these very examples"
    assert float((batch.x - likely).square().mean()) == pytest.approx(float((likely * (1 - likely)).mean()), abs=0.02)


def test_splits_that_there_are_not_are_named(small_npz):
    data = module(arrays(path=str(small_npz), workers=None, levels="auto", val=0.004, test=0.15))
    with pytest.raises(ConfigError, match="split=valid: choose one of all, train, val, test"):
        ordered(data, "valid")
    with pytest.raises(ConfigError, match="split=val: the data has no such examples"):
        ordered(data, "val")
    assert len(ordered(data, "all")) == 75
