"""vae-train: train a model, continue a run in place (`run=<folder>`), or sweep (`-m`)."""

import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vae_cli.cli import sweeping
from vae_cli.cli.choices import check_choices, groups
from vae_cli.cli.completion import completes
from vae_cli.cli.continuing import continued_config, continuing_arguments
from vae_cli.cli.errors import is_users, print_error, run_command, say_no_more
from vae_cli.cli.folders import remove_empty_folders
from vae_cli.cli.hydras import run_hydra
from vae_cli.cli.recipe import check_job, chosen
from vae_cli.cli.schema import check, register
from vae_cli.cli.sweep_job import run_sweep_job
from vae_cli.cli.typed_paths import as_hydra_reads_them, shell_word
from vae_cli.errors import ConfigError
from vae_cli.listing.summary import write_summary
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import SweepFolder
from vae_cli.telling import say

if TYPE_CHECKING:
    from vae_cli.training import Outcome

_CONFIG = "train"
_OF_HYDRA = (
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.searchpath",
    "hydra/launcher",
    "hydra.launcher.",
    "hydra.sweeper.threads",
    "hydra.sweeper.jobs_per_gpu",
)
_LATEST = {"run": ("finished", "interrupted", "killed", "failed"), "init": ("finished",)}
_status = 0  # of the process; not 0 as soon as one job failed or was interrupted
_place: dict[str, Any] = {}  # where the data of a continued run now lies
_folder = Path()  # from which the user sees the run, wherever a job goes


def main() -> None:
    """Entry point of `vae-train`."""
    global _folder
    _folder = Path.cwd()
    os.environ["MPLBACKEND"] = "agg"  # we open no window, whatever the user's other programs do
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it speaks of its caches where it is first imported
    register()
    run_command(_command, _CONFIG)


def _command() -> int:
    global _place, _status
    _status = sweeping.status = 0
    if completes(sys.argv[1:], _CONFIG):
        return 0
    sys.argv[1:] = as_hydra_reads_them(sys.argv[1:], _LATEST)
    sys.argv[1:], _place = continuing_arguments(sys.argv[1:])
    check_choices(sys.argv[1:], groups(), _OF_HYDRA)
    sys.argv[1:] = sweeping.sweep_arguments(sys.argv[1:])
    run_hydra(job, _CONFIG)
    return _status or sweeping.status


def job(config: DictConfig) -> None:
    """One run, alone or of a sweep."""
    directory = RunDirectory(Path(HydraConfig.get().runtime.output_dir))
    if HydraConfig.get().sweeper.call is not None:
        run_sweep_job(config, directory, HydraConfig.get(), lambda: _begin(config, directory))
    else:
        _run_alone(config, directory)


def _run_alone(config: DictConfig, directory: RunDirectory) -> None:
    """Reports how it ended."""
    global _status
    try:
        outcome = _outcome(config, directory)
        if outcome.is_first_process:
            _report(outcome)
            if (directory.path.parent / "sweep.yaml").exists():
                write_summary(SweepFolder(directory.path.parent))
    except BrokenPipeError:  # whoever read our output, `head` perhaps, has seen enough
        say_no_more()
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        remove_empty_folders()
        raise
    except Exception as error:
        remove_empty_folders()
        if not is_users(error):
            raise
        print_error(error, _CONFIG)
        _status = 1
        return
    if outcome.state == "interrupted" and outcome.signal is not None:
        _status = 128 + outcome.signal


def _outcome(config: DictConfig, directory: RunDirectory) -> "Outcome":
    hydra_config = HydraConfig.get()
    overrides = list(hydra_config.overrides.task)
    if config.run is not None:
        config, record = continued_config(config, directory, overrides, _place)
        check(config, [], [])
        from vae_cli.training import resume

        return resume(config, record, directory)
    if config.retry is not None:
        raise ConfigError(f"retry={config.retry} is for sweeps: add -m, or sweep=<folder>")
    check_job(config, overrides, hydra_config.runtime.choices)
    return _begin(config, directory)


def _begin(config: DictConfig, directory: RunDirectory) -> "Outcome":
    """A run of a config that was found good."""
    from vae_cli.training import train

    hydra_config = HydraConfig.get()
    return train(config, chosen(hydra_config.runtime.choices), list(hydra_config.overrides.task), directory)


def _report(outcome: "Outcome") -> None:
    """Prints the last lines; ConfigError where they cannot be printed."""
    place = os.path.relpath(outcome.directory, _folder)
    try:
        for line in _last_lines(outcome, place):
            say(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        say_no_more()
        raise ConfigError(f"standard output cannot be written ({error.strerror}); the run is in {place}") from error


def _last_lines(outcome: "Outcome", place: str) -> Iterator[str]:
    """Figures, of which weights, where, and how to look at them."""
    if outcome.state == "interrupted":
        go_on = f"vae-train {shell_word('run', place)}"
        yield f"interrupted after step {outcome.step}; everything is saved. Continue with: {go_on}"
        return
    for tag, value in outcome.figures.items():
        if line := _line(tag.removeprefix("test/"), value):
            yield line
    yield f"{'weights':<20} {outcome.weights}"
    yield f"{'run':<20} {place}"
    yield f"{'look at it':<20} tensorboard --logdir {shlex.quote(place)}"


def _line(figure: str, value: float) -> str | None:
    """A figure with its title and unit; None for those that only TensorBoard shows."""
    titles = {"bound": "bound", "elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
    if figure in titles:
        return f"{'test ' + titles[figure]:<20} {value:10.3f} nats"
    if figure == "bits_per_dimension":
        return f"{'test ELBO':<20} {value:10.3f} bits per dimension"
    if figure.startswith("iwae_"):
        return f"{'test IWAE':<20} {value:10.3f} nats (importance-weighted bound, {figure.removeprefix('iwae_')} draws)"
    return None


if __name__ == "__main__":
    main()
