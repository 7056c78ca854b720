"""Threads follow from the size of a step, and stay what they were when a run goes on."""

import pytest
import torch
from conftest import composed, resumed, trained

from vae_cli import threads
from vae_cli.advice import slow_precision
from vae_cli.build import build_data, build_experiment
from vae_cli.cli.continuing import continued_in_sweep
from vae_cli.runs import RunDirectory
from vae_cli.threads import operations_of_a_step, threads_for


def parts(overrides):
    config = composed(overrides)
    data = build_data(config)
    return build_experiment(config, data), data


def test_operations_are_those_of_the_layers_forward_and_twice_back(small):
    """256-8-6 and 3-8-256, by hand; ten examples a step."""
    experiment, data = parts([*small, "architecture.depth=1"])
    expected = 3 * 10 * 2 * (256 * 8 + 8 * 6 + 3 * 8 + 8 * 256)
    assert operations_of_a_step(experiment, data) == expected
    three = parts([*small, "architecture.depth=1", "objective.num_samples=3"])
    assert operations_of_a_step(*three) == 3 * 10 * 2 * (256 * 8 + 8 * 6 + 3 * (3 * 8 + 8 * 256))


def test_asking_leaves_no_trace(small):
    experiment, data = parts([*small, "likelihood=gaussian_optimal", "dataset.binarize=none"])
    before = {name: value.clone() for name, value in experiment.state_dict().items()}
    state = torch.get_rng_state()
    operations_of_a_step(experiment, data)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in experiment.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "environment", "device", "small_is", "expected"),
    [
        ("auto", {}, "cpu", 1e12, 1),
        ("auto", {}, "cpu", 1.0, 4),
        ("auto", {"OMP_NUM_THREADS": "4"}, "cpu", 1e12, 4),
        ("auto", {}, "cuda", 1e12, 4),
        (3, {}, "cpu", 1e12, 3),
        (None, {}, "cpu", 1e12, 4),
    ],
)
def test_what_is_taken(small, monkeypatch, setting, environment, device, small_is, expected):
    monkeypatch.delenv("OMP_NUM_THREADS")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(threads, "_SMALL", small_is)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert threads_for(setting, *parts(small), device) == expected


def test_they_are_recorded_and_kept(small, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr("vae_cli.training.threads_for", lambda setting, *_: 2 if setting == "auto" else setting)
    trained([*small, "trainer.max_epochs=1"], tmp_path / "run")
    config, _ = RunDirectory(tmp_path / "run").read_config([])
    assert config.trainer.threads == 2
    resumed(tmp_path / "run", lambda config: config.trainer.__setattr__("max_epochs", 2))
    assert taken == [2, 2]


@pytest.mark.parametrize(
    ("capability", "precision", "told"),
    [("AVX2", "bf16-mixed", True), ("AVX2", "32-true", False), ("AVX512", "bf16-mixed", False)],
)
def test_a_processor_without_bfloat16_is_told_of(monkeypatch, capability, precision, told):
    monkeypatch.setattr("vae_cli.advice._WITHOUT_BFLOAT16", ("DEFAULT", "AVX2"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert bool(list(slow_precision(precision, "cpu"))) is told
    assert not list(slow_precision(precision, "cuda"))


def test_a_job_of_a_sweep_keeps_those_that_it_began_with(small, tmp_path, monkeypatch):
    monkeypatch.setattr("vae_cli.training.threads_for", lambda setting, *_: 1 if setting == "auto" else setting)
    trained([*small, "trainer.max_epochs=1"], tmp_path / "run")
    for words, expected in (([], 1), (["trainer.threads=2"], 2)):
        own, _ = continued_in_sweep(composed([*small, *words]), RunDirectory(tmp_path / "run"))
        assert own.trainer.threads == expected
