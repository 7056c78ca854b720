"""Twenty losses of every preset in float64: a refactor is one when no number moves.

After a change that is meant to move them: `python tests/test_golden.py`, and say so in the commit.
"""

import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import composed
from parts import choices, small_model

from vae_cli.build import build_data, build_experiment

GOLDEN = Path(__file__).with_name("golden.json")
STEPS = 20


def write_data(path):
    """60 grey images of 3 x 3 pixels in 3 classes, the same on every machine."""
    x = (np.arange(60 * 9) * 37 % 256).astype(np.uint8).reshape(60, 1, 3, 3)
    np.savez(path, x=x, y=np.arange(60) % 3)


def losses(model, path):
    config = composed([*small_model(model), "dataset=arrays", f"dataset.path={path}", "dataset.batch_size=10"])
    if "kernels" in config.architecture:
        config.architecture.update({"channels": [4], "kernels": [2]})
    torch.set_default_dtype(torch.float64)
    try:
        data = build_data(config)
        experiment = build_experiment(config, data)
        optimizer = experiment.configure_optimizers()
        found = []
        for step, batch in enumerate(
            itertools.islice(itertools.chain.from_iterable(itertools.repeat(data.train)), STEPS)
        ):
            torch.manual_seed(step)
            batch = batch._replace(x=batch.x.double(), c=None if batch.c is None else batch.c.double())
            loss = experiment.objective(experiment.model, batch, experiment.schedule_values(step))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(float(loss.detach()))
    finally:
        torch.set_default_dtype(torch.float32)
    return found


@pytest.mark.parametrize("model", choices("model"))
def test_no_number_moved(model, tmp_path):
    write_data(tmp_path / "data.npz")
    assert losses(model, tmp_path / "data.npz") == pytest.approx(json.loads(GOLDEN.read_text())[model], rel=1e-9)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "data.npz")
        found = {model: losses(model, Path(folder) / "data.npz") for model in choices("model")}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
