"""A run directory: what lies in it, and what is refused."""

import json

import pytest
import yaml
from conftest import resumed, trained

from vae_cli import __version__
from vae_cli.errors import ConfigError, TrainingError, is_out_of_memory
from vae_cli.runs import RunDirectory


@pytest.fixture
def run(small, tmp_path):
    trained(small, tmp_path / "run")
    return tmp_path / "run"


def test_what_lies_in_it(run):
    names = {path.name for path in run.iterdir() if not path.name.startswith(("events", "."))}
    files = {"config.yaml", "status.json", "metrics.json", "train.log", "projector_config.pbtxt"}
    assert names == files | {"checkpoints", "images", "projector"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["step"], status["reason"]) == ("finished", 18, None)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["unit"] == "nats per example"
    assert metrics["weights"].startswith("best validation loss")


def test_nothing_in_it_names_its_place(run):
    for path in run.rglob("*"):
        if path.is_file():
            assert str(run).encode() not in path.read_bytes(), path.name


def test_the_config_is_resolved_and_names_the_choices(run, small):
    content = yaml.safe_load((run / "config.yaml").read_text())
    assert "${" not in (run / "config.yaml").read_text()
    assert content["dataset"]["binarize"] == "dynamic"  # the choice that was made for `auto`
    assert content["recorded"]["overrides"] == small
    assert content["recorded"]["version"] == __version__


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.joinpath("config.yaml").unlink(), "not a run directory: it has no config.yaml"),
        (lambda path: path.joinpath("config.yaml").write_text("{:"), "config.yaml is damaged"),
        (lambda path: path.joinpath("config.yaml").write_text("beta: 1"), "config.yaml is damaged"),
        (lambda path: path.joinpath("config.yaml").write_text(""), "config.yaml is damaged"),
        (lambda path: path.joinpath("config.yaml").write_text("[" * 10**6), "config.yaml is damaged: .* 100 deep"),
    ],
)
def test_damage_is_named(run, damage, message):
    damage(run)
    with pytest.raises(ConfigError, match=message):
        resumed(run)


def change(run, edit):
    content = yaml.safe_load((run / "config.yaml").read_text())
    edit(content)
    (run / "config.yaml").write_text(yaml.safe_dump(content))


def test_another_format_is_named(run):
    change(run, lambda content: content["recorded"].update(format=99, version="9.9"))
    with pytest.raises(ConfigError, match=r"written by version 9\.9 in format 99, and this is"):
        resumed(run)


@pytest.mark.parametrize(
    "target",
    ["os.system", "torch.hub.load", "torch.optim.optimizer.torch.hub.load", "vae_cli.heads.bernoulli.Independent"],
)
def test_a_config_may_name_only_what_our_leaves_name(run, target):
    change(run, lambda content: content["likelihood"].update(_target_=target))
    with pytest.raises(ConfigError, match=f"names {target}, which is none of ours"):
        resumed(run)


def test_what_the_user_trusts_must_be_defined_there(run):
    change(run, lambda content: content["likelihood"].update(_target_="vae_cli.heads.bernoulli.Independent"))
    with pytest.raises(ConfigError, match="none of ours"):
        RunDirectory(run).read_config(["vae_cli.heads.bernoulli"])
    change(run, lambda content: content["likelihood"].update(_target_="parts.a_support_of"))
    RunDirectory(run).read_config(["parts"])


def test_a_failed_run_says_why(small, tmp_path, monkeypatch):
    from vae_cli.experiment import Experiment

    def fail(self, batch, batch_idx):
        raise RuntimeError("the reason")

    monkeypatch.setattr(Experiment, "validation_step", fail)
    with pytest.raises(RuntimeError):
        trained(small, tmp_path / "run")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", "RuntimeError: the reason")


def test_checkpoints_hold_no_code(run):
    import torch

    for name in ("last", "best"):
        torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_the_words_of_another_error_are_not_taken_for_want_of_memory():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(TrainingError("/data/out of memory/a.png cannot be read as a picture"))
