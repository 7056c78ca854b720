"""A sweep's folder: sweep.yaml says which jobs were asked for, and every job is a run directory below it.

What became of a job stands in its run directory alone, so whichever process dies, nothing that ended is lost. No file
names its place: the folder may be moved.
"""

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from omegaconf import DictConfig

from vae_cli import __version__
from vae_cli.errors import ConfigError
from vae_cli.files import read_text, replacing
from vae_cli.names import is_plain_name
from vae_cli.runs import RunDirectory

_FORMAT = 1
_OLD = 7 * 24 * 3600  # seconds
_LONGEST = 2**24  # bytes of sweep.yaml; 10,000 jobs take 2,000,000
_FEW = 100  # bytes of a number
_RECORDED = ("torch", "pytorch-lightning", "hydra-core", "numpy")


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  # of its folder
    words: list[str]  # the overrides that make it, alone as in the sweep
    swept: dict[str, str] = field(default_factory=dict)  # what sets it apart from the others, as typed


class SweepFolder:
    """One sweep's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, job: Job) -> RunDirectory:
        """Where a job works."""
        return RunDirectory(self.path / job.name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Write to its files alone; held for moments."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock"):
            yield

    def jobs(self) -> list[Job]:
        """Every job that was ever asked for, the first first; none where there is no sweep.

        Raises:
            ConfigError: where sweep.yaml is damaged or of another format.

        """
        return [Job(name, **content) for name, content in self._definition().get("jobs", {}).items()]

    def ask_for(self, jobs: list[Job], command: str) -> None:
        """Add jobs to the definition; one that never began gives way to another of the same words."""
        with self.locked():
            asked = {job.name: job for job in jobs}
            words = [job.words for job in jobs]
            kept = [job for job in self.jobs() if job.name in asked or job.words not in words or self._began(job)]
            everything = {job.name: asked.get(job.name, job) for job in [*kept, *jobs]}
            commands = [one for one in self._definition().get("commands", []) if one != command]
            self._write(
                {
                    "format": _FORMAT,
                    "version": __version__,
                    "versions": _versions(),
                    "commands": [*commands, command],
                    "jobs": {name: _content(job) for name, job in everything.items()},
                }
            )

    def stop(self, call: str, number: int) -> None:
        """Ask the jobs that a call of the command began to save and stop, wherever they run."""
        with replacing(self._stopping(call)) as file:
            file.write(str(number).encode())

    def stopped_by(self, call: str) -> int | None:
        """The signal that a call of the command was asked to stop with."""
        try:
            return int(read_text(self._stopping(call), _FEW) or 0)
        except FileNotFoundError:
            return None

    def forget(self, call: str) -> None:
        """A call has ended."""
        self._stopping(call).unlink(missing_ok=True)

    def forget_old_stops(self) -> None:
        """Of calls that ended at once; not before a cluster has begun the jobs that they left in its queue."""
        for path in self.path.glob(".stop-*"):
            with suppress(FileNotFoundError):  # another call may do the same now
                if time.time() - path.stat().st_mtime > _OLD:
                    path.unlink()

    def _stopping(self, call: str) -> Path:
        return self.path / f".stop-{call}"

    def _began(self, job: Job) -> bool:
        return (self.run(job).path / "config.yaml").exists()

    def _definition(self) -> dict[str, Any]:
        path = self.path / "sweep.yaml"
        if not path.exists():
            return {}
        try:
            content = yaml.safe_load(read_text(path, _LONGEST))
            if not isinstance(content, dict) or not {"format", "version", "commands", "jobs"} <= content.keys():
                raise ValueError("it holds no format, version, commands and jobs")
            if content["format"] == _FORMAT:
                _check(content)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is damaged: {' '.join(str(error).split())}") from error
        if content["format"] != _FORMAT:
            raise ConfigError(f"{path} was written by version {content['version']}: this is {__version__}")
        return content

    def _write(self, definition: dict[str, Any]) -> None:
        with replacing(self.path / "sweep.yaml") as file:
            file.write(yaml.safe_dump(definition, sort_keys=False).encode())


def state_of(run: RunDirectory) -> str:
    """`waiting`, `running`, `finished`, `interrupted`, `failed`, or `killed`: it runs no more and could not say so."""
    if run.in_use():
        return "running"
    state = run.status().get("state", "waiting")
    return "killed" if state == "running" else state


def is_spent(run: RunDirectory, budget: DictConfig) -> bool:
    """Whether a finished run trained for that budget: `max_epochs` and `max_steps`, -1 for no limit, and `patience`.

    Not where metrics.json is gone or damaged: the run is then continued, which tests it again.
    """
    counts = end_of(run)
    if counts is None:
        return False
    waited = budget.patience is not None and counts.waited >= budget.patience
    return waited or counts.epochs >= budget.max_epochs > 0 or counts.steps >= budget.max_steps > 0


@dataclass(frozen=True)
class End:
    """How far a finished run came, and what its test found."""

    epochs: int
    steps: int
    waited: int  # validations without a better loss
    figures: dict[str, float]  # by tag


def end_of(run: RunDirectory) -> End | None:
    """As metrics.json has it; None where that is gone or damaged."""
    match run.metrics():
        case {"epochs": int(epochs), "steps": int(steps), "waited": int(waited), "test": dict(figures)}:
            return End(epochs, steps, waited, figures)
    return None


def _check(definition: dict[Any, Any]) -> None:
    """ValueError where it is not as `ask_for` writes it; what the words do is for whoever runs them to judge."""
    if not _are_words(definition["commands"]):
        raise ValueError("commands: a list of texts is needed")
    if not isinstance(definition["jobs"], dict):
        raise ValueError("jobs: a mapping by their names is needed")
    for name, job in definition["jobs"].items():
        if not is_plain_name(name):
            raise ValueError(f"job {name!r}: the name of one folder is needed, without a path")
        if not isinstance(job, dict) or job.keys() != {"words", "swept"}:
            raise ValueError(f"job {name}: words and swept are needed, and nothing else")
        swept = job["swept"]
        if not _are_words(job["words"]):
            raise ValueError(f"job {name}: its words are no list of texts")
        if not isinstance(swept, dict) or not _are_words([*swept, *swept.values()]):
            raise ValueError(f"job {name}: what is swept is no mapping from texts to texts")


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _content(job: Job) -> dict[str, Any]:
    content = asdict(job)
    del content["name"]
    return content


def _versions() -> dict[str, str]:
    python = platform.python_version()
    return {"python": python, "platform": sys.platform, **{name: version(name) for name in _RECORDED}}
