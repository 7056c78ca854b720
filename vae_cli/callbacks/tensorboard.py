"""TensorBoard event files in the run directory itself.

Lightning's own logger would add a `hparams.yaml`, an `epoch` scalar and a sub-folder; here a tag is logged once, at an
absolute optimiser step, and a resumed run takes back what was logged after the checkpoint that it starts from.
"""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger
from torch.utils.tensorboard import SummaryWriter

from vae_cli.callbacks.event_files import RunWriter
from vae_cli.files import refuse_links

_EVENTS = "events.out.tfevents.*"  # files


class TensorBoard(Logger):
    """Writes to `directory`, from the checkpoint of `step` on."""

    def __init__(self, directory: Path, step: int) -> None:
        super().__init__()
        self._directory, self._step = directory, step
        self._writer: RunWriter | None = None

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
    def experiment(self) -> RunWriter:
        """The writer, opened when first used."""
        if self._writer is None:
            self._writer = RunWriter(self._directory, self._step)
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
    def mark(self, step: int) -> None:
        """What was logged until now is on disk, and stays where the run goes on from the checkpoint of that step."""
        self.experiment.mark(step)

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


def writer_in(directory: Path, suffix: str) -> SummaryWriter:
    """A writer with an event file of its own, whose name (time, host, process) TensorBoard makes.

    Raises:
        OSError: where an event file there is a link, of which one may have the name to come.

    """
    refuse_links(directory, _EVENTS)
    return SummaryWriter(str(directory), filename_suffix=suffix)


def tensorboard_of(logger: Logger | None) -> TensorBoard:
    """The run's logger, which is always ours."""
    assert isinstance(logger, TensorBoard)
    return logger
