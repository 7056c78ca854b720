"""last.ckpt and best.ckpt, whole at every moment; and a clean end when somebody asks for one.

Lightning's ModelCheckpoint forgets its best score when the run directory moves, and can save between the optimiser's
parameters; this saves at two points alone, both of which a run resumes from bit for bit: after a step inside an epoch,
and after an epoch with its validation.
"""

import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer

from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.data.loader import Loader
from vae_cli.experiment import Experiment

MONITOR = "val/loss"  # of the objective that is trained, at the values that its schedules end with


class Interrupted(Exception):  # noqa: N818 (not an error: somebody asked)
    """Training stopped between two steps, with everything saved."""


class Interruption:
    """Whether SIGINT or SIGTERM came; a second SIGINT ends the process at once."""

    def __init__(self, at_once: Callable[[], None]) -> None:
        self.signal: signal.Signals | None = None
        self._at_once = at_once

    @contextmanager
    def handlers(self) -> Iterator[None]:
        """Listen while inside."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the two signals (again: Lightning puts its own handler for SIGTERM before ours when it starts)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is signal.SIGINT and number == signal.SIGINT:
            self._at_once()
            os._exit(128 + number)
        self.signal = signal.Signals(number)


class Checkpoints(Callback):
    """Saves, keeps the best by validation loss, and stops where an interruption was asked for.

    Args:
        directory: of the two files.
        every_n_steps: inside an epoch; every end of an epoch saves anyway.
        max_steps: training ends there, -1 for never. (Lightning's own limit counts an epoch twice when a run resumes
            at the end of one.)
        interruption: looked at between two steps.

    """

    def __init__(self, directory: Path, every_n_steps: int, max_steps: int, interruption: Interruption) -> None:
        self._directory, self._every_n_steps, self._max_steps = directory, every_n_steps, max_steps
        self._interruption = interruption
        self._best = math.inf
        self._validated: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the best score so far from best.ckpt itself, wherever the run now lies."""
        self._interruption.listen()
        best = self._directory / "best.ckpt"
        if best.exists():
            self._best = torch.load(best, weights_only=True, map_location="cpu")[MONITOR]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Inside an epoch: save at the interval, at the last step, and when asked to stop."""
        last_step = trainer.global_step == self._max_steps
        if last_step:
            trainer.should_stop = True  # Lightning then validates, as it does at the end of an epoch
        if not _loader(trainer).within_epoch:
            return
        interrupted = self._interrupted(trainer)
        if last_step or interrupted or trainer.global_step % self._every_n_steps == 0:
            self._save_last(trainer)
        if interrupted and not last_step:
            raise Interrupted

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the score; the file is written when the epoch has ended."""
        assert isinstance(pl_module, Experiment)
        self._validated = pl_module.figures.get(MONITOR)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After validation: last.ckpt, and best.ckpt where the score improved."""
        whole_epoch = not _loader(trainer).within_epoch
        if whole_epoch:
            self._save_last(trainer)
        if self._validated is not None and self._validated < self._best:
            self._best = self._validated
            if not whole_epoch:
                _save(trainer, self._directory / "best.ckpt")
            elif trainer.is_global_zero:
                _copy(self._directory / "last.ckpt", self._directory / "best.ckpt")
        self._validated = None
        if whole_epoch and not self._finished(trainer) and self._interrupted(trainer):
            raise Interrupted

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The score of the weights, beside them."""
        checkpoint[MONITOR] = self._validated

    def _interrupted(self, trainer: Trainer) -> bool:
        """Whether any process was asked to stop; all then stop after the same step."""
        return trainer.strategy.reduce_boolean_decision(self._interruption.signal is not None, all=False)

    def _finished(self, trainer: Trainer) -> bool:
        epochs_done = trainer.fit_loop.epoch_progress.current.state_dict()["processed"]
        return epochs_done == trainer.max_epochs or trainer.global_step == self._max_steps

    def _save_last(self, trainer: Trainer) -> None:
        tensorboard_of(trainer.logger).save()  # no event up to this step may be lost once the checkpoint stands
        _save(trainer, self._directory / "last.ckpt")


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is whole or is not there; it loads as tensors and plain data alone."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write beside, to the disk, then rename."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        with temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Onto the CPU; whoever needs it moves it."""
        return torch.load(path, map_location="cpu", weights_only=True)


def _save(trainer: Trainer, path: Path) -> None:
    trainer.save_checkpoint(path, weights_only=False)  # with the optimiser and the loops


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def _loader(trainer: Trainer) -> Loader:
    loader = trainer.train_dataloader
    assert isinstance(loader, Loader)
    return loader
