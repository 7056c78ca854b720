"""A run directory: all there is to know of one run. It can be moved: no file in it names its place.

config.yaml (resolved, with the choices made), status.json, metrics.json, checkpoints/{last,best}.ckpt (and test.json
while a test is interrupted), images/*.png,
TensorBoard's event files, projector_config.pbtxt and projector/ (which it reads too), train.log.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_cli import __version__
from vae_cli.data.published import fetch_as_ours
from vae_cli.errors import ConfigError, InUseError
from vae_cli.files import read_text, replacing
from vae_cli.forms import shown
from vae_cli.leaves import SafeLoader
from vae_cli.nodes import set_throughout
from vae_cli.older import complete_older
from vae_cli.records import METRICS, RECORDED, STATUS
from vae_cli.schema import PARTS, TrainConfig, check_latent_dim
from vae_cli.stored import check_names, check_plain, plain

SIGNS = ("config.yaml", "status.json")  # files of which a run directory has at least one
_FILES = (*SIGNS, "metrics.json", "projector_config.pbtxt")  # that are replaced as a whole
_UNFINISHED_TEST = "test.json"
_FORMAT = 4  # of the run directory; raised when older ones can no longer be read
_GLANCE = 0.5  # seconds that are longer than `in_use` holds the lock
_RECORD = "recorded"  # key of config.yaml that is about the run, not part of its config


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.images = path / "images"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work in it alone. The system frees the lock when a process dies, so a killed run leaves none behind.

        Raises:
            InUseError: where another process works in it.

        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=_GLANCE)
        except Timeout:
            raise InUseError(f"{self.path} is in use by another process: wait for it, or stop it") from None
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
                raise
            raise ConfigError(
                f"{self.path} cannot be written into ({error.strerror}): copy the folder, and name the copy"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def in_use(self) -> bool:
        """Whether a process works in it now."""
        try:
            lock = os.open(self.path / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that look at once do not see each other
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def holds_a_run(self) -> bool:
        """Whether a run was ever begun here."""
        return any((self.path / name).exists() for name in SIGNS)

    def write_config(self, config: DictConfig, record: Mapping[str, Any]) -> None:
        """The resolved config, with what is `recorded` beside it.

        Args:
            record: `choices` on each axis, the `overrides` that the user typed, and the `data` as described.

        """
        recorded = {**record, "format": _FORMAT, "version": __version__}
        _write(self.path / "config.yaml", yaml.safe_dump({**plain(config), _RECORD: recorded}, sort_keys=False))

    def read_config(self, trust: list[str]) -> tuple[DictConfig, dict[str, Any]]:
        """The config, and the record of choices, overrides and data. Its data is fetched from nowhere that it names.

        Args:
            trust: modules whose contents the config may name besides those that our own `conf/` names.

        Raises:
            ConfigError: where it is not a run, is of another version, or names something that is not trusted.

        """
        content, record = self.read_plain_config()
        complete_older(content)
        check_names(content, trust, str(self.path / "config.yaml"))
        try:
            config = _typed(DictConfig(content))
        except (OmegaConfBaseException, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(error) from error
        fetch_as_ours(config.dataset, typed_root=False)
        return config, record

    def read_plain_config(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The config and the record as they stand there, to be looked at: what the config names may be anything.

        Raises:
            ConfigError: where it is not a run, or is of another version.

        """
        if not self.path.is_dir():
            raise ConfigError(f"{self.path}: there is no such run directory")
        if not (self.path / "config.yaml").is_file():
            raise ConfigError(f"{self.path} is not a run directory: it has no config.yaml")
        try:
            content = _read_plain(self.path / "config.yaml")
            record = content.pop(_RECORD)
            if record["format"] == _FORMAT:
                RECORDED(record, _RECORD)
            check_plain({**content, _RECORD: {**record, "overrides": None}})  # these are text, which nothing resolves
        except (yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(error) from error
        if record["format"] != _FORMAT:
            version = record.get("version")
            known = version if isinstance(version, str) else shown(version)
            written = f"version {known} in format {shown(record['format'])}"
            raise ConfigError(
                f"{self.path} was written by {written}, and this is {__version__} "
                f"with format {_FORMAT}: install that version, or start a new run from its weights, init={self.path}"
            )
        return content, record

    def _damaged(self, error: Exception) -> ConfigError:
        return ConfigError(f"{self.path / 'config.yaml'} is damaged: {' '.join(str(error).split())}")

    def status(self) -> dict[str, Any]:
        """status.json; {} where there is none that can be read."""
        return self._told("status.json")

    def write_status(self, state: str, step: int, reason: str | None = None) -> None:
        """`running`, `finished`, `interrupted` or `failed`, with the reason, the optimiser step and the time."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        started = self.status().get("started", now)
        status = {"state": state, "reason": reason, "step": step, "started": started, "updated": now}
        _write(self.path / "status.json", json.dumps({**status, "pid": os.getpid()}, indent=2) + "\n")

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """metrics.json."""
        _write(self.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")

    def write_unfinished_test(self, done: Mapping[str, Any]) -> None:
        """What a test that was interrupted had added up, for the next time that the run is continued."""
        _write(self.checkpoints / _UNFINISHED_TEST, json.dumps(done, indent=2) + "\n")

    def unfinished_test(self) -> dict[str, Any]:
        """What was written of one; {} where there is none that can be read."""
        try:
            content = json.loads(read_text(self.checkpoints / _UNFINISHED_TEST, _LONGEST_RECORD))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def forget_unfinished_test(self) -> None:
        """It is done, or begins anew."""
        (self.checkpoints / _UNFINISHED_TEST).unlink(missing_ok=True)

    def remove_parts(self) -> None:
        """What a killed process left half-written of the files that training writes; for who holds the lock."""
        own = [self.path / f".{name}.part" for name in _FILES]
        for folder in (self.checkpoints, self.images, self.path / "projector"):
            own += folder.glob(".*.part") if folder.is_dir() and not folder.is_symlink() else ()
        for part in own:
            part.unlink(missing_ok=True)

    def metrics(self) -> dict[str, Any]:
        """metrics.json, as it was written; {} where there is none that can be read."""
        return self._told("metrics.json")

    def problem(self, name: str) -> str:
        """What is wrong with a file of which nothing could be read, for users."""
        try:
            _read_record(self.path / name)
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, ValueError, RecursionError) as error:
            return f"{name} is damaged: {' '.join(str(error).split())}"
        return f"{name} lacks what a finished run has"

    def _told(self, name: str) -> dict[str, Any]:
        try:
            return _read_record(self.path / name)
        except (OSError, ValueError, RecursionError):
            return {}


def resolved(config: DictConfig) -> DictConfig:
    """As it will be read again: what is made of it is what is stored.

    Raises:
        ConfigError: where it cannot be stored.

    """
    return _typed(DictConfig(plain(config)))


def _typed(config: DictConfig) -> DictConfig:
    """Of the types that each root key has, with a node for every part."""
    typed = OmegaConf.merge(OmegaConf.structured(TrainConfig), config)
    assert isinstance(typed, DictConfig)
    for part in PARTS:
        if not isinstance(typed.get(part), DictConfig):
            raise ValueError(f"it describes no {part}")
    check_latent_dim(typed.latent_dim)
    return typed


def place_data(config: DictConfig, place: Mapping[Any, str | bool | None]) -> None:
    """Where the data of a run now lies: `root`, `path`, `download`.

    Raises:
        ConfigError: for what its data set has no key for.

    """
    for name, value in place.items():
        if name not in config.dataset:
            raise ConfigError(f"dataset.{name}={value}: the data set of this run has no {name}")
        set_throughout(config.dataset, name, value)
    fetch_as_ours(config.dataset, typed_root="root" in place)


_LONGEST = 2**20  # bytes of a config; ours have 10,000
_LONGEST_RECORD = 2**24  # bytes of what a run finds; one of ours that was judged by everything has 20,000
_DEEPEST = 100  # nodes within each other; ours have 6. The fast loader would end the process at some 10,000


def _read_plain(path: Path) -> Any:
    """YAML as we write it: short, and with no node that stands for another, a few of which can be billions."""
    text = read_text(path, _LONGEST)
    depth = 0
    for event in yaml.parse(text, SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it holds an alias")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"its nodes lie more than {_DEEPEST} deep")
    return yaml.load(text, SafeLoader)


def _read_record(path: Path) -> dict[str, Any]:
    """A file of JSON in its form; ValueError that names the first difference."""
    content = json.loads(read_text(path, _LONGEST_RECORD))
    _FORMS[path.name](content, "")
    return content


_FORMS = {"status.json": STATUS, "metrics.json": METRICS}


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
