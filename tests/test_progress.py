"""How far a run is, in 80 columns and in a file."""

import io

from conftest import composed, trained
from rich.console import Console

from vae_cli import training
from vae_cli.build import build_data, build_experiment
from vae_cli.callbacks.progress import ProgressLines, figures_of


def test_the_line_fits_in_eighty_columns(small, monkeypatch, tmp_path):
    """Epoch, time left and figures are whole, with numbers as large as they come."""
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, legacy_windows=False)
    monkeypatch.setattr(training, "console", lambda: console)
    trained([*small, "logging.progress=always"], tmp_path / "run")
    lines = [line for line in screen.getvalue().replace("\r", "\n").split("\n") if "epoch" in line]
    assert any("left" in line and "ELBO" in line and "KL" in line for line in lines)
    assert not any("…" in line for line in lines)


def test_a_file_is_told_every_half_minute(small, tmp_path, monkeypatch, capsys):
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr(training, "ProgressLines", lambda steps: ProgressLines(steps, lambda: float(next(clock))))
    trained(small, tmp_path / "run")
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("read: ")]
    assert len(lines) == 3  # 18 steps of 7 seconds
    assert lines[0].startswith("epoch 1/3 step 5, 0:01:31 left  train ELBO ")
    assert " KL " in lines[0]


def test_nothing_is_told_where_that_was_asked_for(small, tmp_path, monkeypatch, capsys):
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr(training, "ProgressLines", lambda steps: ProgressLines(steps, lambda: float(next(clock))))
    trained([*small, "logging.progress=never"], tmp_path / "run")
    assert "epoch" not in capsys.readouterr().err


def test_an_autoencoder_has_a_loss(small):
    config = composed([*small, "model=ae"])
    experiment = build_experiment(config, build_data(config))
    experiment.figures = {"val/loss": 12.345678, "val/reconstruction": -12.3}
    assert figures_of(experiment) == "val loss 12.346"
