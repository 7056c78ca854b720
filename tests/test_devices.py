"""Two processes on the CPU: the data is shared out, the noise differs, the weights and the figures agree."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from vae_cli.precision import set_float32_precision


@pytest.mark.slow
def test_two_processes(small, tmp_path):
    command = [sys.executable, "-m", "vae_cli.cli.train", *small, "trainer.max_epochs=2", "trainer.devices=2"]
    done = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path / 'run'}"], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test ELBO") == 1
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 12  # 53 examples, 26 for each process, 5 a step
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]
    assert abs(figures["test/elbo"] - figures["test/reconstruction"] + figures["test/kl"]) < 1e-4
    more = [sys.executable, "-m", "vae_cli.cli.train", "run=run", "trainer.max_epochs=3", "trainer.devices=1"]
    done = subprocess.run(more, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("row", [3, 4, 50])
def test_what_one_process_alone_sees_is_told_in_one_line(tmp_path, row):
    """A value beyond all others in one example: one process has it in its share, the other waits for no gradient."""
    x = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    x[row] = 1e25
    np.save(tmp_path / "x.npy", x)
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'x.npy'}", "likelihood=gaussian", "latent_dim=2"]
    words += ["dataset.batch_size=20", "trainer.accelerator=cpu", "trainer.devices=2", "hydra.run.dir=run"]
    command = [sys.executable, "-m", "vae_cli.cli.train", *words, "trainer.max_epochs=3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert " is inf " in line or " is nan " in line or " is -inf " in line
    assert line.removeprefix("error: ") in json.loads((tmp_path / "run" / "status.json").read_text())["reason"]


@pytest.mark.parametrize(("name", "in_tf32"), [("highest", False), ("high", True), ("medium", True)])
def test_convolutions_are_as_precise_as_matrix_products(name, in_tf32):
    """By itself torch computes convolutions in TF32 wherever it can, whatever the precision of matrix products."""
    try:
        set_float32_precision(name)
        assert torch.get_float32_matmul_precision() == name
        assert torch.backends.cudnn.allow_tf32 is in_tf32
    finally:
        set_float32_precision("highest")
