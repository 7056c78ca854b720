"""A run that was interrupted anywhere and resumed is, bit for bit, the run that never stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import resumed, scalars, small_overrides, trained
from omegaconf import DictConfig
from parts import often
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.metadata import parse_session_end_info_plugin_data

from vae_cli.callbacks import checkpoints
from vae_cli.callbacks.checkpoints import Checkpoints
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.experiment import Experiment
from vae_cli.runs import RunDirectory

STEPS = 18  # three epochs of six


def state(path: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(path / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same(left: Any, right: Any) -> None:
    """Equal to the last bit, tensors and containers alike."""
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def assert_same_run(left: Path, right: Path) -> None:
    for key in ("state_dict", "optimizer_states", "global_step", "epoch", "training_sums", "DataModule"):
        assert_same(state(left)[key], state(right)[key])
    assert_same(state(left, "best")["state_dict"], state(right, "best")["state_dict"])
    assert scalars(left) == scalars(right)
    assert RunDirectory(left).metrics() == RunDirectory(right).metrics()


BUDGETS = {"epochs": ["trainer.max_epochs=3"], "steps": ["trainer.max_epochs=-1", f"trainer.max_steps={STEPS}"]}


@pytest.fixture(scope="module")
def whole(small_npz, tmp_path_factory):
    """The runs that never stopped, one for each way to set a budget."""
    folder = tmp_path_factory.mktemp("whole")
    for name, budget in BUDGETS.items():
        trained([*small_overrides(small_npz), *budget], folder / name)
    return folder


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("step", often(range(1, STEPS), (1, 5, 6, 7, 12, STEPS - 1)))
def test_interrupted_at_every_step(whole, small, tmp_path, interrupt_at, monkeypatch, budget, step):
    with monkeypatch.context():
        interrupt_at(step)
        outcome = trained([*small, *BUDGETS[budget]], tmp_path / "cut")
    assert outcome.state == "interrupted"
    assert outcome.step == step
    assert RunDirectory(tmp_path / "cut").status()["state"] == "interrupted"
    monkeypatch.undo()
    assert resumed(tmp_path / "cut").state == "finished"
    assert_same_run(whole / budget, tmp_path / "cut")


@pytest.mark.parametrize("first", often([1, 2, 3, 5, 6, 7, 11, 12], (1, 6, 7)))
def test_budget_raised_on_the_way(small, tmp_path, first):
    """Train N, resume to 2N = train 2N, also where N ends inside an epoch."""

    def raise_budget(config: DictConfig) -> None:
        config.trainer.max_steps = 14

    trained([*small, "trainer.max_steps=14"], tmp_path / "whole")
    trained([*small, f"trainer.max_steps={first}"], tmp_path / "cut")
    resumed(tmp_path / "cut", raise_budget)
    for key in ("state_dict", "optimizer_states", "training_sums"):
        assert_same(state(tmp_path / "whole")[key], state(tmp_path / "cut")[key])
    whole, cut = scalars(tmp_path / "whole"), scalars(tmp_path / "cut")
    extra = {first}  # the shorter run logged at its own end
    assert whole["train/elbo"] == [event for event in cut["train/elbo"] if event in whole["train/elbo"]]
    assert {step for step, _ in cut["train/elbo"]} - {step for step, _ in whole["train/elbo"]} <= extra


class Killed(BaseException):
    """As if the process were gone: nothing in the program catches it."""


def killed(monkeypatch, owner, name, when, overrides, path):
    """A run that dies where `owner.name` is called and `when(arguments)` holds."""
    original = getattr(owner, name)

    def die(self, *arguments):
        if when(self, *arguments):
            raise Killed
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            trained(overrides, path)


@pytest.mark.parametrize("step", [6, 12])
@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_killed_before_either_checkpoint(whole, small, tmp_path, monkeypatch, name, step):
    when = lambda self, trainer, file: trainer.global_step == step and file == name
    killed(monkeypatch, Checkpoints, "_save", when, small, tmp_path / "cut")
    resumed(tmp_path / "cut")
    assert_same_run(whole / "epochs", tmp_path / "cut")


@pytest.mark.parametrize(("owner", "name"), [(Experiment, "validation_step"), (Experiment, "test_step")])
def test_killed_in_the_last_validation_or_the_test(small, tmp_path, monkeypatch, owner, name):
    """Where training ends inside an epoch, after its last step."""
    overrides = [*small, "trainer.max_steps=14"]
    trained(overrides, tmp_path / "whole")
    when = lambda self, batch, index: self.global_step == 14
    killed(monkeypatch, owner, name, when, overrides, tmp_path / "cut")
    resumed(tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_killed_before_the_first_checkpoint(whole, small, tmp_path, monkeypatch):
    when = lambda self, batch, index: self.global_step == 5
    killed(monkeypatch, Experiment, "training_step", when, small, tmp_path / "cut")
    resumed(tmp_path / "cut")
    assert_same_run(whole / "epochs", tmp_path / "cut")


def test_init_is_not_forgotten_before_the_first_checkpoint(small, tmp_path, monkeypatch):
    trained([*small, "seed=5"], tmp_path / "source")
    overrides = [*small, f"init={tmp_path / 'source'}"]
    trained(overrides, tmp_path / "whole")
    when = lambda self, batch, index: self.global_step == 5
    killed(monkeypatch, Experiment, "training_step", when, overrides, tmp_path / "cut")
    resumed(tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_non_finite_loss_keeps_the_last_checkpoint(small, tmp_path, monkeypatch):
    from vae_cli.objectives import bounds

    original, calls = bounds.elbo_terms, []

    def break_at_the_twelfth(trace):
        calls.append(trace)
        terms = original(trace)
        if len(calls) == 12:
            terms["kl/z"] = terms["kl/z"] * torch.inf
        return terms

    monkeypatch.setattr(bounds, "elbo_terms", break_at_the_twelfth)
    with pytest.raises(TrainingError, match="train/kl/z is inf at step 9"):  # two rehearse, one validates
        trained(small, tmp_path / "run")
    status = RunDirectory(tmp_path / "run").status()
    assert status["state"] == "failed"
    assert "train/kl/z is inf" in status["reason"]
    assert state(tmp_path / "run")["global_step"] == 6


def test_tensorboard_shows_a_resumed_run_as_a_success(small, tmp_path, interrupt_at, monkeypatch):
    interrupt_at(8)
    trained(small, tmp_path / "run")
    monkeypatch.undo()
    tag = "_hparams_/session_end_info"
    assert tag not in EventAccumulator(str(tmp_path / "run")).Reload().summary_metadata
    resumed(tmp_path / "run")
    metadata = EventAccumulator(str(tmp_path / "run")).Reload().summary_metadata[tag]
    assert parse_session_end_info_plugin_data(metadata.plugin_data.content).status == Status.Value("STATUS_SUCCESS")


def test_moved_in_between(small, tmp_path, interrupt_at, monkeypatch):
    trained(small, tmp_path / "whole")
    interrupt_at(8)
    trained(small, tmp_path / "cut")
    monkeypatch.undo()
    (tmp_path / "cut").rename(tmp_path / "elsewhere")
    resumed(tmp_path / "elsewhere")
    assert_same_run(tmp_path / "whole", tmp_path / "elsewhere")


def test_other_data_is_refused(small, tmp_path, interrupt_at, monkeypatch, small_npz):
    import numpy as np

    content = dict(np.load(small_npz))
    np.savez(tmp_path / "mine.npz", **content)
    interrupt_at(4)
    trained([*small, f"dataset.path={tmp_path / 'mine.npz'}"], tmp_path / "run")
    monkeypatch.undo()
    content["x"][0, 0, 0, 0] ^= 1
    np.savez(tmp_path / "mine.npz", **content)
    with pytest.raises(ConfigError, match="not what this run began on"):
        resumed(tmp_path / "run")


def test_a_crash_while_saving_keeps_the_last_checkpoint(small, tmp_path, monkeypatch):
    trained([*small, "trainer.max_epochs=1"], tmp_path / "run")
    before = state(tmp_path / "run")

    def half(content: Any, file: Any) -> None:
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", half)
    with pytest.raises(TrainingError, match="No space left"):
        resumed(tmp_path / "run", lambda config: config.trainer.__setattr__("max_epochs", 3))
    assert RunDirectory(tmp_path / "run").status()["state"] == "failed"
    monkeypatch.undo()
    assert_same(before, state(tmp_path / "run"))
