"""Real processes, killed at random moments of training and resumed, against the run that was never killed."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from conftest import resumed, small_overrides, trained
from test_resume import assert_same_run

from vae_cli.experiment import Experiment
from vae_cli.runs import RunDirectory

SERVER = multiprocessing.get_context("forkserver")
SLOW_STEPS = ["trainer.max_epochs=100", "logging.checkpoint_every_n_steps=4", "logging.pictures_every_n_epochs=0"]


def start(overrides: list[str], path: Path) -> ForkServerProcess:
    process = SERVER.Process(target=trained, args=(overrides, path))
    process.start()
    return process


def wait_for_training(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path / "checkpoints" / "last.ckpt").exists():
        assert time.monotonic() < deadline, "training did not begin"
        time.sleep(0.01)


def kill_and_resume(overrides: list[str], path: Path, number: signal.Signals, delay: float) -> str:
    """Kills a training process after a while, resumes here; the status that the killed one left."""
    process = start(overrides, path)
    wait_for_training(path)
    time.sleep(delay)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    state = RunDirectory(path).status()["state"]
    assert resumed(path).state == "finished"
    return state


@pytest.fixture(scope="module")
def whole(small_npz, tmp_path_factory):
    """The run that was never killed."""
    path = tmp_path_factory.mktemp("whole")
    process = start(overrides_for(small_npz), path)
    process.join(120)
    return path


def overrides_for(small_npz: Path) -> list[str]:
    return [*small_overrides(small_npz), *SLOW_STEPS]


@pytest.mark.parametrize("trial", [0])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killed_and_resumed(whole, small_npz, tmp_path, number, trial):
    delay = random.Random(f"{number}{trial}").uniform(0, 1.0)
    state = kill_and_resume(overrides_for(small_npz), tmp_path / "cut", number, delay)
    assert state == ("running" if number == signal.SIGKILL else "interrupted")
    assert_same_run(whole, tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(30))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_many_times(whole, small_npz, tmp_path, number, trial):
    test_killed_and_resumed(whole, small_npz, tmp_path, number, f"slow {trial}")


@pytest.mark.slow
def test_command_line(small, tmp_path):
    """SIGTERM, then SIGKILL, then the end: three processes of the command itself."""
    command = [sys.executable, "-m", "vae_cli.cli.train"]
    overrides = [*small, *SLOW_STEPS, f"hydra.run.dir={tmp_path / 'run'}"]
    for arguments, number in ((overrides, signal.SIGTERM), ([f"run={tmp_path / 'run'}"], signal.SIGKILL)):
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        before = RunDirectory(tmp_path / "run").status().get("updated")
        while not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists() or (
            RunDirectory(tmp_path / "run").status().get("updated") == before
        ):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        if number == signal.SIGTERM:
            assert process.returncode == 128 + signal.SIGTERM
            assert "Continue with: vae-train run=run" in output
    final = subprocess.run([*command, f"run={tmp_path / 'run'}"], capture_output=True, text=True, cwd=tmp_path)
    assert final.returncode == 0, final.stderr
    assert "test ELBO" in final.stdout
    trained([*small, *SLOW_STEPS], tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def trained_with_a_long_step(overrides: list[str], path: Path) -> None:
    original = Experiment.training_step

    def long_step(self, batch, batch_idx):
        if self.global_step == 7:
            time.sleep(60)
        return original(self, batch, batch_idx)

    Experiment.training_step = long_step
    trained(overrides, path)


def test_second_interrupt_ends_at_once(small, tmp_path):
    """The first Ctrl-C waits for the step to end; the second does not, and what was saved is whole."""
    process = SERVER.Process(target=trained_with_a_long_step, args=(small, tmp_path / "run"))
    process.start()
    wait_for_training(tmp_path / "run")
    assert process.pid is not None
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    process.join(1)
    assert process.exitcode is None
    os.kill(process.pid, signal.SIGINT)
    process.join(10)
    assert process.exitcode == 128 + signal.SIGINT
    status = RunDirectory(tmp_path / "run").status()
    assert (status["state"], status["reason"], status["step"]) == ("interrupted", "at once", 7)
    assert resumed(tmp_path / "run").state == "finished"


def test_a_directory_serves_one_process(small, tmp_path):
    path = tmp_path / "run"
    process = start([*small, "trainer.max_epochs=-1", "trainer.max_steps=1000000"], path)
    wait_for_training(path)
    with pytest.raises(ValueError, match="in use by another process"):
        resumed(path)
    process.kill()
    process.join(30)
    assert RunDirectory(path).status()["state"] == "running"  # it could say nothing
    assert resumed(path, lambda config: config.trainer.__setattr__("max_steps", 1)).state == "finished"


def test_an_existing_run_is_not_overwritten(small, tmp_path):
    trained(small, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match="already holds a run: continue it with run="):
        trained(small, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before
