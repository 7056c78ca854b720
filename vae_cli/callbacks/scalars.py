"""Training scalars at an interval, validation and test scalars per pass."""

import logging
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vae_cli.callbacks.tags import STEPS_TESTED, of_figures
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.experiment import Experiment

log = logging.getLogger("vae_cli")


class Scalars(Callback):
    """train/* every `every_n_steps` optimiser steps and at the end of each epoch: means since the last time.

    Stands before `Checkpoints` in the list of callbacks: a checkpoint then holds the sums as they are after logging.
    """

    def __init__(self, every_n_steps: int) -> None:
        self._every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log where it is time to."""
        if trainer.global_step % self._every_n_steps == 0 or trainer.is_last_batch:
            _log_training(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training may end inside an epoch: then what was added up since the last time.

        The state to resume from was taken before, so that a run which is extended logs full intervals.
        """
        _log_training(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """val/*."""
        _log_evaluation(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """test/*."""
        _log_evaluation(trainer, pl_module)
        tensorboard_of(trainer.logger).log_metrics({STEPS_TESTED: trainer.global_step}, trainer.global_step)


def _log_training(trainer: Trainer, experiment: LightningModule) -> None:
    assert isinstance(experiment, Experiment)
    means = experiment.drain()
    if means:
        last_step = trainer.global_step - 1
        values = {**means, **experiment.schedule_values(last_step), "lr": trainer.optimizers[0].param_groups[0]["lr"]}
        tagged = {f"train/{name}": value for name, value in values.items()}
        tensorboard_of(trainer.logger).log_metrics(tagged, trainer.global_step)


def _log_evaluation(trainer: Trainer, experiment: LightningModule) -> None:
    assert isinstance(experiment, Experiment)
    tensorboard_of(trainer.logger).log_metrics(of_figures(experiment.figures), trainer.global_step)
    figures = "  ".join(f"{tag} {value:.4f}" for tag, value in experiment.figures.items())
    log.info("step %d  %s", trainer.global_step, figures)
