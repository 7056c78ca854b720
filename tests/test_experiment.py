"""Training and evaluation: what is logged is what it is called, and nothing but the seed moves a number."""

import platform
import subprocess
import sys

import pytest
import torch
from conftest import composed, scalars, trained
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from test_resume import assert_same, state

from vae_cli import training
from vae_cli.build import build_data, build_experiment
from vae_cli.experiment import Sums
from vae_cli.precision import MixedInNetworks
from vae_cli.types import Head


def test_means_weigh_batches_by_their_size():
    """Ten examples in batches of four = in one batch of ten."""
    values = torch.arange(10.0)
    in_batches, at_once = Sums(), Sums()
    for part in values.split(4):
        in_batches.add(["a", "b"], torch.stack([part.mean(), 2 * part.mean()]), len(part))
    at_once.add(["a", "b"], torch.stack([values.mean(), 2 * values.mean()]), 10)
    assert in_batches.means() == pytest.approx(at_once.means())
    assert in_batches.means() == pytest.approx({"a": 4.5, "b": 9.0})


def test_no_sums_no_means():
    assert Sums().means() == {}


def test_figures_weigh_examples_alike_whatever_the_evaluation_batch(small, tmp_path):
    """11 test examples in batches of 4 = in one: exactly for the KL, which needs no draws."""
    figures = [trained([*small, f"dataset.eval_batch_size={size}"], tmp_path / str(size)).figures for size in (4, 500)]
    assert figures[0]["test/kl"] == pytest.approx(figures[1]["test/kl"], rel=1e-5)
    assert figures[0]["test/elbo"] == pytest.approx(figures[1]["test/elbo"], rel=0.05)


def test_mixed_precision_clips_gradients(small, tmp_path):
    trained([*small, "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1e-6"], tmp_path / "clipped")
    trained([*small, "trainer.precision=bf16-mixed"], tmp_path / "free")
    clipped, free = (state(tmp_path / name)["optimizer_states"][0]["state"][0] for name in ("clipped", "free"))
    assert clipped["exp_avg"].norm() < 1e-5 < free["exp_avg"].norm()


def test_same_seed_same_run_and_seed_zero_is_a_seed(small, tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        trained([*small, f"seed={seed}"], tmp_path / name)
    assert_same(state(tmp_path / "one")["state_dict"], state(tmp_path / "two")["state_dict"])
    assert scalars(tmp_path / "one") == scalars(tmp_path / "two")
    first, third = (state(tmp_path / name)["state_dict"] for name in ("one", "three"))
    assert all(not torch.equal(first[key], third[key]) for key in first)


@pytest.mark.parametrize(
    "silence",
    [
        ["logging.validate_every_n_epochs=0"],
        ["logging.pictures_every_n_epochs=0"],
        ["logging.pictures_every_n_epochs=1", "logging.checkpoint_every_n_steps=1"],
        ["logging.validate_every_n_epochs=2"],
    ],
)
def test_looking_changes_no_training_number(small, tmp_path, silence):
    trained(small, tmp_path / "usual")
    trained([*small, *silence], tmp_path / "other")
    assert_same(state(tmp_path / "usual")["state_dict"], state(tmp_path / "other")["state_dict"])
    usual, other = scalars(tmp_path / "usual"), scalars(tmp_path / "other")
    assert {tag: usual[tag] for tag in usual if tag.startswith("train/")} == {
        tag: other[tag] for tag in other if tag.startswith("train/")
    }


def test_validation_uses_the_values_that_schedules_end_with(small):
    config = composed(small)
    data = build_data(config)
    experiment = build_experiment(config, data)
    experiment.objective.schedules = {"beta": lambda step: min(1.0, step / 1000)}
    experiment._evaluate(next(iter(data.val)), "val", 0)
    figures = experiment._evaluation_sums.means()
    assert figures["loss"] == pytest.approx(-figures["elbo"], rel=1e-6)


def test_init_starts_from_the_weights_of_a_run(small, tmp_path):
    trained(small, tmp_path / "first")
    trained([*small, f"init={tmp_path / 'first'}", "trainer.max_steps=1", "optimizer.lr=1e-12"], tmp_path / "second")
    best, second = state(tmp_path / "first", "best")["state_dict"], state(tmp_path / "second")["state_dict"]
    for key, value in best.items():
        torch.testing.assert_close(second[key], value, rtol=0, atol=1e-9)


def test_init_from_weights_that_do_not_fit_is_named(small, tmp_path):
    trained(small, tmp_path / "first")
    with pytest.raises(ValueError, match="do not fit this model"):
        trained([*small, f"init={tmp_path / 'first'}", "latent_dim=4"], tmp_path / "second")
    assert not list((tmp_path / "second").iterdir())


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_stays_inside_networks(small, precision):
    config = composed(small)
    data = build_data(config)
    experiment = build_experiment(config, data)
    plugin = MixedInNetworks(precision, "cpu")
    keys = list(experiment.state_dict())
    plugin.convert_module(experiment)
    inside, outside = [], []
    experiment.model.encoder._body.last.register_forward_hook(lambda module, args, out: inside.append(out.dtype))
    for part in experiment.modules():
        if isinstance(part, Head):
            part.register_forward_hook(lambda module, args, out: outside.append(args[0].dtype))
    with plugin.forward_context():
        terms = experiment.objective(experiment.model, next(iter(data.train)), {"beta": 1.0})
    assert inside == [torch.bfloat16 if precision == "bf16-mixed" else torch.float16]
    assert outside == [torch.float32, torch.float32]
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert list(experiment.state_dict()) == keys


def test_a_run_in_mixed_precision_ends_near_the_one_in_float32(small, tmp_path):
    figures = [
        trained([*small, f"trainer.precision={precision}"], tmp_path / precision).figures["test/elbo"]
        for precision in ("32-true", "bf16-mixed")
    ]
    assert figures[0] == pytest.approx(figures[1], abs=0.1)


def test_training_improves_the_bound(small, tmp_path):
    trained([*small, "trainer.max_epochs=60", "optimizer.lr=0.01"], tmp_path / "run")
    elbo = [value for _, value in scalars(tmp_path / "run")["val/elbo"]]
    assert elbo[-1] > elbo[0] + 0.5


@pytest.mark.parametrize("words", [[], ["trainer.gradient_clip_val=1e-2"], ["trainer.precision=bf16-mixed"]])
def test_the_short_loop_takes_the_steps_that_lightning_takes(small, tmp_path, monkeypatch, words):
    trained([*small, *words], tmp_path / "short")
    monkeypatch.setattr(training, "StepLoop", _TrainingEpochLoop)
    trained([*small, *words], tmp_path / "lightning")
    short, lightning = state(tmp_path / "short"), state(tmp_path / "lightning")
    for content in (short, lightning):
        del content["loops"]["fit_loop"]["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["zero_grad"]
        del content["loops"]["fit_loop"]["epoch_loop.state_dict"]
    assert_same(short, lightning)
    assert scalars(tmp_path / "short") == scalars(tmp_path / "lightning")


def test_a_step_leaves_nothing_behind_that_grows(small, tmp_path):
    """torch.manual_seed keeps a traceback a call for every kind of device that is not there."""
    before = len(torch.cuda._queued_calls)
    trained(small, tmp_path / "run")
    assert len(torch.cuda._queued_calls) - before <= 1, "weights alone are drawn after torch.manual_seed"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")
def test_freed_memory_serves_the_next_step():
    """Page faults of five steps of a convolutional net, some 18,000 a step where its feature maps are given back."""
    code = """
import resource, sys, torch
from vae_cli.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
down = torch.nn.Conv2d(1, 32, 4, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 4, 2, 1), torch.nn.ReLU()
up = torch.nn.ConvTranspose2d(32, 32, 4, 2, 1), torch.nn.ReLU(), torch.nn.ConvTranspose2d(32, 1, 4, 2, 1)
net, x = torch.nn.Sequential(*down, *up), torch.rand(64, 1, 64, 64)
for step in range(8):
    if step == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    net(x).square().sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    words = [[sys.executable, "-c", code, mode] for mode in ("keep", "as it is")]
    kept, given_back = (int(subprocess.run(one, capture_output=True, check=True).stdout) for one in words)
    assert kept < 5000 < 20_000 < given_back
