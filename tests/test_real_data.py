"""The published files themselves, where they lie in $VAE_DATA_ROOT; elsewhere these tests are skipped."""

import hashlib
from pathlib import Path

import pytest
from conftest import REAL_DATA, composed, trained

from vae_cli.build import build_data

ROOT = [f"dataset.root={REAL_DATA}"]


def needs(folder: str) -> None:
    if REAL_DATA is None or not (Path(REAL_DATA) / folder).is_dir():
        pytest.skip(f"$VAE_DATA_ROOT has no folder {folder}")


@pytest.mark.parametrize(
    ("dataset", "folder", "sizes", "shape", "classes", "mean"),
    [
        ("mnist", "mnist", (50_000, 10_000, 10_000), (1, 28, 28), 10, 0.1306),
        ("fashion_mnist", "fashion_mnist", (50_000, 10_000, 10_000), (1, 28, 28), 10, 0.2855),
        ("static_mnist", "binarized_mnist", (50_000, 10_000, 10_000), (1, 28, 28), None, 0.1306),
        ("omniglot", "omniglot", (23_045, 1_345, 8_070), (1, 28, 28), 1623, 0.0805),
        ("frey_faces", "freyfaces", (1_565, 200, 200), (1, 28, 20), None, 0.6058),
    ],
)
def test_splits_and_means(dataset, folder, sizes, shape, classes, mean):
    needs(folder)
    data = build_data(composed([f"dataset={dataset}", *ROOT, "dataset.download=false"]))
    assert (data.train.num_rows(), data.val.num_rows(), data.test.num_rows()) == sizes
    assert data.spec.shape == shape
    assert data.spec.mean is not None
    assert float(data.spec.mean.mean()) == pytest.approx(mean, abs=5e-4)
    assert data.spec.classes == classes


@pytest.mark.parametrize(
    ("dataset", "folder"), [("mnist", "mnist"), ("fashion_mnist", "fashion_mnist"), ("omniglot", "omniglot")]
)
def test_the_files_have_the_checksums_that_a_download_must_have(dataset, folder):
    needs(folder)
    for name, checksum in composed([f"dataset={dataset}"]).dataset.source.folder.checksums.items():
        content = (Path(str(REAL_DATA)) / dataset / name).read_bytes()
        assert checksum == f"sha256:{hashlib.sha256(content).hexdigest()}", name


def test_frey_faces_stand_upright():
    """Eyes left and right of the bridge of the nose, a mouth below, hair at the sides of the forehead."""
    needs("freyfaces")
    (mean,) = build_data(composed(["dataset=frey_faces", *ROOT, "dataset.download=false"])).spec.mean
    left_eye, right_eye, nose, mouth = mean[7, 4:7].mean(), mean[7, 13:16].mean(), mean[7, 10], mean[14, 9:12].mean()
    assert max(left_eye, right_eye, mouth) < 0.5 < 0.7 < nose
    assert max(mean[1, 0], mean[1, -1]) < 0.6 < 0.8 < mean[1, 8:12].mean()


def test_one_epoch_of_mnist_reaches_the_expected_range(tmp_path):
    """A 784-500-20 VAE is near -125 nats after its first epoch."""
    needs("mnist")
    figures = trained(["dataset=mnist", *ROOT, "trainer.max_epochs=1"], tmp_path / "run").figures
    assert -135 < figures["test/elbo"] < -115
