"""One job of a sweep, in whichever process it runs: begun, continued or left alone; what becomes of it is recorded."""

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from hydra.conf import HydraConf
from omegaconf import DictConfig

from vae_cli.cli.continuing import continued_in_sweep
from vae_cli.cli.errors import explain, is_users
from vae_cli.errors import InUseError
from vae_cli.files import appended
from vae_cli.listing.summary import write_summary
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.devices import take_device, visible_devices
from vae_cli.sweeps.folder import SweepFolder, is_spent, state_of

if TYPE_CHECKING:
    from vae_cli.training import Outcome

_OWN_GPUS = ("basic", "local", "joblib", "submitit_local")  # launchers that hand out none
calls_of_this_process: set[str] = set()  # of the command, whose jobs may run in this very process
_WATCH = 0.5  # seconds between two looks


def run_sweep_job(
    config: DictConfig, directory: RunDirectory, hydra_config: HydraConf, begin: Callable[[], "Outcome"]
) -> None:
    """Nothing is raised but what ends the process: the sweep goes on."""
    sweep, settings = SweepFolder(directory.path.parent), hydra_config.sweeper
    if sweep.stopped_by(settings.call) is not None:
        return
    with _claimed(directory) as ours, _output_to(directory), _stopping_with(sweep, settings.call):
        if not ours:
            return
        outcome = _recorded(config, directory, hydra_config, begin)
    if outcome is not None and outcome.signal is not None and settings.call in calls_of_this_process:
        sweep.stop(settings.call, outcome.signal)  # it came to the sweep's own process
    write_summary(sweep)


def _recorded(
    config: DictConfig, directory: RunDirectory, hydra_config: HydraConf, begin: Callable[[], "Outcome"]
) -> "Outcome | None":
    """How the job ended, None where it did not; its status says why."""
    if state_of(directory) == "finished" and is_spent(directory, config.trainer):
        return None  # since the sweep looked
    try:
        _take_place(config, hydra_config)
        return _begin_or_continue(config, directory, begin)
    except InUseError:
        return None
    except (Exception, SystemExit) as error:
        _record_failure(directory, error)
        return None


def _record_failure(directory: RunDirectory, error: Exception | SystemExit) -> None:
    """In the words that a single run has for it; the traceback of a fault of ours in output.txt."""
    if isinstance(error, Exception) and is_users(error):
        reason = explain(error, "train")
    else:
        traceback.print_exception(error)
        reason = f"{type(error).__name__}: {error}"
    directory.write_status("failed", directory.status().get("step", 0), " ".join(reason.split()))


def _begin_or_continue(config: DictConfig, directory: RunDirectory, begin: Callable[[], "Outcome"]) -> "Outcome":
    if not (directory.path / "config.yaml").exists():
        (directory.path / "status.json").unlink(missing_ok=True)  # of one that was refused
        return begin()
    from vae_cli.training import resume

    own, record = continued_in_sweep(config, directory)
    return resume(own, record, directory)


def _take_place(config: DictConfig, hydra_config: HydraConf) -> None:
    """A GPU, where the launcher hands out none, and a share of the cores."""
    settings = hydra_config.sweeper
    if config.trainer.accelerator != "cpu" and hydra_config.runtime.choices["hydra/launcher"] in _OWN_GPUS:
        take_device(visible_devices(), settings.jobs_per_gpu)
    import torch

    if settings.threads is not None:
        torch.set_num_threads(min(settings.threads, torch.get_num_threads()))


@contextmanager
def _claimed(directory: RunDirectory) -> Iterator[bool]:
    """Whether the job is this process's: of two that begin it at once, one has it."""
    lock = FileLock(directory.path / ".claim")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    with lock:
        yield True


@contextmanager
def _output_to(directory: RunDirectory) -> Iterator[None]:
    """What a job would print goes to output.txt, kept where there is something in it."""
    path = directory.path / "output.txt"
    with io.TextIOWrapper(appended(path), line_buffering=True) as file, redirect_stdout(file), redirect_stderr(file):
        yield
    if path.stat().st_size == 0:
        path.unlink()


@contextmanager
def _stopping_with(sweep: SweepFolder, call: str) -> Iterator[None]:
    """While inside, SIGTERM to this process as soon as the sweep is stopped."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH):
            if sweep.stopped_by(call) is not None:
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.stdout.flush()
