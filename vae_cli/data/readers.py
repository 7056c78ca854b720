"""Processes that read ahead. Requests are answered in the order in which they are made, whichever process is quickest.

torch's DataLoader would do, but for a process of its that dies: it raises wherever the training process then stands.
"""

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait

import numpy as np

from vae_cli.errors import TrainingError

Reader = Callable[[np.ndarray], np.ndarray]  # rows to read [B] -> values [B, *X]; TrainingError where they are lost


def read_ahead(read: Reader, requests: Iterable[np.ndarray], workers: int) -> Generator[np.ndarray, None, None]:
    """`read` of each request in turn; every process has one of the next under way, without processes none is.

    Raises:
        TrainingError: where `read` does, or a process ends before its time.

    """
    if workers == 0:
        yield from map(read, requests)
        return
    left = iter(requests)
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(read,))
    try:
        with warnings.catch_warnings():  # Python 3.12 warns of locks that a fork may copy; these only read files
            warnings.simplefilter("ignore", DeprecationWarning)
            waiting: deque[Future[np.ndarray]] = deque(pool.submit(_read, request) for request in islice(left, workers))
        while waiting:
            values = waiting.popleft().result()
            waiting.extend(pool.submit(_read, request) for request in islice(left, 1))
            yield values
    except BrokenProcessPool as error:
        for process in pool._processes.values():  # noqa: SLF001 (the pool would ask them to end, and they do not listen)
            process.kill()
        raise TrainingError(
            "a process that reads examples came to an end: continue the run; where memory ran out, with fewer "
            "dataset.workers or smaller batches in a new one"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_reader: Reader | None = None  # of a reading process: handed over once, since it may hold the names of many files


def _begin(read: Reader) -> None:
    """Signals go to all processes at once, and the training process still needs its batches; without it, end."""
    global _reader
    _reader = read
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _read(request: np.ndarray) -> np.ndarray:
    assert _reader is not None
    return _reader(request)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(0)
