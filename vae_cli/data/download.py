"""Fetch one published file: a cut transfer goes on where it was, and nothing is there before its checksum is right."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
    getproxies,
)

from filelock import FileLock
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from vae_cli.consoles import console
from vae_cli.files import appended, created, opened
from vae_cli.telling import warn

_SCHEMES = ("http", "https")  # of mirrors, and of where they lead on to: no file of this machine, no other protocol
_TIMEOUT = 30  # seconds without a sign of life
_BLOCK = 1 << 16
_PARTIAL, _RANGE_NOT_SATISFIABLE = 206, 416


class NotFetchedError(Exception):
    """No mirror gave the file: each with its reason."""


class _NotGivenError(Exception):
    """A mirror did not give the file."""


class _WorthAnotherTryError(_NotGivenError):
    """What a second request to the same mirror may put right."""


def fetch(path: Path, mirrors: Sequence[str], checksum: str) -> None:
    """Fetch the file from `mirrors`, in turn, into a folder that is there; what came of it is kept as `<name>.part`.

    A process that finds another at work waits, and uses what that one fetched.

    Args:
        mirrors: addresses of folders that hold a file of this name.
        checksum: of the whole: `sha256:` or `md5:` and the digits.

    Raises:
        NotFetchedError: where no mirror gave the file; then there is none.
        OSError: where the folder cannot be written to.

    """
    with _alone(path):
        if path.is_file():
            return
        with _Shown(f"{path.parent.name}/{path.name}") as shown:
            failures = []
            for mirror in mirrors:
                try:
                    _fetch_from(f"{mirror.rstrip('/')}/{path.name}", path, checksum, shown)
                except _NotGivenError as failure:
                    failures.append(f"{mirror}: {failure}")
                else:
                    return
    raise NotFetchedError("; ".join(failures))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink()  # whoever waits for it notices, and makes a new one


def _fetch_from(url: str, path: Path, checksum: str, shown: "_Shown") -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        _attempt(url, part, checksum, shown)
    except _WorthAnotherTryError:
        _attempt(url, part, checksum, shown)
    part.replace(path)


def _attempt(url: str, part: Path, checksum: str, shown: "_Shown") -> None:
    """One request, for what the part still lacks; afterwards the part is whole and right, or shorter, or gone."""
    done = part.stat().st_size if part.exists() else 0
    with _opened(url, done, part) as response:
        done = done if response.status == _PARTIAL else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        shown.begin(done, total)
        size = _append(response, part, done, shown)
    if total is not None and size < total:
        raise _WorthAnotherTryError(f"the connection was cut after {size} of {total} bytes")
    if not size:
        raise _NotGivenError("the answer is empty")
    if _checksum(part, checksum.partition(":")[0]) != checksum:
        part.unlink()
        kind = _WorthAnotherTryError if done else _NotGivenError  # what was there before may be of another file
        raise kind("the file has a wrong checksum")


def _opened(url: str, done: int, part: Path) -> HTTPResponse:
    headers = {"User-Agent": "vae-train", **({"Range": f"bytes={done}-"} if done else {})}
    try:
        return _opener().open(Request(url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _WorthAnotherTryError("it has no more of the file than came before") from error
        raise _NotGivenError(f"HTTP {error.code} {error.reason}") from error
    except URLError as error:
        raise _NotGivenError(str(getattr(error.reason, "strerror", None) or error.reason)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _NotGivenError(str(error) or type(error).__name__) from error


def _opener() -> OpenerDirector:
    """Of `_SCHEMES` alone, where urllib's own opens files, data and ftp as well."""
    opener = OpenerDirector()
    proxies = {scheme: address for scheme, address in getproxies().items() if scheme in _SCHEMES}
    for handler in (
        ProxyHandler(proxies),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _append(response: HTTPResponse, part: Path, done: int, shown: "_Shown") -> int:
    """Write what comes behind the first `done` bytes, to the disk; the size of the part, which is gone if empty."""
    with appended(part) if done else created(part) as file:
        for block in _blocks(response):
            file.write(block)
            shown.advance(len(block))
        file.flush()
        os.fsync(file.fileno())
    size = part.stat().st_size
    if not size:
        part.unlink()
    return size


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """All that comes; a connection that breaks ends it."""
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, HTTPException):
            return
        if not block:
            return
        yield block


def _checksum(path: Path, algorithm: str) -> str:
    with opened(path) as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


class _Shown:
    """What is fetched, in one line on standard error; on a terminal, how far it is as well."""

    def __init__(self, name: str) -> None:
        self._name, self._task = name, None
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        terminal = console()
        self._bar = Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)

    def __enter__(self) -> "_Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, done: int, total: int | None) -> None:
        """A transfer begins behind the first `done` bytes."""
        if self._task is None:
            warn(f"fetching {self._name}{'' if total is None else f', {decimal(total)}'}")
            self._task = self._bar.add_task(self._name)
        self._bar.update(self._task, completed=done, total=total)

    def advance(self, size: int) -> None:
        """So many bytes came."""
        assert self._task is not None
        self._bar.advance(self._task, size)
