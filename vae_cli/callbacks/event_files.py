"""TensorBoard's event files of a run: one for every time that it was begun or continued, in the order of their names.

In a file, a mark follows what had been logged when a checkpoint was saved: TensorFlow's own event for that, which
TensorBoard does not show. What lies behind the mark of the checkpoint that a run goes on from is removed, so that every
value stands once, whatever the clock says.

torch's writer leaves the writing to a thread, whose errors reach nobody in time, and names files by the clock alone.
"""

import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

_messages: Any = event_pb2  # generated at run time, so that no type checker sees what is in it
_SUFFIX = ".train"  # evaluations have files of their own
_EVERY = 30.0  # seconds after which events are shown, at most
_HEAD, _FOOT = 12, 4  # bytes of a record before and after its content: its length with a checksum, and a checksum
_LONGEST_MARK = 100  # bytes


class RunWriter(SummaryWriter):
    """torch's writer on a new file, whose name follows all that lie there.

    Args:
        directory: of the run.
        step: of the checkpoint that the run goes on from, 0 at the start. A TensorBoard that is looking drops what it
            read after it.
    """

    def __init__(self, directory: Path, step: int) -> None:
        self._directory, self._step = directory, step
        super().__init__(str(directory))

    def mark(self, step: int) -> None:
        """All that was logged until now belongs to the checkpoint of that step; it is on the disk when this returns."""
        _mark(self._get_file_writer(), step)
        self.flush()

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None:
            self.file_writer = _Synchronous(_next_name(self._directory))
            self.all_writers = {self.log_dir: self.file_writer}
            self.file_writer.add_event(_session_log(_messages.SessionLog.START), self._step + 1 if self._step else 0)
            _mark(self.file_writer, self._step)
            self.file_writer.flush()
        return self.file_writer


def are_there(directory: Path) -> bool:
    """Whether a run has logged anything in its directory."""
    return any(not re.search(r"\.eval_\w+$", path.name) for path in _files(directory))


def take_back(directory: Path, step: int) -> None:
    """Remove what was logged after the last mark of that step; nothing where there is no such mark."""
    own = [path for path in _files(directory) if path.name.endswith(_SUFFIX)]
    for number in reversed(range(len(own))):
        with os.fdopen(os.open(own[number], os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
            ends = [end for event, end in _short_events(file) if _is_mark(event, step)]
            if not ends:
                continue
            for later in own[:number:-1]:
                later.unlink()
            file.truncate(ends[-1])
            return


def _mark(writer: FileWriter, step: int) -> None:
    writer.add_event(_session_log(_messages.SessionLog.CHECKPOINT), step)


def _session_log(status: int) -> Any:
    return _messages.Event(session_log=_messages.SessionLog(status=status))


def _is_mark(event: Any, step: int) -> bool:
    return event.session_log.status == _messages.SessionLog.CHECKPOINT and event.step == step


def _files(directory: Path) -> list[Path]:
    """In the order in which TensorBoard reads them."""
    return sorted(path for path in directory.glob("events.out.tfevents.*") if path.is_file() and not path.is_symlink())


def _next_name(directory: Path) -> Path:
    """TensorBoard reads files in the order of their names, which begin with the second of their birth: this is later
    than all that lie there, even where the clock was set back.
    """
    births = [int(found[1]) for path in _files(directory) if (found := re.match(r"\D+\.(\d{1,10})\.", path.name))]
    birth = max([int(time.time()), *(one + 1 for one in births)])
    return directory / f"events.out.tfevents.{birth:010d}.{socket.gethostname()}.{os.getpid()}{_SUFFIX}"


def _short_events(file: BinaryIO) -> Iterator[tuple[Any, int]]:
    """Every whole event of a file that is as short as a mark, and where it ends; as far as the file can be read."""
    size, end = os.fstat(file.fileno()).st_size, 0
    while len(head := file.read(_HEAD)) == _HEAD:
        (length,) = struct.unpack_from("<Q", head)
        end += _HEAD + length + _FOOT
        if end > size:
            return
        if length <= _LONGEST_MARK:
            with suppress(DecodeError):
                yield _messages.Event.FromString(file.read(length)), end
        file.seek(end)


class _Synchronous(FileWriter):
    """torch's translation of values into events, which are written where they are added."""

    def __init__(self, path: Path) -> None:
        self.event_writer = _EventFile(path)


class _EventFile:
    """A file of records; an OSError names it."""

    def __init__(self, path: Path) -> None:
        self._path, self._shown = path, time.monotonic()
        with self._named():
            self._file = path.open("xb")
        self._records = RecordWriter(self._file)
        self.add_event(_messages.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        """As torch asks."""
        return str(self._path.parent)

    def add_event(self, event: Any) -> None:
        """Write it; now and then, show what was written."""
        with self._named():
            self._records.write(event.SerializeToString())
            if time.monotonic() - self._shown > _EVERY:
                self._file.flush()
                self._shown = time.monotonic()

    def flush(self) -> None:
        """All events are on the disk when this returns."""
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """No more events."""
        with self._named():
            self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = str(self._path)
            raise
