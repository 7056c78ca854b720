"""What is not finite stops a run with its name and step, and never reaches a checkpoint."""

import numpy as np
import pytest
import torch
from conftest import composed, trained
from parts import often

from vae_cli.build import build_data, build_experiment, rehearse
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.experiment import Experiment
from vae_cli.precision import MixedInNetworks

EVERY_STEP = "logging.checkpoint_every_n_steps=1"


def finite(path):
    return all(value.isfinite().all() for value in load_checkpoint(path)["state_dict"].values())


def loss_is_nan_at(step, monkeypatch):
    original = Experiment.schedule_values
    monkeypatch.setattr(
        Experiment,
        "schedule_values",
        lambda self, at: {key: torch.nan if at == step else value for key, value in original(self, at).items()},
    )


def test_elsewhere_than_on_the_cpu_it_is_found_before_the_next_checkpoint(small, tmp_path, monkeypatch):
    """The host does not wait for a device at each step: here the check is told that the CPU is one."""
    loss_is_nan_at(3, monkeypatch)
    monkeypatch.setattr(Experiment, "device", property(lambda self: torch.device("meta")))
    monkeypatch.setattr("vae_cli.experiment.stream", lambda device, *names: torch.random.fork_rng(devices=[]))
    with pytest.raises(TrainingError, match=r"train/loss is nan at step 4 or shortly before: training stopped"):
        trained(
            [*small, EVERY_STEP, "logging.every_n_steps=100", "logging.pictures_every_n_epochs=0"], tmp_path / "run"
        )
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert load_checkpoint(last)["global_step"] == 3
    assert finite(last)


def test_weights_that_are_lost_while_the_loss_is_finite(small, tmp_path, monkeypatch):
    """Gradients of the third step are not finite: the weights then are not, and the checkpoint before is kept."""
    original = Experiment.training_step

    def steep(self, batch, batch_idx):
        """The root of 0 is finite, and its slope is not."""
        nothing = sum(parameter.sum() for parameter in self.parameters()) * 0
        return original(self, batch, batch_idx) + (nothing.sqrt() if self.global_step == 2 else 0)

    monkeypatch.setattr(Experiment, "training_step", steep)
    with pytest.raises(TrainingError, match=r"the weights model\.encoder\S* are not finite after step 3"):
        trained([*small, EVERY_STEP], tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert load_checkpoint(last)["global_step"] == 2
    assert finite(last)


def test_gradients_whose_square_is_no_number(small, tmp_path):
    """Adam would divide by infinity for ever: weights that never move again, under a loss that is finite."""
    np.save(tmp_path / "x.npy", 1e10 * np.random.default_rng(0).normal(size=(75, 16)).astype(np.float32))
    words = [*small, f"dataset.path={tmp_path / 'x.npy'}", "likelihood=gaussian"]
    with pytest.raises(TrainingError, match=r"gradients overflow: the optimiser's exp_avg_sq of model\.\S+ is"):
        trained(words, tmp_path / "run")


def test_a_test_example_beyond_the_model_is_told_as_one(small, tmp_path, monkeypatch):
    original = Experiment.test_step

    def far(self, batch, batch_idx):
        original(self, batch._replace(x=batch.x * torch.inf), batch_idx)

    monkeypatch.setattr(Experiment, "test_step", far)
    with pytest.raises(TrainingError, match=r"test/\S+ is \S+ at step 18: training is complete, and some test example"):
        trained(small, tmp_path / "run")


def test_a_validation_that_is_not_finite_keeps_the_last_checkpoint(small, tmp_path, monkeypatch):
    loss_is_nan_at(2**63 - 1, monkeypatch)
    monkeypatch.setattr("vae_cli.training.rehearse", lambda experiment, data: None)
    with pytest.raises(TrainingError, match=r"val/loss is nan at step 6"):
        trained([*small, EVERY_STEP], tmp_path / "run")
    assert finite(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()


LIKELIHOODS = ["gaussian", "gaussian_learned", "gaussian_optimal", "gaussian_pixel", "laplace"]
LEVELS = ["bernoulli", "categorical", "continuous_bernoulli", "discretized_logistic", "logistic_mixture"]
POSTERIORS = ["diagonal", "isotropic", "cholesky"]


@pytest.mark.parametrize("precision", often(["16-mixed", "bf16-mixed"], ["16-mixed"]))
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, *LEVELS])
def test_mixed_precision_is_finite(small, likelihood, precision):
    for posterior in POSTERIORS:
        config = composed([*small, f"likelihood={likelihood}", f"posterior={posterior}"])
        data = build_data(config)
        experiment = build_experiment(config, data)
        MixedInNetworks(precision, "cpu").convert_module(experiment)
        rehearse(experiment, data)
        terms = experiment.objective(experiment.model, next(iter(data.train)), {"beta": 1.0})
        assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())


@pytest.mark.parametrize("scale", [0.0, 1e4, 1e30])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_real_numbers_of_any_size_are_finite_or_refused(tmp_path, small, likelihood, scale):
    """Constant, large, and so large that its square is no number of 32 bits."""
    np.save(tmp_path / "x.npy", (scale * np.random.default_rng(0).normal(size=(75, 16)) + 2).astype(np.float32))
    for posterior in POSTERIORS:
        config = composed(
            [
                *small,
                f"likelihood={likelihood}",
                f"posterior={posterior}",
                f"dataset.path={tmp_path / 'x.npy'}",
                "dataset.levels=none",
            ]
        )
        data = build_data(config)
        experiment = build_experiment(config, data)
        if scale == 1e30:
            with pytest.raises(ConfigError, match=r"is -?(inf|nan) before the first step"):
                rehearse(experiment, data)
        else:
            rehearse(experiment, data)
