"""Two processes on the CPU: the data is shared out, the noise differs, the weights and the figures agree."""

import json
import subprocess
import sys

import torch


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
