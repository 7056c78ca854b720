"""compile=true: the same model, compiled few times."""

import functools

import pytest
import torch
import torch._inductor.config
from conftest import composed, scalars, trained
from test_resume import state
from torch import nn
from torch._dynamo.utils import counters

from vae_cli.build import build_data, build_experiment
from vae_cli.compilation import compile_networks
from vae_cli.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("default")  # torch warns itself while it compiles


@pytest.fixture
def traced_only(monkeypatch):
    """Everything that torch.compile does before it makes machine code, which takes a minute."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend="eager"))


@pytest.mark.parametrize(
    ("architecture", "precision", "eval_batch_size", "times"),
    [("mlp", "32-true", 6, 2), ("conv", "bf16-mixed", 6, 2), ("mlp", "bf16-mixed", 10, 4)],
)
def test_a_network_is_compiled_few_times_and_nothing_else_changes(
    small, tmp_path, traced_only, architecture, precision, eval_batch_size, times
):
    """Training with batches of 10 and 3; evaluation of 11 examples in two batches, with 5 draws of each; pictures."""
    words = [word for word in small if not word.startswith("architecture")]
    words += [f"architecture={architecture}", f"trainer.precision={precision}", "logging.importance_samples=5"]
    words += [f"dataset.eval_batch_size={eval_batch_size}"]
    trained(words, tmp_path / "plain")
    assert not counters["stats"]
    trained([*words, "compile=true"], tmp_path / "compiled")
    assert 0 < counters["stats"]["unique_graphs"] <= 2 * times
    plain, compiled = (state(tmp_path / name)["state_dict"] for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value)


def test_noise_stays_outside(small, tmp_path, traced_only):
    """A corruption draws what it draws without compilation."""
    trained([*small, "model=dae"], tmp_path / "plain")
    trained([*small, "model=dae", "compile=true"], tmp_path / "compiled")
    plain, compiled = scalars(tmp_path / "plain"), scalars(tmp_path / "compiled")
    assert plain["train/loss"] == compiled["train/loss"]


@pytest.mark.parametrize("objective", ["piwae", "dreg"])
def test_networks_some_of_whose_parameters_are_held_fixed(small, tmp_path, traced_only, objective):
    """Compiled for that once more, not at every step, and no number changes."""
    words = [*small, f"objective={objective}", "logging.pictures_every_n_epochs=0"]
    trained(words, tmp_path / "plain")
    trained([*words, "compile=true"], tmp_path / "compiled")
    assert 0 < counters["stats"]["unique_graphs"] <= 10
    plain, compiled = (state(tmp_path / name)["state_dict"] for name in ("plain", "compiled"))
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value)


def test_without_a_compiler(small):
    config = composed(small)
    experiment = build_experiment(config, build_data(config))
    absent = torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)})
    with absent, pytest.raises(ConfigError, match=r"compile=true needs a C\+\+ compiler and none was found: install g"):
        compile_networks(experiment)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_machine_code_gives_the_same_numbers(small, tmp_path, precision):
    words = [*small, f"trainer.precision={precision}"]
    figures = [trained([*words, f"compile={on}"], tmp_path / on).figures for on in ("false", "true")]
    assert figures[1] == pytest.approx(figures[0], rel=1e-4 if precision == "32-true" else 2e-2)
