"""What a run leaves does not depend on where it was stopped: killed anywhere in its end, or asked to stop in its test.

A process that is killed leaves what lies on the disk at that moment, so a copy of the folder is as good as a kill.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import resumed, small_overrides, trained
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_resume import assert_same, state

from vae_cli import monitors
from vae_cli.callbacks import event_files
from vae_cli.callbacks.checkpoints import Checkpoints
from vae_cli.errors import TrainingError
from vae_cli.experiment import Experiment
from vae_cli.runs import RunDirectory

MOST = ["trainer.max_epochs=2", "logging.pictures_every_n_epochs=3", "dataset.eval_batch_size=4"]
SETTINGS = {
    "epochs": [*MOST, "logging.importance_samples=3", "dataset.binarize=dynamic"],
    "inside an epoch": ["trainer.max_steps=8", "logging.pictures_every_n_epochs=2", "dataset.eval_batch_size=4"],
}
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")  # events of Python's audit
_watched: list[Callable[[str], None]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in CHANGES:
        mode = str(arguments[1]) if event == "open" else ""
        if event != "open" or set(mode) & set("wax+") or (arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            _watched[0](f"before {event} {Path(str(arguments[0])).name}")


sys.addaudithook(_audit)


def values(path: Path) -> dict[tuple[str, str], list[tuple[int, Any]]]:
    """Everything that TensorBoard shows of a folder: (kind, tag) -> (step, value)."""
    events = EventAccumulator(str(path), size_guidance=dict.fromkeys(("scalars", "images", "histograms"), 0)).Reload()
    tags: Any = events.Tags()
    found = {("scalar", tag): [(one.step, one.value) for one in events.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["images"]:
        found["image", tag] = [(one.step, one.encoded_image_string) for one in events.Images(tag)]
    for tag in tags["histograms"]:
        found["histogram", tag] = [(one.step, one.histogram_value) for one in events.Histograms(tag)]
    for tag in tags["tensors"]:
        found["tensor", tag] = [(one.step, one.tensor_proto.SerializeToString()) for one in events.Tensors(tag)]
    for tag in events.summary_metadata:
        found.setdefault(("other", tag), [])
    return found


def files(path: Path) -> dict[str, bytes]:
    """By name; not those that tell of times and processes, which are compared by what they say."""
    told = ("events.out.tfevents", "train.log", "status.json", ".lock")
    found = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
    kept = {name: file for name, file in found.items() if not name.startswith(told) and file.suffix != ".ckpt"}
    checkpoints = {name: b"" for name, file in found.items() if file.suffix == ".ckpt"}
    return {**{name: file.read_bytes() for name, file in kept.items()}, **checkpoints}


def assert_left_the_same(whole: Path, other: Path) -> None:
    assert RunDirectory(other).status()["state"] == "finished"
    assert files(other) == files(whole)
    for name in ("last", "best"):
        for key in ("state_dict", "optimizer_states", "global_step", "training_sums", "DataModule"):
            assert_same(state(whole, name)[key], state(other, name)[key])
    shown = values(other)
    assert shown == values(whole)
    for tag, events in shown.items():
        steps = [step for step, _ in events]
        assert len(steps) == len(set(steps)), f"{tag} has two values at one step"


class Ends:
    """A run that was never stopped, and its folder at every moment from the last epoch's checkpoints on."""

    def __init__(self, overrides: list[str], folder: Path, step: int) -> None:
        self.whole, self._folder = folder / "whole", folder
        self.moments: list[Path] = []
        patch = pytest.MonkeyPatch()
        fsync, save = os.fsync, Checkpoints._save

        def begin(checkpoints, trainer, name):
            if trainer.global_step == step and not _watched:
                _watched.append(self._copy)
            save(checkpoints, trainer, name)

        def synchronised(file):
            fsync(file)
            if _watched:
                self._copy("after fsync")

        patch.setattr(Checkpoints, "_save", begin)
        patch.setattr(os, "fsync", synchronised)
        try:
            trained(overrides, self.whole)
        finally:
            _watched.clear()
            patch.undo()

    def _copy(self, moment: str) -> None:
        copy = _watched.pop()
        name = f"{len(self.moments):03d} {moment}".replace("/", "_")
        shutil.copytree(self.whole, self._folder / name, symlinks=True)
        self.moments.append(self._folder / name)
        _watched.append(copy)


@pytest.fixture(scope="module", params=SETTINGS)
def ends(request, small_npz, tmp_path_factory) -> Ends:
    step = 8 if request.param == "inside an epoch" else 12
    folder = tmp_path_factory.mktemp("ends")
    return Ends([*small_overrides(small_npz), *SETTINGS[request.param]], folder, step)


def some(moments: list[Path], number: int) -> Iterator[Path]:
    """As many, evenly spaced, the last among them."""
    return (moments[round(place)] for place in np.linspace(0, len(moments) - 1, number))


def test_killed_at_some_moments_of_its_end(ends):
    assert len(ends.moments) > 30
    for moment in some(ends.moments, 3):
        resumed(moment)
        assert_left_the_same(ends.whole, moment)


@pytest.mark.slow
def test_killed_at_every_moment_of_its_end(ends, capsys):
    for moment in ends.moments:
        if RunDirectory(moment).status()["state"] == "running":  # else it was resumed above
            resumed(moment)
        assert_left_the_same(ends.whole, moment)
    with capsys.disabled():
        print(f" {len(ends.moments)} moments ", end="")


@pytest.mark.slow
def test_killed_again_and_again(ends, tmp_path):
    """A run that is resumed may be killed in its end too."""
    again = tmp_path / "again"
    shutil.copytree(ends.moments[len(ends.moments) // 2], again)
    taken: list[str] = []

    def copy(moment: str) -> None:
        watching = _watched.pop()
        taken.append(f"{len(taken):03d}")
        shutil.copytree(again, tmp_path / taken[-1])
        _watched.append(watching)

    _watched.append(copy)
    try:
        resumed(again)
    finally:
        _watched.clear()
    for name in taken:
        resumed(tmp_path / name)
        assert_left_the_same(ends.whole, tmp_path / name)


@pytest.fixture(scope="module")
def two_draws_at_a_time():
    patch = pytest.MonkeyPatch()
    patch.setattr(monitors, "_MOST_NUMBERS", 2 * 4 * 256)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def whole(small_npz, tmp_path_factory, two_draws_at_a_time) -> Path:
    """A run whose test takes its draws a few at a time."""
    path = tmp_path_factory.mktemp("whole") / "run"
    trained([*small_overrides(small_npz), *MOST, "logging.importance_samples=6"], path)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_test_that_is_asked_to_stop_goes_on_where_it_was(whole, small, tmp_path, monkeypatch, number):
    """In the second of its three batches: within the batch."""
    original, seen = Experiment.test_step, []

    def stopped(self, batch, index):
        seen.append(len(batch.x))
        if len(seen) == 2:
            os.kill(os.getpid(), number)
        original(self, batch, index)

    monkeypatch.setattr(Experiment, "test_step", stopped)
    cut = tmp_path / "cut"
    outcome = trained([*small, *MOST, "logging.importance_samples=6"], cut)
    assert (outcome.state, outcome.signal, outcome.step) == ("interrupted", number, 12)
    assert RunDirectory(cut).status()["state"] == "interrupted"
    assert len(seen) == 2
    resumed(cut)
    assert len(seen) == 4, "one batch was kept"
    assert_left_the_same(whole, cut)


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept["of"].update(step=11),
        lambda kept: kept["of"].update(config=""),
        lambda kept: kept["done"].update(batches=0),
        lambda kept: kept["done"].update(totals=[None] * len(kept["done"]["totals"])),
        lambda kept: kept.update(done=None),
    ],
)
def test_what_was_kept_of_another_test_is_not_used(small, tmp_path, monkeypatch, change):
    overrides = [*small, *MOST, "trainer.max_steps=1", "logging.pictures_every_n_epochs=0"]
    with monkeypatch.context() as patch:
        original = Experiment.test_step
        patch.setattr(
            Experiment, "test_step", lambda self, *a: (original(self, *a), os.kill(os.getpid(), signal.SIGTERM))[0]
        )
        trained(overrides, tmp_path / "cut")
    kept = tmp_path / "cut" / "checkpoints" / "test.json"
    content = json.loads(kept.read_text())
    change(content)
    kept.write_text(json.dumps(content))
    batches = []
    original = Experiment.test_step
    monkeypatch.setattr(Experiment, "test_step", lambda self, *a: (batches.append(a), original(self, *a))[1])
    resumed(tmp_path / "cut")
    assert len(batches) == 3
    assert not kept.exists()


def test_a_clock_that_was_set_back_doubles_nothing(whole, small, tmp_path, monkeypatch):
    original, cut = Checkpoints._save, tmp_path / "cut"

    class Killed(BaseException):
        pass

    def die(self, trainer, name):
        if trainer.global_step == 12:
            raise Killed
        original(self, trainer, name)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_save", die)
        with pytest.raises(Killed):
            trained([*small, *MOST, "logging.importance_samples=6"], cut)
    now = event_files.time.time
    with monkeypatch.context() as patch:
        patch.setattr(event_files.time, "time", lambda: now() - 86_400)
        resumed(cut)
    assert_left_the_same(whole, cut)


@pytest.mark.parametrize("gone", [shutil.rmtree, lambda path: path.rename(path.with_name("renamed"))])
def test_a_folder_that_is_removed_or_renamed_is_one_line(small, tmp_path, monkeypatch, gone):
    original = Experiment.training_step

    def remove(self, batch, index):
        if self.global_step == 3:
            gone(tmp_path / "run")
        return original(self, batch, index)

    monkeypatch.setattr(Experiment, "training_step", remove)
    with pytest.raises(TrainingError, match="was removed or renamed while the run was at work: if it lies elsewhere"):
        trained([*small, *MOST], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    if (tmp_path / "renamed").exists():
        assert resumed(tmp_path / "renamed").state == "finished"
