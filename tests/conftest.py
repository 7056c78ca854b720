"""A small data set, configs composed as the command line does, and runs in the test's own process."""

import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # of each of the processes that tests run in, and of those that they start
os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp()  # or matplotlib makes folders wherever HOME is

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae_cli.callbacks.interruption import Interruption
from vae_cli.cli.schema import register
from vae_cli.runs import RunDirectory
from vae_cli.training import Outcome, resume, train

register()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test sees the data, the caches or the random state of another."""
    monkeypatch.delenv("VAE_DATA_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which commands set
    torch.manual_seed(0)
    yield
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def small_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 grey images of 16 x 16 pixels in 3 classes, with 2 factors: 53 / 11 / 11."""
    rng = np.random.default_rng(0)
    labels = np.arange(75) % 3
    centres = rng.integers(0, 256, (3, 1, 16, 16))
    x = np.clip(centres[labels] + rng.normal(0, 20, (75, 1, 16, 16)), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x=x, y=labels, factors=np.stack([labels, np.arange(75) % 2], 1))
    return path


@pytest.fixture
def small(small_npz: Path) -> list[str]:
    """Overrides for a run of a second: three epochs of 6 steps."""
    return small_overrides(small_npz)


def small_overrides(small_npz: Path) -> list[str]:
    return [
        "dataset=arrays",
        f"dataset.path={small_npz}",
        "dataset.val=0.15",
        "dataset.test=0.15",
        "dataset.batch_size=10",
        "architecture.width=8",
        "latent_dim=3",
        "trainer.max_epochs=3",
        "trainer.accelerator=cpu",
        "logging.every_n_steps=4",
    ]


def composed(overrides: list[str]) -> DictConfig:
    """The config that `vae-train <overrides>` sees."""
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        return compose("train", ["name=test", *overrides])


def trained(overrides: list[str], path: Path) -> Outcome:
    """`vae-train <overrides> hydra.run.dir=<path>`, in this process."""
    path.mkdir(parents=True, exist_ok=True)
    return train(composed(overrides), {"model": "vae"}, overrides, RunDirectory(path))


def resumed(path: Path, change: Callable[[DictConfig], None] = lambda config: None) -> Outcome:
    """`vae-train run=<path>`, in this process."""
    config, record = RunDirectory(path).read_config([])
    change(config)
    return resume(config, record, RunDirectory(path))


def scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of a run directory as TensorBoard reads it: tag -> (step, value), test figures left out."""
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("test/")]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch):
    """A signal that arrives during the given step, as if it came from outside."""

    def arrange(step: int) -> None:
        original = Interruption.asked
        monkeypatch.setattr(
            Interruption,
            "asked",
            lambda self, trainer, grace=0.0: (
                (trainer.global_step == step and not grace) or original(self, trainer, grace)
            ),
        )

    return arrange


REAL_DATA = os.environ.get("VAE_DATA_ROOT")


# ---- the command itself, in a process of its own that has torch loaded already --------------------------------------

os.environ["NO_PROXY"] = "127.0.0.1"  # servers of the tests themselves
os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # where the server finds what it loads beforehand
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["conftest"])


@dataclass(frozen=True)
class Done:
    status: int | None
    stdout: str
    stderr: str  # but for what was read
    read: str  # the lines that say what was read


def vae_train(*arguments: str, cwd: Path, memory: int | None = None) -> Done:
    """`vae-train <arguments>` in a folder, perhaps with a limit to its address space in bytes."""
    return command("train", *arguments, cwd=cwd, memory=memory)


def command(name: str, *arguments: str, cwd: Path, memory: int | None = None) -> Done:
    """`vae-<name> <arguments>`, likewise."""
    process = _SERVER.Process(target=_main, args=(name, arguments, cwd, memory))
    process.start()
    process.join(120)
    if process.exitcode is None:
        process.kill()
        process.join()
    lines = (cwd / "stderr.txt").read_text().splitlines(keepends=True)
    said, read = ("".join(line for line in lines if line.startswith("read: ") == kind) for kind in (False, True))
    return Done(process.exitcode, (cwd / "stdout.txt").read_text(), said, read)


def _main(name: str, arguments: tuple[str, ...], cwd: Path, memory: int | None) -> None:
    main = import_module(f"vae_cli.cli.{name}").main
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.chdir(cwd)
    for stream, name in ((1, "stdout.txt"), (2, "stderr.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [f"vae-{name}", *arguments]
    main()
