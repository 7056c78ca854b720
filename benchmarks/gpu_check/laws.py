"""What must hold on a device as it does on a CPU: where data lies, resuming, how a NaN is told."""

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gpu_check.commands import resumed, settings, trained
from gpu_check.parts import Check, Passed, Place
from vae_cli.build import build_data
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.errors import TrainingError
from vae_cli.runs import RunDirectory

_RESUMED = {"vae": 0.0, "sigma_vae": 0.0, "conv_hvae": 1e-3}
"""Presets, and how far apart weights may be: convolutions may add up in another order in each run."""


def laws() -> dict[str, Check]:
    """By name."""
    return {
        "data lies on the device": _data_on_the_device,
        **{f"resuming {name}": partial(_resuming, name, limit) for name, limit in _RESUMED.items()},
        "NaN is told": _nan_is_told,
    }


def _data_on_the_device(place: Place) -> Passed:
    """Rows, and every field of a batch, that of a picture as condition included."""
    device = torch.device(place.device, 0) if place.device == "cuda" else torch.device("cpu")
    data = build_data(settings(place, ["model=structured_cvae"])).to(device)
    for loader in data.loaders:
        for field, value in next(iter(loader))._asdict().items():
            assert value is None or value.device == device, f"{field} lies on {value.device}"
        assert loader.labels().device == device
    return Passed(f"batches lie on {device}")


def _resuming(name: str, limit: float, place: Place) -> Passed:
    """Three steps and three more give the weights, the moments and the figures of six."""
    words = [f"model={name}", "logging.pictures_every_n_epochs=0"]
    whole, _ = trained(place, f"whole_{name}", [*words, "trainer.max_steps=6"])
    halves, _ = trained(place, f"halves_{name}", [*words, "trainer.max_steps=3"])
    resumed(halves, 6)
    (weights, figures), (others, other_figures) = (_ended(one) for one in (whole, halves))
    apart = max(_apart(weights[key], others[key]) for key in weights)
    assert weights.keys() == others.keys()
    assert apart <= limit, f"weights or moments differ by up to {apart:.1e} of the largest, more than {limit:.0e}"
    np.testing.assert_allclose([*figures.values()], [*other_figures.values()], rtol=max(limit, 1e-7))
    words = "bit for bit" if apart == 0 else f"apart by {apart:.1e} of the largest weight"
    return Passed(words, {"apart": apart, "test": figures})


def _ended(run: RunDirectory) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Every tensor of the last checkpoint that a step changes, and the test figures."""
    content = load_checkpoint(run.checkpoints / "last.ckpt")
    assert content["global_step"] == 6
    (optimizer,) = content["optimizer_states"]
    moments = {
        f"{number} {key}": value
        for number, state in optimizer["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }
    return {**content["state_dict"], **moments}, run.metrics()["test"]


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, by the largest value."""
    largest = one.double().abs().max().clamp(min=1e-30)
    return float((one.double() - other.double()).abs().max() / largest)


def _nan_is_told(place: Place) -> Passed:
    """A learning rate beyond all others: the run stops by itself, says which term at which step, and keeps no NaN."""
    words = ["model=vae", "optimizer.lr=1e30", "trainer.max_steps=50", "logging.every_n_steps=4"]
    text = _refusal(partial(trained, place, "nan", words))
    found = re.match(r"train/[\w/]+ is -?(nan|inf) at step \d+", text)
    assert found, f"the message names no term and step: {text}"
    kept = place.folder / "runs" / "nan" / "checkpoints" / "last.ckpt"
    state = load_checkpoint(kept)["state_dict"] if kept.exists() else {}
    assert all(value.isfinite().all() for value in state.values()), "a checkpoint holds what is not finite"
    return Passed(found[0])


def _refusal(run: Callable[[], object]) -> str:
    try:
        run()
    except TrainingError as error:
        return str(error)
    raise AssertionError("a learning rate of 1e30 was trained with to the end")
