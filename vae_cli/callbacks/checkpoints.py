"""last.ckpt and best.ckpt, whole at every moment.

Lightning's ModelCheckpoint forgets its best score when the run directory moves, and can save between the optimiser's
parameters; this saves at two points alone, both of which a run resumes from bit for bit: after a step inside an epoch,
and after an epoch with its validation.
"""

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer

from vae_cli.callbacks import content as stored
from vae_cli.callbacks.interruption import Interrupted, Interruption
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.data.loader import Loader
from vae_cli.errors import ConfigError
from vae_cli.experiment import MONITOR, Experiment
from vae_cli.files import opened, own_folder, replacing


class Checkpoints(Callback):
    """Saves, keeps the best by validation loss, and stops where an interruption was asked for.

    best.ckpt is written before last.ckpt: a process killed in between repeats the epoch and finds the same score.

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
        self._best = best_score(directory)
        self._validated: float | None = None
        self._inside_epoch: dict[str, Any] | None = None  # where training ended, if that is inside an epoch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's handler for SIGTERM has taken the place of ours."""
        self._interruption.listen()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Inside an epoch: save at the interval and when asked to stop. At the last step: have Lightning validate."""
        last_step = trainer.global_step == self._max_steps
        trainer.should_stop = trainer.should_stop or last_step
        if not _loader(trainer).within_epoch:
            return
        if last_step:
            self._inside_epoch = trainer._checkpoint_connector.dump_checkpoint(False)  # noqa: SLF001 (see below)
            return
        interrupted = self._interruption.asked(trainer)
        if interrupted or trainer.global_step % self._every_n_steps == 0:
            self._save(trainer, "last.ckpt")
        if interrupted:
            raise Interrupted

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the score; the file is written when the epoch has ended."""
        assert isinstance(pl_module, Experiment)
        self._validated = pl_module.figures.get(MONITOR)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After validation: best.ckpt where the score improved, then last.ckpt."""
        if self._validated is not None and self._validated < self._best:
            self._best = self._validated
            self._save(trainer, "best.ckpt")
        self._save(trainer, "last.ckpt")
        self._validated = None
        if self._inside_epoch is None and not self._finished(trainer) and self._interruption.asked(trainer):
            raise Interrupted

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The score of the weights, beside them."""
        checkpoint[MONITOR] = self._validated

    def _finished(self, trainer: Trainer) -> bool:
        epochs_done = trainer.fit_loop.epoch_progress.current.state_dict()["processed"]
        return trainer.should_stop or epochs_done == trainer.max_epochs or trainer.global_step == self._max_steps

    def _save(self, trainer: Trainer, name: str) -> None:
        """Write a checkpoint; no event up to its step may be lost once it stands, and none after that may stay.

        Where training ended inside an epoch, Lightning now believes that the epoch is over, and a run resumed from such
        a checkpoint would skip the rest of it: what is written is the state taken right after the last step.
        """
        tensorboard_of(trainer.logger).mark(trainer.global_step)
        if self._inside_epoch is None:
            trainer.save_checkpoint(self._directory / name, weights_only=False)  # with the optimiser and the loops
        else:
            trainer.strategy.save_checkpoint({**self._inside_epoch, MONITOR: self._validated}, self._directory / name)


def best_score(directory: Path) -> float:
    """Of best.ckpt, wherever the run now lies; infinity where there is none.

    Raises:
        ConfigError: where the file is damaged.
    """
    path = directory / "best.ckpt"
    if not path.exists():
        return math.inf
    if (score := load_checkpoint(path)[MONITOR]) is None:
        raise _damaged(path, f"{MONITOR} is missing")
    return score


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain data of the form that every run writes, on the CPU.

    Raises:
        ConfigError: where the file is damaged.
    """
    try:
        opened(path).close()  # a pipe in its place would never end
        content = stored.plain(torch.load(path, weights_only=True, map_location="cpu", mmap=True))
    except Exception as error:  # damaged files raise errors of every type
        raise _damaged(path, "it cannot be read") from error
    try:
        stored.check(content)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return content


def _damaged(path: Path, what: str) -> ConfigError:
    return ConfigError(f"{path} is damaged or is not one of our checkpoints ({what}): remove it, or restore it")


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is whole or is not there; it loads as tensors and plain data alone."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Whole, or not at all."""
        own_folder(Path(path).parent)
        with replacing(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Onto the CPU, and what training goes on with into memory that no file lies below."""
        content = load_checkpoint(Path(path))
        return {**content, "optimizer_states": deepcopy(content["optimizer_states"])}


def _loader(trainer: Trainer) -> Loader:
    loader = trainer.train_dataloader
    assert isinstance(loader, Loader)
    return loader
