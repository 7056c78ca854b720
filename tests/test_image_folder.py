"""Pictures of every kind become the squares that they should; folders give labels and splits; bad files are named."""

import os

import numpy as np
import pytest
import torch
from conftest import small_overrides, trained
from PIL import Image
from test_data import loader
from test_streaming import assert_same_batches
from torch import Size

from vae_cli.data.binarize import binarize
from vae_cli.data.image_folder import image_folder
from vae_cli.data.pictures import UndecodableError, bombs_refused, decode
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.types import Levels

RED, BLUE = (255, 0, 0), (0, 0, 255)


def opened(path, **change):
    return image_folder(
        **{
            "path": path and str(path),
            "size": 8,
            "channels": 3,
            "bits": 16,
            "skip_broken": False,
            "workers": None,
            "val": 0.2,
            "test": 0.2,
            **change,
        }
    )


def halves(left, right, size=(40, 20)):
    """A picture of two colours, side by side."""
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


@pytest.fixture
def folder(tmp_path):
    """20 noisy pictures of mixed sizes and kinds in 2 classes, with things that are no pictures."""
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "pictures" / ("Zebra" if i % 2 else "ant") / ("deep" if i % 3 else "") / f"{i:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = rng.integers(8, 30, 2)
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8))
        image.save(path.with_suffix((".jpg", ".PNG", ".bmp", ".webp", ".gif", ".tif")[i % 6]))
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    (tmp_path / "pictures" / "ant" / "._00.jpg").write_text("not a picture")
    (tmp_path / "pictures" / ".thumbnails").mkdir()
    halves(RED, BLUE).save(tmp_path / "pictures" / ".thumbnails" / "00.jpg")
    return tmp_path / "pictures"


# ---- one picture -----------------------------------------------------------------------------------------------------


def read(image, path, channels=3, size=4, **options):
    image.save(path, **options)
    return decode(path, Size((channels, size, size)))


def test_the_middle_square_is_kept(tmp_path):
    """60 x 20: of three squares, the one in the middle."""
    image = Image.new("RGB", (60, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    found = read(image, tmp_path / "a.png")
    assert found.shape == (3, 4, 4)
    assert found.dtype == np.uint8
    assert (found[:, :, 1:3] == np.array(BLUE)[:, None, None]).all()
    assert abs(found - np.array(BLUE)[:, None, None]).max() < 20, "the filter sees a little beyond the edge"
    turned = read(image.transpose(Image.Transpose.TRANSPOSE), tmp_path / "b.png")
    assert np.array_equal(turned, found.transpose(0, 2, 1))


def test_scaling_averages_pixels(tmp_path):
    """A chequerboard of single pixels becomes grey: no aliasing."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    found = read(Image.fromarray(board), tmp_path / "a.png")
    assert abs(found.astype(int) - 127.5).max() < 6


def test_a_small_picture_is_enlarged(tmp_path):
    found = read(Image.new("RGB", (2, 3), (10, 20, 30)), tmp_path / "a.png", size=16)
    assert found.shape == (3, 16, 16)
    assert found.reshape(3, -1).min(1).tolist() == found.reshape(3, -1).max(1).tolist() == [10, 20, 30]


def test_the_orientation_of_the_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # taken upright: to be turned by a quarter, clockwise
    found = read(halves(RED, BLUE, (64, 64)), tmp_path / "a.jpg", size=8, exif=exif, quality=95)
    assert (found[0, :3] > 200).all(), "red, on the left in the file, comes to the top"
    assert (found[0, -3:] < 50).all()


def sixteen_bits():
    return Image.fromarray(np.full((8, 8), 0x80FF, np.uint16))


def transparent():
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.putpixel((0, 0), (10, 20, 30, 0))
    return image.crop((0, 0, 1, 1)).resize((8, 8))


@pytest.mark.parametrize(
    ("image", "suffix", "colour"),
    [
        (Image.new("L", (8, 8), 100), "png", (100, 100, 100)),
        (Image.new("1", (8, 8), 1), "png", (255, 255, 255)),
        (Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4), "gif", (10, 200, 30)),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 255)), "png", (10, 20, 30)),
        (transparent(), "png", (255, 255, 255)),
        (Image.new("LA", (8, 8), (0, 0)), "png", (255, 255, 255)),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tif", (255, 0, 0)),
        (sixteen_bits(), "png", (128, 128, 128)),
        (sixteen_bits(), "tif", (128, 128, 128)),
    ],
)
def test_every_mode_becomes_bytes(tmp_path, image, suffix, colour):
    found = read(image, tmp_path / f"a.{suffix}")
    assert found.reshape(3, -1).T.tolist() == [list(colour)] * 16
    grey = read(image, tmp_path / f"a.{suffix}", channels=1)
    assert grey.shape == (1, 4, 4)
    assert abs(grey.astype(float) - np.dot(colour, (0.299, 0.587, 0.114))).max() <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no picture"),
        (b"GIF89a", "it is no picture|index out of range|truncated"),
        (None, "No such file"),
    ],
)
def test_files_that_are_no_pictures_say_why(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.gif").write_bytes(content)
    with pytest.raises(UndecodableError, match=message):
        decode(tmp_path / "a.gif", Size((3, 4, 4)))


def test_real_numbers_are_no_grey_levels(tmp_path):
    with pytest.raises(UndecodableError, match="real numbers"):
        read(Image.fromarray(np.ones((8, 8), np.float32)), tmp_path / "a.tif")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for side in (12, 40):  # beyond the limit Pillow warns, beyond twice the limit it refuses
        with bombs_refused(), pytest.raises(UndecodableError, match="exceeds limit of"):
            read(Image.new("L", (side, side)), tmp_path / "a.png")


# ---- a folder --------------------------------------------------------------------------------------------------------


def test_names_give_the_order_and_folders_the_labels(folder):
    found = opened(folder)
    x, y = (torch.cat([getattr(s, name) for s in (found.train, found.val, found.test)]) for name in ("x", "y"))
    assert found.support == Levels(256)
    assert found.spec().classes == 2
    assert x.shape == (20, 3, 8, 8)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("[!.]*/**/[!.]*.*"))
    expected = {decode(folder / name, Size((3, 8, 8))).tobytes(): name.startswith("ant") for name in names}
    assert len(expected) == 20
    for picture, label in zip(x, y, strict=True):
        assert expected[picture.numpy().tobytes()] == (label == 1), "Z comes before a"


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_pictures_are_those_in_memory(folder, workers):
    held, streamed = (binarize(opened(folder, workers=number), "dynamic") for number in (None, workers))
    for split in ("train", "val", "test"):
        assert_same_batches(loader(getattr(held, split), 5), loader(getattr(streamed, split), 5))
    assert torch.equal(held.spec.mean, streamed.spec.mean)


def test_fingerprint_sees_names_and_sizes(folder):
    for workers in (None, 0):
        first = opened(folder, workers=workers).fingerprint()
        assert opened(folder, workers=workers).fingerprint() == first
    with (folder / "ant" / "00.jpg").open("ab") as file:
        file.write(b"\0")
    assert opened(folder, workers=0).fingerprint() != first


def test_pictures_without_sub_folders_have_no_labels(tmp_path):
    for i in range(10):
        Image.new("L", (8, 8), 20 * i).save(tmp_path / f"{i}.png")
    found = opened(tmp_path, channels=1)
    assert found.train.y is None
    assert sorted(x.unique().item() for s in (found.train, found.val, found.test) for x in s.x) == list(
        range(0, 200, 20)
    )
    (tmp_path / "class").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "class" / "10.png")
    with pytest.raises(ConfigError, match="some pictures lie in sub-folders"):
        opened(tmp_path)


@pytest.mark.parametrize("validation", ["val", "valid"])
def test_folders_may_give_the_splits(tmp_path, validation):
    for split, number in (("train", 4), (validation, 2), ("test", 1)):
        for i in range(number):
            path = tmp_path / split / ("odd" if i % 2 else "even") / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 10 * i).save(path)
    found = opened(tmp_path, channels=1)
    assert [s.x[:, 0, 0, 0].tolist() for s in (found.train, found.val, found.test)] == [[0, 20, 10, 30], [0, 10], [0]]
    assert [s.y.tolist() for s in (found.train, found.val, found.test)] == [[0, 0, 1, 1], [0, 1], [0]]
    (tmp_path / "test").rename(tmp_path / "other")
    with pytest.raises(ConfigError, match=f"holds other, train, {validation}: are these splits or classes"):
        opened(tmp_path)
    (tmp_path / validation).rename(tmp_path / "another")
    assert opened(tmp_path, channels=1).spec().classes == 3, "one of these names may be a class: trains"


def test_validation_is_cut_from_training_where_there_is_no_folder_for_it(tmp_path):
    for split, number in (("Train", 20), ("TEST", 3)):
        (tmp_path / split).mkdir()
        for i in range(number):
            Image.new("L", (8, 8), 10 * i).save(tmp_path / split / f"{i:02}.png")
    found = opened(tmp_path, channels=1)
    levels = [sorted(s.x[:, 0, 0, 0].tolist()) for s in (found.train, found.val, found.test)]
    assert sorted(levels[0] + levels[1]) == list(range(0, 200, 10))
    assert len(levels[1]) == 4
    assert levels[2] == [0, 10, 20]
    assert found.remarks == ("no validation examples in the files: 4 of training's are taken (dataset.val)",)


def test_links_that_lead_back_are_followed_once(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.new("L", (8, 8), 10 * i).save(tmp_path / name / f"{i}.png")
        (tmp_path / name / "up").symlink_to("..", target_is_directory=True)
    found = opened(tmp_path, channels=1)
    assert sum(len(s.x) for s in (found.train, found.val, found.test)) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": None}, "needs dataset.path=<folder>"),
        ({"path": "nowhere"}, "nowhere: there is no such folder"),
        ({"path": "/proc/self/fdinfo"}, r"no pictures there \(\.jpg"),
        ({"size": 0}, "dataset.size=0"),
        ({"channels": 2}, "dataset.channels=2"),
        ({"workers": -1}, "workers=-1"),
    ],
)
def test_folders_that_cannot_be_used_are_named(folder, change, message):
    with pytest.raises(ConfigError, match=message):
        opened(**{"path": folder, **change})


def test_broken_pictures_are_named_before_training(folder):
    for name in ("ant/00.jpg", "ant/deep/02.bmp"):
        os.truncate(folder / name, (folder / name).stat().st_size // 2)
    with pytest.raises(
        ConfigError, match=r"2 of 20 pictures cannot be read.*: ant/00.jpg \(.*\), ant/deep/02.bmp \("
    ) as e:
        opened(folder)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_in_a_stream_ends_the_run(folder, tmp_path, workers):
    overrides = [*small_overrides(folder)[1:], "dataset=image_folder", "dataset.size=8", f"dataset.workers={workers}"]
    overrides += ["likelihood=gaussian", "dataset.batch_size=2"]
    found = opened(folder, workers=0, val=0.15, test=0.15).train
    name = found.store.names[int(found.rows[5])]

    from vae_cli.experiment import Experiment

    step = Experiment.training_step

    def breaking(self, batch, batch_idx):
        if self.global_step == 2:
            os.truncate(folder / name, 20)
        return step(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Experiment, "training_step", breaking)
        with pytest.raises(TrainingError, match=f"{name} cannot be read as a picture"):
            trained(overrides, tmp_path / "run")
