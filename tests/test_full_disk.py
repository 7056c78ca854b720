"""A disk that fills up at any moment, and places that cannot be written: one line, and a run that goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import resumed, scalars, trained, vae_train

from vae_cli import training
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.errors import TrainingError

EVERYTHING = ["trainer.max_epochs=2", "logging.pictures_every_n_epochs=1", "logging.checkpoint_every_n_steps=2"]


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small disk of that many KiB, or makes the one that is there larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(kibibytes, again=False):
        options = f"{'remount,' if again else ''}size={kibibytes}k"
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no disk may be mounted here: {error}")
        return place

    yield sized
    subprocess.run(["umount", place], capture_output=True)


# By turns for status.json, the first events, and each of the checkpoints; the slow ones try every 4 KiB.
@pytest.mark.parametrize(
    "size", [4, 12, 68, 100, *(pytest.param(size, marks=pytest.mark.slow) for size in range(8, 308, 4))]
)
def test_a_full_disk_ends_the_run_in_one_line_and_it_goes_on(disk, small, tmp_path, size):
    run = disk(size) / "run"
    full = vae_train(*small, *EVERYTHING, f"hydra.run.dir={run}", cwd=tmp_path)
    assert full.status == 1
    (line,) = full.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device" in line
    assert str(run) in line
    assert not list(run.rglob("*.part")), "what could not be written takes no room"
    for checkpoint in run.rglob("*.ckpt"):
        load_checkpoint(checkpoint)

    disk(20_000, again=True)
    done = vae_train(f"run={run}", cwd=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    trained([*small, *EVERYTHING], tmp_path / "undisturbed")
    assert (run / "metrics.json").read_text() == (tmp_path / "undisturbed" / "metrics.json").read_text()
    assert scalars(run) == scalars(tmp_path / "undisturbed")


def test_the_log_that_cannot_be_written_is_told(small, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(training, "appended", lambda path: Path("/dev/full").open("ab"))  # noqa: SIM115
        with pytest.raises(TrainingError, match=r"cannot be written \(No space left on device\): put that right, and "):
            trained([*small, "trainer.max_steps=2"], tmp_path / "run")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"
    assert resumed(tmp_path / "run").state == "finished"


def test_standard_output_that_is_full_is_one_line(small, tmp_path):
    code = "import sys; sys.argv = ['vae-train', *sys.argv[1:]]; from vae_cli.cli.train import main; main()"
    command = [sys.executable, "-c", code, *small, "trainer.max_steps=2", "hydra.run.dir=run"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 1
    read, error = done.stderr.splitlines()
    assert read.startswith("read: ")
    assert error == "error: standard output cannot be written (No space left on device); the run is in run"
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("place", ["/dev/null/run", "/proc/run", "file/run"])
def test_a_folder_that_cannot_be_made_is_one_line(small, tmp_path, place):
    (tmp_path / "file").touch()
    done = vae_train(*small, "trainer.max_steps=2", f"hydra.run.dir={place}", cwd=tmp_path)
    assert done.status == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert place in line


def test_a_disk_that_may_only_be_read_is_one_line(disk, small, tmp_path):
    place = disk(100)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    done = vae_train(*small, "trainer.max_steps=2", f"hydra.run.dir={place}/run", cwd=tmp_path)
    assert (done.status, done.stderr) == (1, f"error: Read-only file system: {place}/run\n")
