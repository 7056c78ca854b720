"""Examples that stay on disk give the batches of those in memory, and a run ends in one line when they are lost."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import resumed, small_overrides, trained
from test_data import loader
from test_resume import assert_same_run

from vae_cli.conditions.none import Unconditional
from vae_cli.data.arrays import arrays
from vae_cli.data.binarize import binarize
from vae_cli.data.module import DataModule
from vae_cli.data.readers import read_ahead
from vae_cli.data.streamed import Store, all_of
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.runs import RunDirectory
from vae_cli.types import Binary, Levels, Real, UnitInterval

WORKERS = [0, 2]


def children() -> list[str]:
    """Names of the processes that this one started and that still run (the test server's aside)."""
    return [process.name for process in multiprocessing.active_children()]


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    assert children() == []


@pytest.fixture
def folder(tmp_path, small_npz):
    """The small data set in the form that streams."""
    path = tmp_path / "small"
    path.mkdir()
    for name, values in np.load(small_npz).items():
        np.save(path / f"{name}.npy", values)
    return path


def opened(path, workers, choice="dynamic"):
    return binarize(arrays(path=str(path), workers=workers, levels="auto", val=0.15, test=0.15), choice)


def assert_same_batches(left, right):
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a is b is None or (a.dtype == b.dtype and torch.equal(a, b))


# ---- the batches of the loader that holds all examples ---------------------------------------------------------------


@pytest.mark.parametrize("choice", ["none", "threshold", "static", "dynamic"])
@pytest.mark.parametrize("workers", WORKERS)
def test_streamed_batches_are_those_in_memory(folder, small_npz, workers, choice):
    held, streamed = opened(small_npz, None, choice), opened(folder, workers, choice)
    for split in ("train", "val", "test"):
        left, right = (loader(getattr(data, split), shuffle=split == "train") for data in (held, streamed))
        for _ in range(2):
            assert_same_batches(left, right)
    for name in ("shape", "support", "classes", "factors", "size"):
        assert getattr(held.spec, name) == getattr(streamed.spec, name)
    assert torch.equal(held.spec.mean, streamed.spec.mean)


@pytest.mark.parametrize("taken", [1, 5, 7, 8, 9])
@pytest.mark.parametrize("workers", WORKERS)
def test_a_streaming_loader_goes_on_where_it_was(folder, small_npz, workers, taken):
    """The place counts batches handed out, not those read ahead."""
    whole = loader(opened(small_npz, None).train)
    expected = [batch for _ in range(3) for batch in whole]
    first, second = (loader(opened(folder, workers).train) for _ in range(2))
    some = (batch for _ in range(3) for batch in first)
    for _ in range(taken):
        next(some)
    second.load_state_dict(first.state_dict())
    first.close()
    rest = [batch for _ in range(3) for batch in second][: len(expected) - taken]
    assert_same_batches(expected[taken:], rest)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_share_a_stream(folder, small_npz, rank):
    held, streamed = (loader(opened(*of).train, 6, rank=rank, world=2) for of in ((small_npz, None), (folder, 2)))
    assert_same_batches(held, streamed)


def test_pictures_and_labels_of_a_stream(folder, small_npz):
    modules = [
        DataModule(data, Unconditional(data.spec), batch_size=7, eval_batch_size=5, seed=0)
        for data in (opened(small_npz, None), opened(folder, 2))
    ]
    assert_same_batches([modules[0].examples(6)], [modules[1].examples(6)])
    assert_same_batches(*([module.train.peek(torch.tensor([3, 1]))] for module in modules))
    assert torch.equal(modules[0].train.labels(), modules[1].train.labels())


@pytest.mark.parametrize(
    ("x", "support"),
    [
        (np.arange(80).reshape(20, 4) % 2 == 0, Binary()),
        (np.arange(80).reshape(20, 4) % 2.0, Binary()),
        (np.arange(80, dtype=np.uint8).reshape(20, 2, 2), Levels(80)),
        (np.arange(80, dtype=np.uint8).reshape(20, 2, 2) * 3, Levels(256)),
        (np.arange(80, dtype=np.uint16).reshape(20, 2, 2) * 50, UnitInterval()),
        (np.linspace(0, 1, 80, dtype=">f8").reshape(20, 4), UnitInterval()),
        (np.linspace(-1, 1, 80, dtype=np.float16).reshape(20, 1, 2, 2), Real()),
    ],
)
def test_every_type_of_array_streams(tmp_path, x, support):
    np.save(tmp_path / "x.npy", x)
    held, streamed = (opened(tmp_path / "x.npy", workers, "none") for workers in (None, 0))
    assert streamed.spec.support == held.spec.support == support
    assert_same_batches(loader(held.train), loader(streamed.train))
    assert torch.equal(held.spec.mean, streamed.spec.mean)


def test_fingerprint_of_a_stream_sees_values_labels_and_order(folder):
    def fingerprint(**change):
        return arrays(
            **{"path": str(folder), "workers": 0, "levels": "auto", "val": 0.15, "test": 0.15, **change}
        ).fingerprint()

    first = fingerprint()
    assert fingerprint(workers=2) == first
    assert fingerprint(val=0.2) != first
    for name in ("x", "y", "factors"):
        values = np.load(folder / f"{name}.npy")
        changed = values.copy()
        changed.flat[0] += 1
        np.save(folder / f"{name}.npy", changed)
        assert fingerprint() != first
        np.save(folder / f"{name}.npy", values)
    assert fingerprint() == first


def test_the_mean_of_many_is_that_of_evenly_spaced_ones():
    class Counting(Numbers):
        sample = 10

    found = all_of(Counting(1000), None, None, 0)
    assert found.summary().mean.tolist() == [np.arange(0, 1000, 100).mean()]
    assert all_of(Numbers(1000), None, None, 2).summary().mean.tolist() == [499.5]


class Numbers(Store):
    """Example i is the number i."""

    shape, checksum, sample = torch.Size((1,)), 0, 10**6

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def read(self, index):
        return index[:, None].astype(np.float32)


# ---- memory ----------------------------------------------------------------------------------------------------------

WATCHED = """
import resource, sys
from vae_cli.data.arrays import arrays
from vae_cli.data.binarize import binarize
from vae_cli.data.loader import Loader
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = binarize(arrays(path=sys.argv[1], workers=0, levels="auto", val=0.01, test=0.01), "none")
made = Loader(data.train, batch_size=10, condition=lambda batch: batch, seed=0, shuffle=True)
rows = sum(len(batch.x) for batch, _ in zip(made, range(50)))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_stream_is_not_loaded_whole(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:  # 300 MB that take no place on the disk
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (3000, 100_000)})
        file.truncate(file.tell() + 300_000_000)
    command = [sys.executable, "-c", WATCHED, str(tmp_path / "x.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows, growth = map(int, done.stdout.split())
    assert rows == 500
    assert growth < 100_000  # kilobytes


# ---- what can go wrong ---------------------------------------------------------------------------------------------


class Faulty(Numbers):
    """Reading number 40 goes wrong."""

    def __init__(self, length, fault):
        super().__init__(length)
        self.fault = fault

    def read(self, index):
        if 40 in index:
            self.fault()
        return super().read(index)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def lost():
    raise TrainingError("number 40 is gone")


@pytest.mark.parametrize(("fault", "message"), [(killed, "came to an end"), (lost, "^number 40 is gone$")])
def test_a_fault_of_a_reading_process_ends_the_run(fault, message):
    found = read_ahead(Faulty(100, fault).read, iter(np.arange(100).reshape(10, 10)), 3)
    assert next(found)[0] == 0
    with pytest.raises(TrainingError, match=message):
        list(found)


def test_reading_ahead_ends_with_the_last_batch():
    found = read_ahead(Numbers(100).read, iter(np.arange(100).reshape(10, 10)), 3)
    for _ in range(5):
        next(found)
    assert len(children()) == 3
    *_, last = found
    assert last[-1] == 99
    assert children() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_reading_goes_on_when_all_processes_are_asked_to_stop(number):
    """It is the training process that stops, after the step or the validation that needs the batches."""
    found = read_ahead(Numbers(100).read, iter(np.arange(100).reshape(10, 10)), 2)
    first = [next(found), next(found)]
    for process in multiprocessing.active_children():
        os.kill(process.pid, number)
    assert np.concatenate([*first, *found])[:, 0].tolist() == list(range(100))


def test_large_requests_and_answers_do_not_block_each_other():
    requests = np.arange(3_000_000).reshape(6, -1)
    found = list(read_ahead(Numbers(3_000_000).read, iter(requests), 2))
    assert np.array_equal(np.concatenate(found)[:, 0], np.arange(3_000_000, dtype=np.float32))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "x.npy can no longer be read .*No such file"),
        (lambda path: os.truncate(path, 200), "x.npy has become shorter"),
    ],
)
def test_a_file_that_is_lost_in_the_middle(folder, tmp_path, monkeypatch, workers, harm, message):
    from vae_cli.experiment import Experiment

    original = Experiment.training_step

    def harmful_step(self, batch, batch_idx):
        if self.global_step == 8:
            harm(folder / "x.npy")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Experiment, "training_step", harmful_step)
    with pytest.raises(TrainingError, match=message):
        trained(streaming_overrides(folder, workers), tmp_path / "run")
    assert RunDirectory(tmp_path / "run").status()["state"] == "failed"
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


KILLED = """
import multiprocessing, os, numpy as np
from vae_cli.data.readers import read_ahead
found = read_ahead(lambda index: np.zeros(10**6), iter(np.zeros((10, 1))), 3)
next(found)
print(*(process.pid for process in multiprocessing.active_children()), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="a lambda does not go to another process")
def test_reading_processes_end_with_a_training_process_that_is_killed():
    """Also those that wait for somebody to take a large answer."""
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, timeout=60)
    pids = list(map(int, done.stdout.split()))
    assert len(pids) == 3
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def alive(pid):
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False


@pytest.mark.parametrize(
    ("x", "workers", "message"),
    [
        (np.zeros((20, 3)), -1, "workers=-1: a number of processes"),
        (np.full((20, 3), np.inf), 0, "x holds inf in row 0, column 0 .and 59 more"),
        (np.asfortranarray(np.zeros((20, 3))), 0, "Fortran order; save np.ascontiguousarray"),
        (np.zeros((20, 8, 9, 3)), 0, r"channels last; save x.transpose\(0, 3, 1, 2\)"),
        (np.zeros((20, 3), np.int64), 0, r"x.astype\(np.uint8\)"),
        (np.zeros((20, 3), complex), 0, "use bool, uint8, uint16 or a float type"),
    ],
)
def test_arrays_that_cannot_be_streamed_are_named(tmp_path, x, workers, message):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ConfigError, match=message):
        arrays(path=str(tmp_path), workers=workers, levels="auto", val=0.1, test=0.1)


def test_an_npz_cannot_be_streamed(small_npz):
    with pytest.raises(ConfigError, match=r"workers=2: .*small.npz cannot be read in parts; save its x as a .npy file"):
        arrays(path=str(small_npz), workers=2, levels="auto", val=0.1, test=0.1)


# ---- whole runs ------------------------------------------------------------------------------------------------------


def streaming_overrides(folder, workers):
    return [*small_overrides(folder), f"dataset.workers={'null' if workers is None else workers}"]


@pytest.fixture(scope="module")
def whole(small_npz, tmp_path_factory):
    """The run that holds its data and never stopped."""
    path = tmp_path_factory.mktemp("whole")
    trained(small_overrides(small_npz), path)
    return path


def test_interrupted_and_resumed_while_streaming(folder, tmp_path, monkeypatch):
    """SIGTERM as it comes to a whole group of processes."""
    from vae_cli.experiment import Experiment

    overrides = streaming_overrides(folder, 2)
    trained(overrides, tmp_path / "whole")
    original = Experiment.training_step

    def interrupted_step(self, batch, batch_idx):
        if self.global_step == 8:
            for process in multiprocessing.active_children():
                process.terminate()
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "training_step", interrupted_step)
        outcome = trained(overrides, tmp_path / "cut")
    assert (outcome.state, outcome.step) == ("interrupted", 9)
    assert children() == []
    resumed(tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_streaming_run_has_the_figures_of_one_in_memory(whole, folder, tmp_path):
    trained(streaming_overrides(folder, 2), tmp_path / "run")
    left, right = (json.loads((path / "metrics.json").read_text()) for path in (whole, tmp_path / "run"))
    assert left == right
