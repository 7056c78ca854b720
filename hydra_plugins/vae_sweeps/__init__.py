"""Hydra finds plugins in the package `hydra_plugins` alone; these import `vae_cli` when they are used, not before."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Sweeps(Sweeper):
    """A folder of runs that can be continued; its settings are read from the config."""

    def __init__(self, **settings: Any) -> None: ...

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Notes what it needs."""
        self._setup = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Runs what is left to do."""
        from vae_cli.cli.sweeping import sweep

        sweep(*self._setup)


class LocalLauncher(Launcher):
    """Every job in a process of its own on this machine."""

    def __init__(self, n_jobs: int | None) -> None:
        self._n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Notes what it needs."""
        self._setup = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Returns when all have ended; what became of them stands in their folders."""
        from vae_cli.cli.launching import launch_in_processes

        launch_in_processes(self._setup, job_overrides, self._n_jobs)
        return []


class RayLauncher(Launcher):
    """Every job a task of Ray."""

    def __init__(self, address: str | None, num_cpus: float, num_gpus: float) -> None:
        self._address, self._resources = address, {"num_cpus": num_cpus, "num_gpus": num_gpus}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Notes what it needs."""
        self._setup = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Returns when all have ended; what became of them stands in their folders."""
        from vae_cli.cli.launching import launch_with_ray

        launch_with_ray(self._setup, job_overrides, self._address, self._resources)
        return []
