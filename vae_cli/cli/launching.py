"""Where the jobs of a sweep run: each in a process of its own on this machine, or as a task of Ray.

Other places come with plugins for Hydra: `joblib` and `submitit_slurm`.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

from hydra import version
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from vae_cli.cli.schema import register
from vae_cli.errors import ConfigError
from vae_cli.sweeps.devices import visible_devices
from vae_cli.sweeps.folder import SweepFolder

Setup = tuple[HydraContext, TaskFunction, DictConfig]


def jobs_at_once(n_jobs: int | None, jobs_per_gpu: int) -> int:
    """What `hydra/launcher=local` runs at once: as many as the GPUs have room for, one where there is none."""
    return n_jobs or max(1, len(visible_devices()) * jobs_per_gpu)


def check_counts(settings: DictConfig, launcher: str) -> None:
    """ConfigError for a number of Hydra's node, which has no types of ours, that is no count."""
    counts = [(f"sweeper.{key}", settings.sweeper[key]) for key in ("threads", "jobs_per_gpu")]
    if launcher == "local":
        counts.append(("launcher.n_jobs", settings.launcher.n_jobs))
    for key, value in counts:
        may_be_left = value is None and key != "sweeper.jobs_per_gpu"
        if not may_be_left and (type(value) is not int or value < 1):
            raise ConfigError(f"hydra.{key}={value}: 1 or more")


def check_launcher(name: str) -> None:
    """ConfigError for an engine of ours that is not installed; of the others, Hydra knows."""
    if name == "ray" and find_spec("ray") is None:
        raise ConfigError("hydra/launcher=ray is not installed: pip install 'ray>=2.60,<3'")


def launch_in_processes(setup: Setup, jobs: Sequence[Sequence[str]], n_jobs: int | None) -> None:
    """Each forked from a server that has torch loaded; a process that dies takes no other with it."""
    settings = setup[2].hydra
    at_once = jobs_at_once(n_jobs, settings.sweeper.jobs_per_gpu)
    sweep = SweepFolder(Path(settings.sweep.dir))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vae_cli.training"])
    running: dict[Any, BaseProcess] = {}
    for number, words in enumerate(jobs):
        while len(running) >= at_once:
            _reap(running)
        if sweep.stopped_by(settings.sweeper.call) is not None:
            break
        process = context.Process(target=_alone, args=(setup, words, number))
        process.start()
        running[process.sentinel] = process
    while running:
        _reap(running)


def launch_with_ray(
    setup: Setup, jobs: Sequence[Sequence[str]], address: str | None, resources: dict[str, float]
) -> None:
    """A task for every job, on the cluster at `address` or on a Ray of this machine's own."""
    ray: Any = import_module("ray")
    ray.init(address=address, log_to_driver=False, configure_logging=False)
    task = ray.remote(max_retries=0, max_calls=1, **resources)(run_one)
    waiting = [task.remote(setup, words, number, Path.cwd()) for number, words in enumerate(jobs)]
    try:
        while waiting:
            _, waiting = ray.wait(waiting, timeout=1)  # a task that died: its run directory says no more than `running`
    finally:
        ray.shutdown()


def run_one(setup: Setup, words: Sequence[str], number: int, folder: Path) -> None:
    """One job in this process, as Hydra runs it."""
    os.chdir(folder)
    version.setbase("1.3")
    register()
    context, task, config = setup
    launcher = BasicLauncher()
    launcher.setup(hydra_context=context, task_function=task, config=config)
    launcher.launch([words], initial_job_idx=number)


def _alone(setup: Setup, words: Sequence[str], number: int) -> None:
    """In a process group of its own, since Ctrl-C is for the sweep, which tells its jobs."""
    os.setpgid(0, 0)
    Thread(target=_stop_with_parent, daemon=True).start()
    run_one(setup, words, number, Path.cwd())


def _stop_with_parent() -> None:
    """Save and stop when the process of the sweep is no more."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    while True:  # a job that has not begun to listen ends here; one that has saves and stops
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


def _reap(running: dict[Any, BaseProcess]) -> None:
    for sentinel in wait(list(running), timeout=1):
        running.pop(sentinel).join()
