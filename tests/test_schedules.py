"""Learning rates: their values, what a run does with them, and that a resumed run has the same."""

import pytest
from conftest import composed, resumed, scalars, trained
from test_resume import assert_same_run

from vae_cli.build import build_data, build_experiment
from vae_cli.errors import ConfigError
from vae_cli.experiment import Experiment
from vae_cli.schedules import powers_of_three, unchanged


@pytest.mark.parametrize(
    ("epochs", "stage"),
    [(0, 0), (0.99, 0), (1, 1), (3.99, 1), (4, 2), (12.9, 2), (13, 3), (1092.9, 6), (1093, 7), (3279, 7), (1e9, 7)],
)
def test_powers_of_three(epochs, stage):
    """Stage i takes 3^i epochs at 10^(-i / 7): 1 + 3 + 9 + ... (Burda et al. 2016)."""
    assert powers_of_three(stages=8)(epochs) == pytest.approx(10 ** (-stage / 7))
    assert unchanged()(epochs) == 1


@pytest.mark.parametrize("stages", [0, 21])
def test_impossible_stages_are_named(stages):
    with pytest.raises(ConfigError, match=f"stages={stages}: 1 to 20"):
        powers_of_three(stages=stages)


def test_epochs_are_steps_by_the_steps_of_an_epoch(small):
    config = composed([*small, "lr_schedule=powers_of_three"])
    data = build_data(config)
    experiment = build_experiment(config, data)
    assert len(data.train) == 6
    factors = [experiment._lr_factor(step) for step in (0, 5, 6, 23, 24)]
    assert factors == pytest.approx([1, 1, 10 ** (-1 / 7), 10 ** (-1 / 7), 10 ** (-2 / 7)])


EVERYTHING_THAT_CHANGES = [
    "lr_schedule=powers_of_three",
    "lr_schedule.stages=3",
    "optimizer.lr=0.01",
    "likelihood=gaussian_optimal",
    "objective=iwae",
    "corruption=gaussian",
    "logging.importance_samples=30",
    "logging.every_n_steps=1",
    "trainer.max_epochs=5",
]


def test_a_run_follows_its_learning_rate_and_resumes_with_it(small, tmp_path, monkeypatch):
    """Also the moving average of sigma^2, the corruption and the bound at validation."""
    words = [*small, *EVERYTHING_THAT_CHANGES]
    trained(words, tmp_path / "whole")
    rates = [rate for _, rate in scalars(tmp_path / "whole")["train/lr"]]
    assert rates == pytest.approx([0.01] * 6 + [0.01 * 10 ** (-1 / 7)] * 18 + [0.01 * 10 ** (-2 / 7)] * 6)
    assert "val/iwae_30" in scalars(tmp_path / "whole")

    original = Experiment.training_step

    def failing_step(self, batch, batch_idx):
        if self.global_step == 14:
            raise RuntimeError("power cut")
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "training_step", failing_step)
        with pytest.raises(RuntimeError, match="power cut"):
            trained(words, tmp_path / "cut")
    resumed(tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
