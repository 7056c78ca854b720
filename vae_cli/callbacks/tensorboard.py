"""TensorBoard event files in the run directory itself.

Lightning's own logger would add a `hparams.yaml`, an `epoch` scalar and a sub-folder; here a tag is logged once, at an
absolute optimiser step, and a resumed run takes back what was logged after the checkpoint that it starts from.
"""

import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger
from torch.utils.tensorboard import SummaryWriter

from vae_cli.files import refuse_links

_EVENTS = "events.out.tfevents.*"  # files


class TensorBoard(Logger):
    """Writes to `directory`; events at `purge_step` or later that lie there already are void."""

    def __init__(self, directory: Path, purge_step: int | None) -> None:
        super().__init__()
        self._directory, self._purge_step = directory, purge_step
        self._writer: SummaryWriter | None = None

    @property
    def name(self) -> str:
        """No sub-folder."""
        return ""

    @property
    def version(self) -> str:
        """No sub-folder."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The writer, opened when first used."""
        if self._writer is None:
            _let_the_clock_pass(self._directory)
            self._writer = writer_in(self._directory, purge_step=self._purge_step)
        return self._writer

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """One scalar a tag."""
        for tag, value in metrics.items():
            self.experiment.add_scalar(tag, value, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: `callbacks/session.py` writes them, with the end of the run."""

    @rank_zero_only
    def save(self) -> None:
        """All events are on disk when this returns."""
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Flush; the file stays open for test figures."""
        if self._writer is not None:
            self._writer.flush()

    @rank_zero_only
    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def writer_in(directory: Path, purge_step: int | None = None, suffix: str = "") -> SummaryWriter:
    """A writer with an event file of its own, whose name (time, host, process) TensorBoard makes.

    Raises:
        OSError: where an event file there is a link, of which one may have the name to come.

    """
    refuse_links(directory, _EVENTS)
    return SummaryWriter(str(directory), purge_step=purge_step, filename_suffix=suffix)


@contextmanager
def told_once() -> Iterator[None]:
    """The writer's thread hands its error on to whoever writes next; inside, Python does not print it as well."""
    before = threading.excepthook
    threading.excepthook = lambda thread: None if isinstance(thread.exc_value, OSError) else before(thread)
    try:
        yield
    finally:
        threading.excepthook = before


def _let_the_clock_pass(directory: Path) -> None:
    """TensorBoard reads event files in the order of their names, which carry the second of their birth; two of the
    same second could be read in the wrong order, and what was taken back would stand.
    """
    while any(directory.glob(f"events.out.tfevents.{int(time.time())}.*")):
        time.sleep(0.01)


def tensorboard_of(logger: Logger | None) -> TensorBoard:
    """The run's logger, which is always ours."""
    assert isinstance(logger, TensorBoard)
    return logger
