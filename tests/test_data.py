"""Files are read as they are, splits do not overlap, and order and noise follow from (seed, epoch, position)."""

import gzip
import struct

import numpy as np
import pytest
import torch
from torch import Size

from vae_cli.conditions.factors import Factors
from vae_cli.conditions.none import Unconditional
from vae_cli.data.amat import static_mnist
from vae_cli.data.arrays import arrays
from vae_cli.data.base import Rows, Source
from vae_cli.data.binarize import binarize
from vae_cli.data.digits import digits
from vae_cli.data.folder import DataFolder
from vae_cli.data.idx import idx_images
from vae_cli.data.loader import Loader
from vae_cli.data.module import DataModule
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor, Levels, Real, Spec, UnitInterval

CPU = torch.device("cpu")


def grey(n=40, seed=0):
    x = torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Rows(x, torch.arange(n) % 3)


def source():
    return Source(grey(40), grey(10, 1), grey(10, 2), Levels(256))


def loader(split, batch_size=7, shuffle=True, seed=0, rank=0, world=1):
    unconditional = Unconditional(Spec(Size(), Real()))
    made = Loader(split, batch_size=batch_size, condition=unconditional, seed=seed, shuffle=shuffle)
    return made.to(CPU).share(rank, world)


# ---- splits and specs ----------------------------------------------------------------------------------------------


def test_digits_are_split_once():
    found = digits(val=180, test=180)
    sizes = [len(rows.x) for rows in (found.train, found.val, found.test)]
    assert sizes == [1437, 180, 180]
    assert found.train.x.shape[1:] == (1, 8, 8)
    assert found.train.x.max() == 16
    assert found.fingerprint() == digits(val=180, test=180).fingerprint()
    everything = torch.cat([found.train.x, found.val.x, found.test.x]).flatten(1)
    from sklearn.datasets import load_digits

    original = torch.from_numpy(load_digits().data).to(torch.uint8)
    assert sorted(map(tuple, everything.tolist())) == sorted(map(tuple, original.tolist()))


def test_spec_says_what_the_training_split_is():
    spec = source().spec()
    assert (spec.shape, spec.support, spec.classes, spec.size) == (Size((1, 4, 4)), Levels(256), 3, 40)
    torch.testing.assert_close(spec.mean, grey(40).x.float().mean(0) / 255)


def test_fingerprint_sees_a_changed_value_and_a_changed_label():
    first = source().fingerprint()
    changed = source()
    changed.val.x[0, 0, 0, 0] ^= 1
    assert changed.fingerprint() != first
    changed = source()
    changed.test.y[0] += 1
    assert changed.fingerprint() != first
    assert source().fingerprint() == first


# ---- binarisation --------------------------------------------------------------------------------------------------


def test_none_divides_by_the_highest_level():
    data = binarize(source(), "none")
    torch.testing.assert_close(next(iter(loader(data.val, 10, shuffle=False))).x, grey(10, 1).x.float() / 255)
    assert data.spec.support == Levels(256)


def test_threshold_is_above_one_half():
    rows = Rows(torch.tensor([[0], [127], [128], [255]], dtype=torch.uint8))
    data = binarize(Source(rows, rows, rows, Levels(256)), "threshold")
    assert next(iter(loader(data.train, 4, shuffle=False))).x.flatten().tolist() == [0, 0, 1, 1]
    assert data.spec.support == Binary()


@pytest.mark.parametrize("level", [0, 1, 64, 254, 255])
def test_dynamic_draws_with_the_probability_of_the_level(level):
    pixels = torch.full((2000, 100), level, dtype=torch.uint8)
    pixels[:, :2] = torch.arange(2000).unsqueeze(1) % torch.tensor([256, 101])  # no two examples are alike
    rows = Rows(pixels)
    data = binarize(Source(rows, rows, rows, Levels(256)), "dynamic")
    for split in (data.train, data.val):
        mean = float(next(iter(loader(split, 200_000, shuffle=False))).x[:, 2:].mean())
        p = level / 255
        assert abs(mean - p) <= 5 * (p * (1 - p) / (2000 * 98)) ** 0.5


def test_dynamic_is_fresh_in_training_and_frozen_in_validation():
    data = binarize(source(), "dynamic")
    training = loader(data.train, 40)
    by_row = [batch.x[batch.index.argsort()] for _ in range(2) for batch in training]
    assert not torch.equal(by_row[0], by_row[1])
    validation = [loader(split, 10, shuffle=False, seed=seed) for seed in (0, 1) for split in (data.val,)]
    first, second = (next(iter(batches)).x for batches in validation)
    assert torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 1.0}


def test_pixels_of_an_example_are_drawn_on_their_own():
    rows = Rows(torch.randint(100, 156, (2000, 8), dtype=torch.uint8))
    x = binarize(Source(rows, rows, rows, Levels(256)), "static").train.rows.x.float()
    noise = x - rows.x / 255
    correlation = torch.corrcoef(noise.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / 2000**0.5


def test_splits_must_fit_together():
    rows, others = Rows(torch.zeros(9, 2)), Rows(torch.zeros(9, 3))
    with pytest.raises(ConfigError, match="different shapes"):
        Source(rows, others, rows, Real())
    with pytest.raises(ConfigError, match="there are no training examples"):
        Source(rows.take(torch.arange(0)), rows, rows, Real())


def test_a_few_examples_can_be_read_and_not_trained_on(tmp_path):
    """Three of them, with a value of a factor beyond their number."""
    x = np.arange(6, dtype=np.uint8).reshape(3, 2)
    np.savez(tmp_path / "few.npz", x=x, y=np.array([9, 0, 3]), factors=np.full((3, 1), 7))
    found = arrays(path=str(tmp_path / "few.npz"), workers=None, levels="auto", val=0.1, test=0.1)
    data = binarize(found, "dynamic")
    assert [len(split.rows) for split in (data.train, data.val, data.test)] == [3, 0, 0]
    assert (data.class_names, data.spec.factors) == (("0", "3", "9"), (Factor("factor_0", 8),))
    with pytest.raises(ConfigError, match="have 3 / 0 / 0 examples: each needs at least one"):
        found.check_trainable()


def test_labels_must_fit_the_examples():
    with pytest.raises(ConfigError, match="9 examples have 8 labels"):
        Rows(torch.zeros(9, 2), torch.zeros(8))
    rows = Rows(torch.zeros(9, 2), factors=torch.full((9, 1), 30))
    with pytest.raises(ConfigError, match="highest value of size is 30 among 27 examples"):
        Source(rows, rows, rows, Real(), (Factor("size", 31),)).check_trainable()


def test_static_freezes_training_too():
    data = binarize(source(), "static")
    training = loader(data.train, 40)
    first, second = (next(iter(training)) for _ in range(2))
    assert torch.equal(first.x[first.index.argsort()], second.x[second.index.argsort()])


def test_floats_in_the_unit_interval_can_be_binarised():
    rows = Rows(torch.rand(1000, 3))
    data = binarize(Source(rows, rows, rows, UnitInterval()), "dynamic")
    x = next(iter(loader(data.train, 1000, shuffle=False))).x
    assert abs(float((x - rows.x).mean())) < 0.05


# ---- order and noise -----------------------------------------------------------------------------------------------


def epochs(made, number):
    return [[batch.index.tolist() for batch in made] for _ in range(number)]


def test_an_epoch_is_every_row_once_in_a_new_order():
    data = binarize(source(), "none")
    first, second = epochs(loader(data.train), 2)
    assert [len(rows) for rows in first] == [7, 7, 7, 7, 7, 5]
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(40))
    assert first != second


def test_order_and_noise_follow_from_the_seed():
    data = binarize(source(), "dynamic")
    one, same, other = (loader(data.train, seed=seed) for seed in (0, 0, 1))
    batches = [list(made) for made in (one, same, other)]
    assert all(torch.equal(a.x, b.x) for a, b in zip(batches[0], batches[1], strict=True))
    assert batches[0][0].index.tolist() != batches[2][0].index.tolist()


@pytest.mark.parametrize("taken", range(13))
def test_a_loader_goes_on_where_it_was(taken):
    data = binarize(source(), "dynamic")
    whole = loader(data.train)
    expected = [batch for _ in range(3) for batch in whole]
    first, second = loader(data.train), loader(data.train)
    source_of_first = (batch for _ in range(3) for batch in first)
    for _ in range(taken):
        next(source_of_first)
    second.load_state_dict(first.state_dict())
    rest = [batch for _ in range(3) for batch in second][: len(expected) - taken]
    for left, right in zip(expected[taken:], rest, strict=True):
        assert torch.equal(left.x, right.x)
        assert torch.equal(left.index, right.index)


def test_looking_at_examples_changes_nothing():
    data = binarize(source(), "dynamic")
    plain, looked_at = loader(data.train), loader(data.train)
    plain_batches, others = [], []
    for left, right in zip(plain, looked_at, strict=True):
        looked_at.peek(torch.tensor([3, 1]))
        plain_batches.append(left.x)
        others.append(right.x)
    assert all(torch.equal(a, b) for a, b in zip(plain_batches, others, strict=True))


@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_every_batch(shuffle):
    data = binarize(source(), "none")
    alone = [batch.index.tolist() for batch in loader(data.train, 6, shuffle)]
    shares = [[batch.index.tolist() for batch in loader(data.train, 6, shuffle, rank=r, world=3)] for r in range(3)]
    seen = sorted(sum((sum(share, []) for share in shares), []))
    if shuffle:  # one of forty rows is left out, so that every process has thirteen
        assert len(seen) == len(set(seen)) == 39
        for position in range(6):
            assert sorted(sum((share[position] for share in shares), [])) == sorted(alone[position])
    else:
        assert seen == list(range(40))


def test_batches_are_made_on_the_device_from_bytes():
    data = binarize(source(), "dynamic")
    assert data.train.rows.x.dtype == data.val.rows.x.dtype == torch.uint8
    assert next(iter(loader(data.train))).x.dtype == torch.float32


def test_pictures_show_one_class_a_column():
    data = binarize(source(), "none")
    module = DataModule(data, Unconditional(data.spec), batch_size=7, eval_batch_size=5, seed=0)
    assert module.examples(6).y.tolist() == [0, 1, 2, 0, 1, 2]


# ---- files ---------------------------------------------------------------------------------------------------------

FILES = {
    "train_images": ["a.gz", "a"],
    "train_labels": ["b"],
    "test_images": ["c"],
    "test_labels": ["d"],
}


def folder_of(root, name="mine"):
    return DataFolder(root=root and str(root), name=name, download=False, mirrors=[], checksums={})


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 5, 4), np.uint8), rng.integers(0, 3, 12, np.uint8)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "b").write_bytes(idx(labels))
    (folder / "c").write_bytes(idx(images[:4]))
    (folder / "d").write_bytes(idx(labels[:4]))
    return tmp_path, images, labels


def test_idx_files(idx_folder):
    root, images, labels = idx_folder
    found = idx_images(folder=folder_of(root), val=3, **FILES)
    assert np.array_equal(found.train.x.numpy()[:, 0], images[:9])
    assert np.array_equal(found.val.x.numpy()[:, 0], images[9:])
    assert np.array_equal(found.val.y.numpy(), labels[9:])
    assert found.test.x.shape == (4, 1, 5, 4)


def test_the_data_root_may_come_from_the_environment(idx_folder, monkeypatch):
    monkeypatch.setenv("VAE_DATA_ROOT", str(idx_folder[0]))
    assert len(idx_images(folder=folder_of(None), val=3, **FILES).train.x) == 9


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gz", b"", "damaged"),
        ("a.gz", gzip.compress(b"abcdefgh" * 10, mtime=0)[:-9], "damaged"),
        ("b", b"\0\0\x08\x01\0\0\0\x0c123", "header says"),
        ("b", b"\0\0\x0d\x01\0\0\0\x03123", "not an idx file of bytes"),
        ("c", None, "no c in .*put the file there"),
    ],
)
def test_bad_idx_files_are_named(idx_folder, name, content, message):
    path = idx_folder[0] / "mine" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        idx_images(folder=folder_of(idx_folder[0]), val=3, **FILES)


def test_amat_files(tmp_path):
    rng = np.random.default_rng(0)
    parts = {name: rng.integers(0, 2, (3, 784)) for name in ("train", "val", "test")}
    for name, values in parts.items():
        text = "".join(" ".join(map(str, row)) + " \n"[1:] for row in values)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    accepted = {name: [f"{name}.gz"] for name in parts}
    found = static_mnist(folder=folder_of(tmp_path.parent, tmp_path.name), **accepted)
    assert np.array_equal(found.val.x.numpy().reshape(3, 784), parts["val"])
    assert found.support == Binary()
    (tmp_path / "val.gz").write_bytes(gzip.compress(b"0 1 2 "))
    with pytest.raises(ConfigError, match="damaged"):
        static_mnist(folder=folder_of(tmp_path.parent, tmp_path.name), **accepted)


@pytest.mark.parametrize(
    ("x", "support"),
    [
        (np.random.default_rng(0).integers(0, 2, (20, 3)).astype(bool), Binary()),
        (np.random.default_rng(0).integers(0, 2, (20, 3)).astype(np.float64), Binary()),
        (np.random.default_rng(0).integers(0, 256, (20, 2, 2), np.uint8), Levels(256)),
        (np.random.default_rng(0).random((20, 3)), UnitInterval()),
        (np.random.default_rng(0).normal(size=(20, 3, 2, 2)), Real()),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_of_users(tmp_path, x, support, kind):
    path = tmp_path / f"mine.{kind}"
    if kind == "npz":
        np.savez(path, x=x, y=np.arange(20) % 4)
    else:
        np.save(path, x)
    found = arrays(path=str(path), workers=None, levels="auto", val=0.1, test=0.2)
    assert found.support == support
    assert [len(rows.x) for rows in (found.train, found.val, found.test)] == [14, 2, 4]
    everything = torch.cat([found.train.x, found.val.x, found.test.x]).double()
    assert sorted(everything.flatten().tolist()) == pytest.approx(sorted(x.astype(float).ravel().tolist()), rel=1e-6)
    assert (found.train.y is None) == (kind == "npy")


def test_factors_keep_their_names_and_follow_their_examples(tmp_path):
    x, factors = np.arange(20, dtype=np.float32)[:, None] - 5, np.stack([np.arange(20) % 3, np.arange(20) % 5], 1)
    np.savez(tmp_path / "mine.npz", x=x, factors=factors, factor_names=["shape", "size"])
    found = arrays(path=str(tmp_path / "mine.npz"), workers=None, levels="auto", val=0.1, test=0.2)
    assert found.spec().factors == (Factor("shape", 3), Factor("size", 5))
    data = binarize(found, "none")
    for batch in loader(data.train, 4):
        place = (batch.x[:, 0] + 5).long()
        assert torch.equal(batch.factors, torch.stack([place % 3, place % 5], 1))
    with_factors = Factors(data.spec)
    c = with_factors(next(iter(loader(data.train, 4)))).c
    assert with_factors.size == Size((8,))
    assert c.shape == (4, 8)
    assert torch.equal(
        torch.stack([c[:, :3].argmax(1), c[:, 3:].argmax(1)], 1), next(iter(loader(data.train, 4))).factors
    )
    assert (c.sum(1) == 2).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"z": np.zeros((9, 2))}, "no one reads z; the names are x, y, factors"),
        ({"y": np.zeros(9, int)}, "holds no array `x`"),
        (
            {"x": np.arange(18.0).reshape(9, 2)},
            "whole numbers from 0 to 17 as float64.*dataset.levels=256 takes them so",
        ),
        ({"x": np.zeros((9, 2)), "split": np.zeros(8, int)}, r"split is of type int64 and shape \(8,\); train, val or"),
        ({"x": np.zeros((9, 2)), "split": np.full(9, "dev2")}, "train, val or test"),
        ({"x": np.zeros((9, 2)), "split": np.full(9, "val")}, "names no training examples"),
        ({"x": np.zeros((9, 2)), "x_train": np.zeros((9, 2))}, "holds x, x_train: x_train with x_val or x_test"),
        ({"x_val": np.zeros((9, 2)), "x_test": np.zeros((9, 2))}, "holds x_val, x_test: x_train with"),
        ({"x": np.zeros((9, 2)), "y_train": np.zeros(9, int)}, "holds y_train, and x_train is missing"),
        ({"x_train": np.zeros((9, 2)), "x_val": np.zeros((9, 2)), "y_val": np.zeros(9, int)}, "y_train is missing"),
        ({"x_train": np.zeros((9, 2)), "x_val": np.zeros((9, 3))}, "examples have different shapes"),
        ({"x": np.zeros((9, 2)), "y": np.arange(9), "class_names": ["a", "b"]}, "class_names holds 2 names"),
        ({"x": np.array([[0, 1], [2, np.nan], [np.inf, 3]])}, r"holds nan in row 1, column 1 \(and 1 more such\)"),
        ({"x": np.zeros(9)}, r"shape \(9,\)"),
        ({"x": np.zeros((9, 2), int)}, "type int64; save grey levels"),
        ({"x": np.full((9, 2), np.nan)}, "nan in row 0, column 0 .and 17 more"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8, int)}, "y has shape"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(9)}, "type float64"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, -1)}, "y is of type int64, from -1 to -1; whole numbers 0, 1"),
        ({"x": np.array([{}, {}], object)}, "without pickles"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, 2**64 - 1, np.uint64)}, "from 18446744073709551615"),
        ({"x": np.zeros((9, 2)), "factors": np.full((9, 1), 2**31)}, "from 2147483648 to 2147483648; whole numbers"),
        ({"x": np.zeros((9, 2)), "factors": np.zeros((9, 0), int)}, r"factors has shape \(9, 0\)"),
        ({"x": np.zeros((9, 2)), "labels": np.zeros(9, int)}, "holds x, labels, and no one reads labels"),
        ({"x": np.full((9, 1, 4, 4), 7.0)}, "dataset.levels=256 takes them so"),
        ({"x": np.zeros((9, 2)), "factors": np.zeros((9, 2))}, "factors is of type float64"),
        ({"x": np.zeros((9, 2)), "factors": np.zeros((8, 2), int)}, r"factors has shape \(8, 2\)"),
        (
            {"x": np.zeros((9, 2)), "factors": np.zeros((9, 2), int), "factor_names": ["a"]},
            r"holds \['a'\]; 2 different names",
        ),
    ],
)
def test_unusable_arrays_are_named(tmp_path, content, message):
    np.savez(tmp_path / "mine.npz", **content)
    with pytest.raises(ConfigError, match=message):
        arrays(path=str(tmp_path / "mine.npz"), workers=None, levels="auto", val=0.2, test=0.2)


def test_images_without_channels_get_one(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 5, 4), np.uint8)
    np.save(tmp_path / "x.npy", x)
    for workers in (None, 0):
        data = binarize(arrays(path=str(tmp_path / "x.npy"), workers=workers, levels="auto", val=0.2, test=0.2), "none")
        assert data.spec.shape == Size((1, 5, 4))
        batch = next(iter(loader(data.train, 12, shuffle=False)))
        order = torch.randperm(20, generator=torch.Generator().manual_seed(0))[:12]
        assert torch.equal((batch.x[:, 0] * 255).round().to(torch.uint8), torch.from_numpy(x)[order])


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("1,2,3")
    with pytest.raises(ConfigError, match=r"it is neither, save the array with np\.save"):
        arrays(path=str(tmp_path / "x.csv"), workers=None, levels="auto", val=0.2, test=0.2)


def test_a_truncated_npz_is_named(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.zeros((99, 9)))
    content = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match="cannot be read"):
        arrays(path=str(tmp_path / "mine.npz"), workers=None, levels="auto", val=0.2, test=0.2)
