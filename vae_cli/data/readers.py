"""Processes that read ahead. Requests are answered in the order in which they are made, whichever process is quickest.

A process starts in 10 to 20 ms, so each sequence of requests has processes of its own, which end with it.
"""

import atexit
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from multiprocessing.connection import Connection, wait

import numpy as np

from vae_cli.errors import TrainingError

Reader = Callable[
    [np.ndarray], np.ndarray
]  # rows to read [B] -> values [B, *X]; TrainingError where they are not there


def read_ahead(read: Reader, requests: Iterable[np.ndarray], workers: int) -> Generator[np.ndarray, None, None]:
    """`read` of each request in turn; every process has one of the next under way, without processes none is.

    Raises:
        TrainingError: where `read` does, or a process ends before its time.

    """
    if workers == 0:
        yield from map(read, requests)
        return
    left = iter(requests)
    processes: list[_Worker] = []
    busy: deque[_Worker] = deque()
    try:
        for request in islice(left, workers):
            processes.append(_Worker(read))
            processes[-1].ask(request)
        busy.extend(processes)
        while busy:
            worker = busy.popleft()
            values = worker.answer()
            request = next(left, None)
            if request is None:
                worker.end()
            else:
                worker.ask(request)
                busy.append(worker)
            yield values
    finally:
        for worker in processes:
            worker.end()


class _Worker:
    """One process, asked for one thing at a time: a second request could meet an answer that fills the pipe."""

    def __init__(self, read: Reader) -> None:
        self._connection, there = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_serve, args=(read, there), daemon=True)
        with warnings.catch_warnings():  # Python 3.12 warns of locks that a fork may copy; this one only reads files
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        there.close()
        atexit.register(self.end)

    def ask(self, request: np.ndarray) -> None:
        try:
            self._connection.send(request)
        except OSError as error:
            raise self._ended() from error

    def answer(self) -> np.ndarray:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if isinstance(answer, TrainingError):
            raise answer
        return answer

    def end(self) -> None:
        atexit.unregister(self.end)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _ended(self) -> TrainingError:
        self._process.join()
        code = self._process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        return TrainingError(
            f"a process that reads examples {how}: continue the run; where memory ran out, with fewer dataset.workers "
            "or smaller batches in a new one"
        )


def _serve(read: Reader, connection: Connection) -> None:
    """Answer until the training process ends this one, or ends itself."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all at once; the training process still needs its batches
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            answer = read(request)
        except TrainingError as error:
            answer = error
        connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(0)
