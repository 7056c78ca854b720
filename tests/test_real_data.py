"""The published files themselves, where they lie in $VAE_DATA_ROOT; elsewhere these tests are skipped."""

from pathlib import Path

import pytest
from conftest import REAL_DATA, composed, trained

from vae_cli.build import build_data

ROOT = [f"dataset.root={REAL_DATA}"]


def needs(folder: str) -> None:
    if REAL_DATA is None or not (Path(REAL_DATA) / folder).is_dir():
        pytest.skip(f"$VAE_DATA_ROOT has no folder {folder}")


@pytest.mark.parametrize(
    ("dataset", "folder", "sizes", "mean"),
    [
        ("mnist", "mnist", (50_000, 10_000, 10_000), 0.1306),
        ("fashion_mnist", "fashion_mnist", (50_000, 10_000, 10_000), 0.2855),
        ("static_mnist", "binarized_mnist", (50_000, 10_000, 10_000), 0.1306),
    ],
)
def test_splits_and_means(dataset, folder, sizes, mean):
    needs(folder)
    data = build_data(composed([f"dataset={dataset}", *ROOT]))
    assert (data.train.num_rows(), data.val.num_rows(), data.test.num_rows()) == sizes
    assert data.spec.shape == (1, 28, 28)
    assert data.spec.mean is not None
    assert float(data.spec.mean.mean()) == pytest.approx(mean, abs=5e-4)
    assert data.spec.classes == (None if dataset == "static_mnist" else 10)


def test_one_epoch_of_mnist_reaches_the_expected_range(tmp_path):
    """A 784-500-20 VAE is near -125 nats after its first epoch."""
    needs("mnist")
    figures = trained(["dataset=mnist", *ROOT, "trainer.max_epochs=1"], tmp_path / "run").figures
    assert -135 < figures["test/elbo"] < -115
